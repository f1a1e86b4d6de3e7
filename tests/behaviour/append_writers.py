"""Writer processes for the kill test: sound ones, and some that break the promise in the ways writers do.

Each appends until it is killed, and sends `id value` for each row once it takes it to be safe.
"""

import os
import signal
from collections import deque
from concurrent.futures import Future
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Literal

from lifecycle.clock import SystemClock
from lifecycle.feature_log.files import LocalFile, LocalFiles
from lifecycle.feature_log.writer import SegmentWriter
from lifecycle.records import PredictionBatch
from tests import builders

SEAL_BYTES = 16_384
BUFFER_BYTES = 8_192
SEAL_EVERY = 50
"""Appends between two looks at the segment's age, as a worker's own thread takes them."""
IN_FLIGHT = 4
ANSWER_SECONDS = 30


class BufferedFile(LocalFile):
    """Keeps what is appended in the process until there is enough of it, as a buffered file does."""

    _waiting = b""

    def append(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) >= BUFFER_BYTES:
            self._flush()

    def sync(self) -> None:
        self._flush()
        super().sync()

    def truncate(self, size: int) -> None:
        self._flush()
        super().truncate(size)

    def close(self) -> None:
        self._flush()
        super().close()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, b""
        if waiting:
            super().append(waiting)


class BufferedFiles(LocalFiles):
    """Broken: files whose appends are not yet with the system when they return."""

    def create(self, path: Path) -> LocalFile:
        path.parent.mkdir(parents=True, exist_ok=True)
        return BufferedFile(path, os.O_CREAT | os.O_EXCL)


class DeadlyFile(LocalFile):
    """A file during whose n-th append the process dies, with a part of the record written."""

    def __init__(self, path: Path, flags: int, appends: int) -> None:
        super().__init__(path, flags)
        self._left = appends

    def append(self, data: bytes) -> None:
        self._left -= 1
        if self._left <= 0:
            super().append(data[: 1 + self._left % len(data)])
            os.kill(os.getpid(), signal.SIGKILL)
        super().append(data)


class DeadlyFiles(LocalFiles):
    """Whoever writes here dies soon, in the middle of a write."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def create(self, path: Path) -> LocalFile:
        path.parent.mkdir(parents=True, exist_ok=True)
        return DeadlyFile(path, os.O_CREAT | os.O_EXCL, self._random.randint(1, 60))


def sound(folder: Path, answers: Connection, *, durability: Literal["process", "disk"] = "process") -> None:
    """Appends, then acknowledges."""
    _append_for_ever(_writer(folder, LocalFiles(), durability), answers, acknowledge_first=False)


durable = partial(sound, durability="disk")
"""Appends, and acknowledges what is on disk, a few requests at a time."""


def acknowledges_first(folder: Path, answers: Connection) -> None:
    """Broken: acknowledges, then appends."""
    _append_for_ever(_writer(folder, LocalFiles()), answers, acknowledge_first=True)


def buffers(folder: Path, answers: Connection) -> None:
    """Broken: acknowledges what is in a buffer of its own."""
    _append_for_ever(_writer(folder, BufferedFiles()), answers, acknowledge_first=False)


def dies_writing(folder: Path, answers: Connection) -> None:
    """Sound, and dies in the middle of a write before anybody kills it."""
    _append_for_ever(_writer(folder, DeadlyFiles(Random(os.getpid()))), answers, acknowledge_first=False)


def _writer(folder: Path, files: LocalFiles, durability: Literal["process", "disk"] = "process") -> SegmentWriter:
    return SegmentWriter(
        folder, SystemClock(), seal_bytes=SEAL_BYTES, seal_seconds=0.05, durability=durability, files=files
    )


def _append_for_ever(writer: SegmentWriter, answers: Connection, *, acknowledge_first: bool) -> None:
    count = 0
    waiting: deque[tuple[PredictionBatch, Future[None] | None]] = deque()
    while True:
        count += 1
        batch = builders.batch(1 + count % 3, at=SystemClock().now())
        if acknowledge_first:
            _acknowledge(batch, answers)
        waiting.append((batch, writer.append_predictions(batch, builders.schema())))
        while waiting and (waiting[0][1] is None or len(waiting) >= IN_FLIGHT):
            written, done = waiting.popleft()
            if done is not None:
                done.result(ANSWER_SECONDS)
            if not acknowledge_first:
                _acknowledge(written, answers)
        if count % SEAL_EVERY == 0:
            writer.seal_if_old()


def _acknowledge(batch: PredictionBatch, answers: Connection) -> None:
    rows = zip(batch.ids, batch.columns["a"], strict=True)
    answers.send_bytes("\n".join(f"{identifier} {value}" for identifier, value in rows).encode())
