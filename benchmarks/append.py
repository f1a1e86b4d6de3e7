#!/usr/bin/env python3
"""What recording an answer costs, at each level of durability.

    python -m benchmarks.append
    python -m benchmarks.append --durability disk --processes 2 --tasks 8

First the processor's time of an append, for requests of 1, 10 and 100 rows of 10 and of 25 columns: the least of many blocks, since whatever
else runs on the machine only adds to it. With `disk`, then what asynchronous callers get who wait for their record, as
those of a serving worker do: records per second of all processes, and how long one took.
"""

import argparse
import asyncio
import multiprocessing
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import uvloop

from lifecycle.clock import SystemClock
from lifecycle.feature_log.writer import Durability, SegmentWriter
from lifecycle.ids import uuid7
from lifecycle.records import LogSchema, PredictionBatch

BLOCK = 100
"""Appends between two looks at the processor's time."""
SEAL_EVERY_SECONDS = 0.1
CATEGORICAL = 5


def schema(columns: int) -> LogSchema:
    """So many columns, five of them categorical."""
    numeric = [f"number_{index}" for index in range(columns - CATEGORICAL)]
    categorical = [f"category_{index}" for index in range(CATEGORICAL)]
    return LogSchema(1, dict.fromkeys(numeric, "numeric") | dict.fromkeys(categorical, "categorical"), ("no", "yes"))


def batch(rows: int, columns: int) -> PredictionBatch:
    """An answer of `rows` rows with full-length random numbers, as real measurements have."""
    kinds = schema(columns).kinds
    numbers = np.random.default_rng(0).normal(size=(columns, rows)).tolist()
    return PredictionBatch(
        request_id=uuid7(),
        at=SystemClock().now(),
        model="benchmark",
        version=1,
        generation=1,
        protocol="native",
        ids=[uuid7() for _ in range(rows)],
        columns={
            name: values if kind == "numeric" else ["category"] * rows
            for (name, kind), values in zip(kinds.items(), numbers, strict=True)
        },
        predictions=["yes"] * rows,
        probabilities={"no": [0.25] * rows, "yes": [0.75] * rows},
        latency_us=900,
    )


def writer(folder: Path, durability: Durability) -> SegmentWriter:
    """With the sizes and ages of a project that changes nothing."""
    return SegmentWriter(folder, SystemClock(), seal_bytes=4 * 2**20, seal_seconds=1, durability=durability)


def cost(folder: Path, rows: int, columns: int, appends: int, durability: Durability) -> npt.NDArray[np.float64]:
    """Microseconds of the processor per append, of each block."""
    log = writer(folder, durability)
    record, kinds = batch(rows, columns), schema(columns)
    spent = []
    for _ in range(appends // BLOCK):
        began = time.process_time()
        for _ in range(BLOCK):
            log.append_predictions(record, kinds)
        spent.append((time.process_time() - began) / BLOCK)
        log.seal_if_old()
    log.close()
    return 1e6 * np.array(spent)


def waits(folder: Path, durability: Durability, tasks: int, columns: int, seconds: float) -> list[float]:
    """Seconds that each append of `tasks` asynchronous callers took, who append for `seconds`."""
    log = writer(folder, durability)
    stop = threading.Event()
    sealer = threading.Thread(target=_seal, args=(log, stop))
    sealer.start()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        taken = runner.run(_append_together(log, tasks, columns, seconds))
    stop.set()
    sealer.join()
    log.close()
    return taken


def _seal(log: SegmentWriter, stop: threading.Event) -> None:
    while not stop.wait(SEAL_EVERY_SECONDS):
        log.seal_if_old()


async def _append_together(log: SegmentWriter, tasks: int, columns: int, seconds: float) -> list[float]:
    kinds, taken = schema(columns), list[float]()
    end = time.perf_counter() + seconds

    async def caller() -> None:
        record = batch(1, columns)
        while (began := time.perf_counter()) < end:
            pending = log.append_predictions(record, kinds)
            if pending is None:
                await asyncio.sleep(0)
            else:
                await asyncio.wrap_future(pending)
            taken.append(time.perf_counter() - began)

    await asyncio.gather(*(caller() for _ in range(tasks)))
    return taken


def together(durability: Durability, processes: int, tasks: int, columns: int, seconds: float) -> None:
    """Print what callers in several processes get."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        one = partial(waits, Path(folder), durability, tasks, columns)
        list(pool.map(one, [0.2] * processes))  # so that none is still starting
        taken = [wait for each in pool.map(one, [seconds] * processes) for wait in each]
    median, slow, worst = 1e3 * np.percentile(taken, [50, 99, 100])
    print(
        f"{durability}, one-row records of {columns} columns, {processes} processes x {tasks} callers, {seconds:g} s:"
    )
    print(f"{len(taken) / seconds:.0f} records/s, median {median:.2f} ms, 99 % {slow:.2f} ms, longest {worst:.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--appends", type=int, default=5_000)
    parser.add_argument("--durability", choices=get_args(Durability), default="process")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--tasks", type=int, default=8, help="callers at a time in each process")
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    print("columns   rows per append   least CPU us   median CPU us   least per row")
    for columns in (10, 25):
        for rows in (1, 10, 100):
            with tempfile.TemporaryDirectory() as folder:
                spent = cost(Path(folder), rows, columns, options.appends, options.durability)
            least, median = spent.min(), np.median(spent)
            print(f"{columns:7d} {rows:17d} {least:14.1f} {median:15.1f} {least / rows:15.2f}")
    for columns in (10, 25):
        together(options.durability, options.processes, options.tasks, columns, options.seconds)


if __name__ == "__main__":
    main()
