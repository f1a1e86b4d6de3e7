"""Writer processes for the kill test: a sound one, and two that break the promise in the ways writers do.

Each appends until it is killed, and sends `id value` for each row once it takes it to be safe.
"""

import os
from multiprocessing.connection import Connection
from pathlib import Path

from lifecycle.clock import SystemClock
from lifecycle.feature_log.writer import SegmentWriter, _Segment
from lifecycle.records import PredictionBatch
from tests import builders

SEAL_BYTES = 16_384
BUFFER_BYTES = 8_192


class Buffered(SegmentWriter):
    """Broken: keeps frames in the process until there are enough of them, as a buffered file does."""

    _waiting = b""

    def _write(self, segment: _Segment, data: bytes) -> None:
        self._waiting += data
        segment.size += len(data)
        if len(self._waiting) >= BUFFER_BYTES:
            self._flush(segment)

    def _seal(self) -> None:
        if self._segment:
            self._flush(self._segment)
        super()._seal()

    def _flush(self, segment: _Segment) -> None:
        waiting, self._waiting = self._waiting, b""
        os.write(segment.descriptor, waiting)


def sound(folder: Path, answers: Connection) -> None:
    """Appends, then acknowledges."""
    _append_for_ever(_writer(SegmentWriter, folder), answers, acknowledge_first=False)


def acknowledges_first(folder: Path, answers: Connection) -> None:
    """Broken: acknowledges, then appends."""
    _append_for_ever(_writer(SegmentWriter, folder), answers, acknowledge_first=True)


def buffers(folder: Path, answers: Connection) -> None:
    """Broken: acknowledges what is in a buffer of its own."""
    _append_for_ever(_writer(Buffered, folder), answers, acknowledge_first=False)


def _writer(kind: type[SegmentWriter], folder: Path) -> SegmentWriter:
    return kind(folder, SystemClock(), seal_bytes=SEAL_BYTES, seal_seconds=60)


def _append_for_ever(writer: SegmentWriter, answers: Connection, *, acknowledge_first: bool) -> None:
    count = 0
    while True:
        count += 1
        batch = builders.batch(1 + count % 3, at=SystemClock().now())
        if acknowledge_first:
            _acknowledge(batch, answers)
        writer.append_predictions(batch, builders.schema())
        if not acknowledge_first:
            _acknowledge(batch, answers)


def _acknowledge(batch: PredictionBatch, answers: Connection) -> None:
    rows = zip(batch.ids, batch.columns["a"], strict=True)
    answers.send_bytes("\n".join(f"{identifier} {value}" for identifier, value in rows).encode())
