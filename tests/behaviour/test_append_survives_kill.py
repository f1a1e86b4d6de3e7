"""`kill -9` of a writing process at any moment loses no acknowledged record and doubles none."""

import multiprocessing
import random
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from lifecycle.clock import SystemClock
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.table import LogTables
from tests.behaviour import append_writers

KILLS = 30
LONGEST_RUN = 400
"""Acknowledgements after which a writer is killed, at most."""
ANSWER_SECONDS = 30
Writer = Callable[[Path, Connection], None]


@pytest.fixture(scope="module")
def processes() -> multiprocessing.context.ForkServerContext:
    """Children that start in milliseconds, from a process that has loaded what they need and nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.behaviour.append_writers"])
    return context


def test_nothing_acknowledged_is_lost_or_doubled(
    processes: multiprocessing.context.ForkServerContext, tmp_path: Path
) -> None:
    acknowledged, kept = _kill_and_read(processes, append_writers.sound, tmp_path)
    assert len(acknowledged) > 10 * KILLS
    assert _lost(acknowledged, kept) == []
    assert [identifier for identifier, count in kept.items() if count > 1] == []


@pytest.mark.parametrize("broken", [append_writers.acknowledges_first, append_writers.buffers])
def test_the_same_check_catches_a_broken_writer(
    processes: multiprocessing.context.ForkServerContext, tmp_path: Path, broken: Writer
) -> None:
    assert _lost(*_kill_and_read(processes, broken, tmp_path))


def _lost(acknowledged: list[str], kept: Counter[str]) -> list[str]:
    return [row for row in acknowledged if row not in kept]


def _kill_and_read(
    processes: multiprocessing.context.ForkServerContext, writer: Writer, folder: Path
) -> tuple[list[str], Counter[str]]:
    """The rows that were acknowledged, and how often each row is in the table after folding. Folds between kills."""
    tables = LogTables(folder)
    clock = SystemClock()
    lengths = random.Random(7)
    began = clock.now()
    acknowledged: list[str] = []
    for kill in range(KILLS):
        acknowledged += _run_and_kill(processes, writer, tables.segments, lengths.randrange(LONGEST_RUN))
        if kill % 7 == 0:
            Folder(tables, clock, compact_commits=10).fold()
    status = Folder(tables, clock, compact_commits=10).fold()
    assert (status.pending_segments, status.quarantined_segments) == (0, 0), "a kill leaves torn ends, not corruption"
    rows = tables.window(began, clock.now() + 1, columns=["id", "feature_a"]).to_pylist()
    return acknowledged, Counter(f"{row['id']} {row['feature_a']}" for row in rows)


def _run_and_kill(
    processes: multiprocessing.context.ForkServerContext, writer: Writer, segments: Path, answers_before_kill: int
) -> list[str]:
    """Every acknowledgement that left the writer, those still in the pipe when it died included."""
    reading, writing = processes.Pipe(duplex=False)
    process = processes.Process(target=writer, args=(segments, writing))
    process.start()
    writing.close()
    acknowledged: list[str] = []
    for _ in range(answers_before_kill):
        assert reading.poll(ANSWER_SECONDS), "the writer answers"
        acknowledged += reading.recv_bytes().decode().splitlines()
    process.kill()
    process.join()
    process.close()
    with reading:
        while reading.poll(ANSWER_SECONDS):
            try:
                acknowledged += reading.recv_bytes().decode().splitlines()
            except EOFError:
                break
    return acknowledged
