"""Tens of thousands of generated requests, and as many broken bodies: all answered, soon, and as the description says.

    python -m benchmarks.torture.fuzz --cases 50000 --seed 1

Ends with 1 when a promise was broken, with the requests to repeat.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.behaviour.fuzzing import Fuzz
from tests.behaviour.project import RunningProject
from tests.behaviour.swapping import SETTINGS, wait_for_workers

BLOCK = 1_000
SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the report as JSON, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=50_000, help="generated requests, and as many with broken bodies")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, RunningProject(Path(folder), SETTINGS) as running:
        wait_for_workers(running)
        with Fuzz.of(running) as fuzz:
            for number, start in enumerate(range(0, options.cases, BLOCK)):
                block(fuzz, min(BLOCK, options.cases - start), options.seed * 1_000_000 + number)
    report = {
        "generated": options.cases,
        "sent": fuzz.sent,
        "statuses": dict(sorted(fuzz.statuses.items())),
        "slowest_seconds": fuzz.slowest,
        "problems": fuzz.problems[:SHOWN],
        "all_problems": len(fuzz.problems),
    }
    print(json.dumps(report, indent=1))
    return 1 if fuzz.problems else 0


def block(fuzz: Fuzz, count: int, seed: int) -> None:
    """`count` generated requests and as many with broken bodies."""
    fuzz.generate(count, seed)
    fuzz.damage(count, seed)
    print(f"{fuzz.sent} requests, {len(fuzz.problems)} problems", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
