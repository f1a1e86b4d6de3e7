"""What a window of 100,000 rows costs out of a log of a million rows, and out of one of ten million; and opening an old log.

`python -m benchmarks.window --work FOLDER` makes both logs once (about 1.3 GB), then reads the same window of each in fresh processes,
in turn, and prints medians: seconds, and memory above what was there before. With `--commits 20000` it instead folds as many
times, five seconds of the clock apart, and says now and then how long a table takes to open.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from lifecycle.clock import ManualClock, to_datetime
from lifecycle.config import FeatureLogSection
from lifecycle.feature_log import compaction
from lifecycle.feature_log.placing import MOMENT
from lifecycle.feature_log.table import LogTables, label_schema
from lifecycle.ids import uuid7s

MILLION = 1_000_000
SIZES = {"1 million": MILLION, "10 million": 10 * MILLION}
WINDOW_ROWS = 100_000
COMMIT_ROWS = 50_000
FEATURES = 10
FOLD_SECONDS, FOLDS_PER_HOUR = 5, 720
DAY = 86_400_000_000
START = 1_700_006_400_000_000
STEP = DAY // MILLION
"""A million rows a day: both logs are as dense, and the larger one is longer."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the two logs; kept")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    parser.add_argument("--commits", type=int, default=0, help="measure opening after so many commits instead")
    arguments = parser.parse_args()
    if arguments.read:
        print(json.dumps(measured(arguments.work / arguments.read)))
        return
    if arguments.commits:
        opening(arguments.work / "commits", arguments.commits)
        return
    for name, rows in SIZES.items():
        make(arguments.work / name, rows)
    print(report(arguments.work, arguments.runs))


def make(folder: Path, rows: int) -> None:
    """A log of `rows` predictions, half of them labelled, folded and merged as the product does it."""
    done = folder / "made"
    if done.exists():
        return
    tables = LogTables(folder)
    clock, settings = ManualClock(START), FeatureLogSection(vacuum_minutes=0)
    random = np.random.default_rng(0)
    for first in range(tables.row_count(), rows, COMMIT_ROWS):
        predictions, labels = part(first, random)
        tables.predictions.append(predictions, {})
        tables.labels.append(labels, {})
        clock.at = START + first * STEP
        compaction.tidy(tables, clock, settings)
    clock.advance(2 * 86_400)
    while compaction.tidy(tables, clock, settings):
        clock.advance(60)
    done.touch()


def part(first: int, random: np.random.Generator) -> tuple[pa.Table, pa.Table]:
    """COMMIT_ROWS predictions from the row number `first` on, and labels of every second one."""
    at = START + (first + np.arange(COMMIT_ROWS)) * STEP
    ids = [uuid7s(1, int(moment) // 1000)[0] for moment in at]
    days = [to_datetime(int(moment)).date().isoformat() for moment in at]
    values = random.normal(size=(FEATURES, COMMIT_ROWS))
    columns: dict[str, pa.Array] = {
        "id": pa.array(ids),
        "request_id": pa.array(ids),
        "at": pa.array(at, MOMENT),
        "day": pa.array(days),
        "version": pa.repeat(pa.scalar(1, pa.int64()), COMMIT_ROWS),
        "latency_us": pa.array(random.integers(100, 2_000, COMMIT_ROWS)),
    }
    columns |= {f"feature_{index}": pa.array(values[index]) for index in range(FEATURES)}
    columns["prediction"] = pa.array(np.where(values[0] > 0, "yes", "no"))
    some = slice(None, None, 2)
    answers = {
        "id": ids[some],
        "day": days[some],
        "label": columns["prediction"].to_pylist()[some],
        "observed_at": at[some],
        "received_at": at[some] + 60_000_000,
    }
    schema = label_schema(pa.string())
    labels = [pa.array(answers.get(field.name, [None] * len(answers["id"])), field.type) for field in schema]
    return pa.table(columns), pa.table(labels, schema=schema)


def measured(folder: Path) -> dict[str, float]:
    """One read of the window in the middle of the first million, labels joined."""
    tables = LogTables(folder)
    tables.rows(0, 1)  # what a first call loads is no part of a window
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before, resident = resource.getrusage(resource.RUSAGE_SELF), kilobytes("VmRSS")
    began = time.perf_counter()
    start = START + 450_000 * STEP
    rows = tables.rows(start, start + WINDOW_ROWS * STEP, labels=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert rows.num_rows == WINDOW_ROWS, rows.num_rows
    assert rows["label"].null_count == WINDOW_ROWS // 2, rows["label"].null_count
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu seconds": cpu, "megabytes": (kilobytes("VmHWM") - resident) / 1024}


def kilobytes(measure: str) -> int:
    """A line of what Linux says about this process's memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(measure)).split()[1])


def opening(folder: Path, commits: int) -> None:
    """Fold a row at a time with all that is done to keep the table tidy; print what opening it costs on the way."""
    tables, clock, settings = LogTables(folder), ManualClock(START), FeatureLogSection()
    random = np.random.default_rng(0)
    predictions, _ = part(0, random)
    log = folder / "predictions" / "_delta_log"
    for index in range(commits):
        if index % FOLDS_PER_HOUR == 0:
            for path in log.glob("*"):
                os.utime(path, (0, 0))  # what is on disk by now is an hour old
        tables.predictions.append(moved(predictions.slice(index % COMMIT_ROWS, 1), index), {"writer": index + 1})
        compaction.tidy(tables, clock, settings)
        clock.advance(FOLD_SECONDS)
        if (index + 1) % (commits // 10) == 0:
            print(told(folder, index + 1, log), flush=True)


def moved(row: pa.Table, index: int) -> pa.Table:
    """`row` as one of the fold with this number."""
    at = START + index * FOLD_SECONDS * 1_000_000
    columns = {"at": pa.array([at], MOMENT), "day": pa.array([to_datetime(at).date().isoformat()])}
    for name, values in columns.items():
        row = row.set_column(row.schema.get_field_index(name), name, values)
    return row


def told(folder: Path, commits: int, log: Path) -> str:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        state = LogTables(folder).predictions.state()
        seconds.append(time.perf_counter() - began)
    assert state is not None
    facts = f"{state.rows} rows in {len(state.files)} files, {len(list(log.iterdir()))} entries in the log"
    return f"{commits} commits: opened in {statistics.median(seconds) * 1000:.1f} ms; {facts}"


def report(work: Path, runs: int) -> str:
    """Both logs in turn; medians, and the larger one's as a multiple of the smaller one's."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in SIZES}
    for _ in range(runs):
        for name in SIZES:
            command = [sys.executable, "-m", "benchmarks.window", "--work", str(work), "--read", name]
            found[name].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    small, large = SIZES
    lines = [f"A window of {WINDOW_ROWS:,} rows with labels, {FEATURES} features; medians of {runs} fresh processes"]
    for measure in found[small][0]:
        medians = {name: statistics.median(run[measure] for run in found[name]) for name in SIZES}
        told = ", ".join(f"{value:.3f} of {name}" for name, value in medians.items())
        lines.append(f"{measure}: {told}; {medians[large] / medians[small]:.2f} times")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
