#!/usr/bin/env python3
"""What recording an answer costs: microseconds per append of `SegmentWriter`, for requests of 1, 10 and 100 rows.

Each append is one encoded frame and one `write(2)`, as in a serving worker, with 20 numeric and 5 categorical columns.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from lifecycle.clock import SystemClock
from lifecycle.feature_log.writer import SegmentWriter
from lifecycle.ids import uuid7
from lifecycle.records import LogSchema, PredictionBatch

NUMERIC = [f"number_{index}" for index in range(20)]
CATEGORICAL = [f"category_{index}" for index in range(5)]
SCHEMA = LogSchema(1, dict.fromkeys(NUMERIC, "numeric") | dict.fromkeys(CATEGORICAL, "categorical"), ("no", "yes"))


def batch(rows: int) -> PredictionBatch:
    """An answer of `rows` rows with full-length random numbers, as real measurements have."""
    numbers = np.random.default_rng(0).normal(size=(len(NUMERIC), rows)).tolist()
    return PredictionBatch(
        request_id=uuid7(),
        at=SystemClock().now(),
        model="benchmark",
        version=1,
        generation=1,
        protocol="native",
        ids=[uuid7() for _ in range(rows)],
        columns=dict(zip(NUMERIC, numbers, strict=True)) | {name: ["category"] * rows for name in CATEGORICAL},
        predictions=["yes"] * rows,
        probabilities={"no": [0.25] * rows, "yes": [0.75] * rows},
        latency_us=900,
    )


def measure(folder: Path, rows: int, appends: int) -> list[float]:
    """Seconds of each of `appends` appends, after a tenth as many to warm up."""
    writer = SegmentWriter(folder, SystemClock(), seal_bytes=4 * 2**20, seal_seconds=1)
    record = batch(rows)
    seconds = []
    for _ in range(appends + appends // 10):
        began = time.perf_counter()
        writer.append_predictions(record, SCHEMA)
        seconds.append(time.perf_counter() - began)
    writer.close()
    return seconds[appends // 10 :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--appends", type=int, default=5_000)
    appends = parser.parse_args().appends
    print("rows per append   median us   99 % us   us per row")
    for rows in (1, 10, 100):
        with tempfile.TemporaryDirectory() as folder:
            microseconds = 1e6 * np.array(measure(Path(folder), rows, appends))
        median, slow = np.percentile(microseconds, [50, 99])
        print(f"{rows:15d} {median:11.1f} {slow:9.1f} {median / rows:12.2f}")


if __name__ == "__main__":
    main()
