"""Thousands of windows while the clock jumps by an hour and by years, both ways: none with rows left out, none judged twice.

    python -m benchmarks.torture.windows --windows 10000

Projects with windows of every kind live in turn, each with restarts, swaps and late rows. Ends with 1 when a promise was broken.
"""

import argparse
import itertools
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import structlog

from tests.component.monitoring.clock_jumps import SHAPES, lived

WITH_ROWS = 200
"""Windows of one life that have rows, at least."""
SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the report as JSON, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=10_000, help="windows that have a verdict in the end, at least")
    parser.add_argument("--with-rows", type=int, default=1_500, help="those of them that have rows, at least")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    began = time.monotonic()
    windows, events, problems = Counter[str](), Counter[str](), list[str]()
    for life_number, shape in enumerate(itertools.cycle(SHAPES)):
        seed = options.seed + life_number
        with tempfile.TemporaryDirectory() as folder:
            life = lived(Path(folder), seed, WITH_ROWS, shape)
        windows.update(life.world.ledger.window_counts())
        events.update(life.events)
        problems += [f"{shape} with seed {seed}: {problem}" for problem in life.problems()]
        life.world.ledger.close()
        print(f"{windows.total()} windows, {windows['ok']} with rows, {len(problems)} problems", file=sys.stderr)
        enough = windows.total() >= options.windows and windows["ok"] >= options.with_rows
        if enough and life_number + 1 >= len(SHAPES):
            break
    report = {
        "windows": dict(windows),
        "events": dict(events),
        "all_problems": len(problems),
        "problems": problems[:SHOWN],
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(report, indent=1))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
