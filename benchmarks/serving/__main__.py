"""`python -m benchmarks.serving`: measures, keeps the raw numbers, and writes the page about them."""

import argparse
import json
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.serving import machine, measure, report
from benchmarks.serving.cases import CASES
from benchmarks.serving.entrants import Entrant
from benchmarks.serving.field import ALL, PEERS

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Measure and write; 1 when something could not be measured."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended too
    arguments = _arguments()
    if arguments.page_only:
        raw = json.loads(arguments.out.with_suffix(".json").read_text())
        report.write(arguments.out, raw)
        return 0
    plan = measure.Plan(
        cases=[case for case in CASES if case.name in arguments.models],
        entrants=_entrants(arguments),
        rows=arguments.rows,
        connections=arguments.connections,
        seconds=arguments.seconds,
        repeats=arguments.repeats,
        folder=arguments.work.resolve(),
    )
    began, described = datetime.now(UTC), machine.description()
    found = measure.measure(plan, lambda words: print(words, flush=True))
    raw = {
        "measured_at": began.isoformat(timespec="seconds"),
        "took_s": round((datetime.now(UTC) - began).total_seconds()),
        "settings": _settings(plan),
        "machine": described,
        **found.as_json(),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(raw_text(raw))
    report.write(arguments.out, raw)
    print(f"Written: {arguments.out} and {arguments.out.with_suffix('.json')}")
    return 1 if found.failures else 0


def raw_text(raw: Mapping[str, Any]) -> str:
    """JSON with one line for each measurement."""
    parts = []
    for key, value in raw.items():
        text = json.dumps(value)
        if isinstance(value, list) and value:
            text = "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
        parts.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _entrants(arguments: argparse.Namespace) -> list[Entrant]:
    wanted = [entrant for entrant in ALL if entrant.name in arguments.entrants]
    return [entrant for entrant in wanted if not entrant.is_peer or entrant.name in arguments.peers]


def _settings(plan: measure.Plan) -> dict[str, Any]:
    return {
        "seconds": plan.seconds,
        "repeats": plan.repeats,
        "rows": list(plan.rows),
        "connections": list(plan.connections),
        "models": {case.name: case.title for case in plan.cases},
        "entrants": [entrant.name for entrant in plan.entrants],
        "peers": [entrant.name for entrant in plan.entrants if entrant.is_peer],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="length of each measurement (whole seconds)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of the servers in each cell")
    cases = [case.name for case in CASES]
    parser.add_argument("--models", nargs="+", choices=cases, default=cases)
    names = [entrant.name for entrant in ALL]
    parser.add_argument("--only", dest="entrants", nargs="+", choices=names, default=names, help="who takes part")
    peers = [entrant.name for entrant in PEERS]
    parser.add_argument("--peers", nargs="*", choices=peers, default=peers, help="the peers among them")
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 100], help="rows in a request")
    parser.add_argument("--connections", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md", help="the page; .json beside it")
    parser.add_argument("--work", type=Path, default=ROOT / ".bench", help="environments, projects, logs")
    parser.add_argument("--page-only", action="store_true", help="write the page again from the raw file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
