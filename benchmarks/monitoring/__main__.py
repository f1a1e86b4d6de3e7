"""`python -m benchmarks.monitoring`: measures in processes of their own, in turn, and writes the page's section about it."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.detection import page
from benchmarks.monitoring import report
from benchmarks.serving import machine

ROOT = Path(__file__).parents[2]
REFERENCES = (20_000, 100_000)
"""What a version keeps, and as many rows as the window has."""


def main() -> None:
    arguments = _arguments()
    if arguments.role:
        _play(arguments)
        return
    kept = arguments.out.with_name("benchmarks_monitoring.json")
    if not arguments.page_only:
        kept.write_text(json.dumps(_measured(arguments), indent=1) + "\n")
    page.write(arguments.out, report.SECTION, report.text(json.loads(kept.read_text())))
    print(f"Written: {kept} and its section of {arguments.out}")


def _play(arguments: argparse.Namespace) -> None:
    from benchmarks.detection.measure import only_warnings
    from benchmarks.monitoring import roles  # here, so that what starts the others stays small

    only_warnings()
    role, made = roles.ROLES[arguments.role]
    print(json.dumps(role(made(arguments.given))))


def _measured(arguments: argparse.Namespace) -> dict[str, Any]:
    began = datetime.now(UTC)
    described = machine.description()
    windows = [
        {"reference_rows": rows} | {role: _median([found[role] for found in runs]) for role in ("ours", "preset")}
        for rows in REFERENCES
        for runs in [[{role: _run(role, str(rows)) for role in ("ours", "preset")} for _ in range(arguments.runs)]]
    ]
    return {
        "measured_at": began.isoformat(timespec="seconds"),
        "runs": arguments.runs,
        "machine": described,
        "windows": windows,
        "log": _of_log(arguments.runs),
    }


def _of_log(runs: int) -> dict[str, Any]:
    """Alone, and while a report renders beside."""
    from benchmarks.monitoring import log

    with tempfile.TemporaryDirectory() as folder:
        print("Writing a feature log of a million rows", flush=True)
        log.make(Path(folder))
        alone = _median([_run("logged", folder) for _ in range(runs)])
        with _beside(folder):
            beside = _median([_run("logged", folder) for _ in range(runs)])
    return {"alone": alone, "beside": beside}


@contextmanager
def _beside(folder: str) -> Iterator[None]:
    """Reports render meanwhile; the first is done before anything is measured."""
    with subprocess.Popen(_command("rendering", folder), env=_environment(), stdout=subprocess.PIPE) as renderer:
        assert renderer.stdout is not None, "it was asked for"
        try:
            if not renderer.stdout.readline():
                raise RuntimeError("the report could not be rendered; what was said is above")
            yield
        finally:
            renderer.kill()


def _run(role: str, given: str) -> dict[str, float]:
    done = subprocess.run(_command(role, given), env=_environment(), check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{role} {given}: {found['cpu_s']:.2f} s of processor", flush=True)
    return found


def _command(role: str, given: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.monitoring", "--role", role, "--given", given]


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1"}


def _median(runs: list[dict[str, float]]) -> dict[str, float]:
    return {measure: statistics.median(run[measure] for run in runs) for measure in runs[0]}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitoring", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md", help="the page; .json beside it")
    parser.add_argument("--page-only", action="store_true", help="write the section again from the raw file")
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--given", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
