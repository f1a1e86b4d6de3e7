"""`python -m benchmarks.detection`: measures, keeps the raw numbers, and writes the page's section about them."""

import argparse
import json
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.detection import bikes, cases, page, report
from benchmarks.detection.effort import NANNYML, PRODUCTS
from benchmarks.detection.measure import measure, only_warnings
from benchmarks.detection.peers.evidently_defaults import Defaults
from benchmarks.detection.peers.nannyml.peer import ENVIRONMENT
from benchmarks.serving import environments, machine

ROOT = Path(__file__).parents[2]
QUICK_SHARE = 0.1


def main() -> None:
    arguments = _arguments()
    kept = arguments.out.with_name("benchmarks_detection.json")
    if not arguments.page_only:
        kept.write_text(json.dumps(_measured(arguments), indent=1) + "\n")
    page.write(arguments.out, report.SECTION, report.text(json.loads(kept.read_text())))
    print(f"Written: {kept} and its section of {arguments.out}")


def _measured(arguments: argparse.Namespace) -> dict[str, Any]:
    only_warnings()
    began, share = datetime.now(UTC), QUICK_SHARE if arguments.quick else arguments.share
    wanted = list(cases.quick() if arguments.quick else cases.cases())
    versions = _versions(arguments)
    found = measure(
        wanted,
        arguments.products,
        share,
        arguments.processes,
        arguments.work,
        lambda words: print(words, flush=True),
    )
    stream = bikes.judged(arguments.stream, arguments.work) if arguments.stream else None
    return {
        "measured_at": began.isoformat(timespec="seconds"),
        "took_s": round((datetime.now(UTC) - began).total_seconds()),
        "share": share,
        "machine": machine.description(),
        "versions": versions,
        "evidently_differs_from_its_report_by": _proof(),
        "tallies": [tally.as_json() for tally in found],
        "stream": stream,
    }


def _versions(arguments: argparse.Namespace) -> dict[str, str]:
    """Making NannyML's environment first, if it takes part, before two processes would."""
    found = {name: version(name) for name in ("evenkeel", "evidently", "numpy", "scipy")}
    if NANNYML in arguments.products or arguments.stream:
        theirs = environments.versions(ENVIRONMENT, environments.programs(ENVIRONMENT, arguments.work))
        found |= {"nannyml": theirs["nannyml"]}
    return found


def _proof() -> float:
    """How far Evidently's stat tests, called one by one, are from its own report on the same rows."""
    case = next(cases.quick())
    return Defaults(case.world.reference(0)).differences(case.traffic(0).rows(case.rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few cases with a tenth of the references")
    parser.add_argument("--share", type=float, default=1.0, help="the part of the references that is taken")
    parser.add_argument("--only", dest="products", nargs="+", choices=PRODUCTS, default=list(PRODUCTS))
    parser.add_argument("--stream", type=Path, help="hour.csv of the bike sharing data set; left out when not given")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md", help="the page; .json beside it")
    parser.add_argument("--work", type=Path, default=ROOT / ".bench", help="environments")
    parser.add_argument("--page-only", action="store_true", help="write the section again from the raw file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
