#!/usr/bin/env python3
"""How fast the folder moves one-row records into the table: from a backlog of any size, or while they arrive at a steady rate.

Segments are written as serving workers do, with 20 numeric and 5 categorical columns. A process of its own folds them, merging
files as it goes, and says how much processor time that took, how far it fell behind, and how large it grew beyond its imports.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

import numpy as np

from lifecycle.clock import MICROSECONDS, SystemClock
from lifecycle.config import FeatureLogSection
from lifecycle.feature_log.compaction import tidy
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.table import LogTables
from lifecycle.feature_log.writer import SegmentWriter
from lifecycle.ids import uuid7
from lifecycle.records import LogSchema, PredictionBatch

NUMERIC = [f"number_{index}" for index in range(20)]
CATEGORICAL = [f"category_{index}" for index in range(5)]
SCHEMA = LogSchema(1, dict.fromkeys(NUMERIC, "numeric") | dict.fromkeys(CATEGORICAL, "categorical"), ("no", "yes"))
WRITERS = 2
DIFFERENT = 1_000
"""Rows of different numbers, used again and again."""
TOGETHER = 500
"""Rows that are written before a look at the clock."""
DONE = "done"
"""A file that says that no more will be written."""


def write(folder: Path, rows: int, rate: float = 0) -> float:
    """Append `rows` records of one row each, by WRITERS writers; `rate` is in rows per second, 0 as fast as it goes. The seconds it took."""
    clock = SystemClock()
    numbers = np.random.default_rng(0).normal(size=(DIFFERENT, len(NUMERIC))).tolist()
    writers = [SegmentWriter(folder, clock, seal_bytes=4 * 2**20, seal_seconds=1) for _ in range(WRITERS)]
    began = time.perf_counter()
    for index, writer in zip(range(rows), cycle(writers), strict=False):
        writer.append_predictions(_batch(numbers[index % DIFFERENT], index), SCHEMA)
        if index % TOGETHER == 0:
            for each in writers:
                each.seal_if_old()
            if rate:
                time.sleep(max(0.0, began + index / rate - time.perf_counter()))
    took = time.perf_counter() - began
    for writer in writers:
        writer.close()
    return took


def _batch(numbers: list[float], index: int) -> PredictionBatch:
    columns: dict[str, list[float | str]] = {name: [value] for name, value in zip(NUMERIC, numbers, strict=True)}
    columns |= {name: [f"value {index % 7}"] for name in CATEGORICAL}
    return PredictionBatch(
        request_id=uuid7(),
        at=SystemClock().now(),
        model="benchmark",
        version=1,
        generation=1,
        protocol="native",
        ids=[uuid7()],
        columns=columns,
        predictions=["yes"],
        probabilities={"no": [0.25], "yes": [0.75]},
        latency_us=900,
    )


def fold(work: Path) -> dict[str, float]:
    """Fold, in this process, all there is and all that comes until it is said to be done."""
    tables, clock, settings = LogTables(work), SystemClock(), FeatureLogSection()
    began, worked = time.perf_counter(), time.process_time()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    folder = Folder(tables, clock)
    folds, longest, lag = 0, 0.0, 0.0
    while True:
        last = (work / DONE).exists()
        at = time.perf_counter()
        status = folder.fold()
        tidy(tables, clock, settings)
        folds += 1
        longest = max(longest, time.perf_counter() - at)
        lag = max(lag, (status.at - status.watermark) / MICROSECONDS)
        if last and not status.pending_segments:
            break
        if not folder.behind:
            time.sleep(settings.fold_seconds)
    return {
        "rows": status.folded_rows,
        "seconds": time.perf_counter() - began,
        "processor_seconds": time.process_time() - worked,
        "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "folds": folds,
        "longest": longest,
        "lag": lag,
        "files": len(tables.predictions.files()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backlog", type=int, default=100_000, metavar="ROWS", help="rows that are there at the start")
    parser.add_argument("--rate", type=float, default=0, metavar="ROWS_PER_S", help="rows that arrive meanwhile")
    parser.add_argument("--seconds", type=float, default=5, help="for so long")
    parser.add_argument("--work", type=Path, help="folder for the log; a temporary one if not given")
    parser.add_argument("--fold", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fold:
        print(json.dumps(fold(arguments.fold)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.work) as work:
        segments = LogTables(Path(work)).segments
        if arguments.backlog:
            print(f"{arguments.backlog} rows written in {write(segments, arguments.backlog):.1f} s")
        command = [sys.executable, __file__, "--fold", work]
        root = str(Path(__file__).parents[1])
        with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}) as folding:
            if arguments.rate:
                rows = int(arguments.rate * arguments.seconds)
                print(f"{rows} rows arrived in {write(segments, rows, arguments.rate):.1f} s")
            (Path(work) / DONE).touch()
            output, _ = folding.communicate()
    if folding.returncode:
        raise SystemExit(folding.returncode)
    found = json.loads(output.splitlines()[-1])
    print(
        f"{found['rows']:.0f} rows folded in {found['seconds']:.1f} s and {found['processor_seconds']:.1f} s of processor: "
        f"{found['rows'] / found['processor_seconds']:,.0f} rows per second of processor; {found['folds']:.0f} folds, the longest of "
        f"{found['longest']:.1f} s; never more than {found['lag']:.1f} s behind at its end; {found['megabytes']:.0f} MB more than after "
        f"its imports; {found['files']:.0f} files"
    )


if __name__ == "__main__":
    main()
