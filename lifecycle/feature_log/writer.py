"""The append side: one writer per process, one open segment at a time, one `write(2)` before any acknowledgement.

What `append` returned from survives the death of the process. A segment is open while its writer holds its lock; it is
sealed by renaming, after which the folder may take it. A failed write leaves no half record behind.
"""

import fcntl
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import structlog

from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log import frames
from lifecycle.ids import uuid7
from lifecycle.ports import Clock
from lifecycle.records import Label, LogSchema, PredictionBatch

OPEN, SEALED = ".open", ".seg"
SEGMENTS = "segments"
"""The folder of segments, in that of the feature log."""
log = structlog.get_logger(__name__)


@dataclass
class _Segment:
    path: Path
    descriptor: int
    size: int
    opened_at: int
    schemas: set[int]


class SegmentWriter:
    """Appends records to segments in `folder`; safe to call from several threads of one process."""

    def __init__(self, folder: Path, clock: Clock, *, seal_bytes: int, seal_seconds: float) -> None:
        self._folder = folder
        self._clock = clock
        self._seal_bytes = seal_bytes
        self._seal_microseconds = int(seal_seconds * 1e6)
        self._writer = uuid7()
        self._sequence = 0
        self._segment: _Segment | None = None
        self._lock = threading.Lock()

    def append_predictions(self, batch: PredictionBatch, schema: LogSchema) -> None:
        """Record one answered request. Raises StoreUnavailable when it could not be written."""
        self._append(frames.encode_predictions(batch), schema)

    def append_labels(self, labels: list[Label]) -> None:
        """Record labels as they were received. Raises StoreUnavailable when they could not be written."""
        self._append(frames.encode_labels(labels), None)

    def seal_if_old(self) -> None:
        """Seal the open segment once it has reached its age; called often, from a thread of its own."""
        with self._lock:
            if self._segment and self._clock.now() - self._segment.opened_at >= self._seal_microseconds:
                self._seal()

    def close(self) -> None:
        """Seal what is open; the writer can be used again and opens a new segment then."""
        with self._lock:
            self._seal()

    def _append(self, frame: bytes, schema: LogSchema | None) -> None:
        with self._lock:
            try:
                segment = self._segment or self._open()
                if schema and schema.version not in segment.schemas:
                    frame = frames.encode_schema(schema) + frame
                self._write(segment, frame)
            except OSError as error:
                raise StoreUnavailable(
                    f"the feature log could not write to {self._folder}: {error.strerror}; free space or repair the disk"
                ) from error
            if schema:
                segment.schemas.add(schema.version)
            if segment.size >= self._seal_bytes:
                self._seal()

    def _open(self) -> _Segment:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._sequence += 1
        path = self._folder / f"{self._writer}.{self._sequence:010d}{OPEN}"
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._segment = _Segment(path, descriptor, 0, self._clock.now(), set())
        header = frames.SegmentHeader(self._writer, self._sequence, self._segment.opened_at)
        self._write(self._segment, frames.encode_header(header))
        return self._segment

    def _write(self, segment: _Segment, data: bytes) -> None:
        try:
            written = os.write(segment.descriptor, data)
            if written != len(data):
                raise OSError(28, "only part of a record could be written")
        except OSError:
            self._abandon(segment)
            raise
        segment.size += len(data)

    def _abandon(self, segment: _Segment) -> None:
        """Cut off what a failed write left and seal, so that the next append starts on a fresh file."""
        try:
            os.ftruncate(segment.descriptor, segment.size)
        except OSError as error:
            # The reader recognises the torn end by its length and checksum; the next append uses another file.
            log.warning("segment_truncation_failed", segment=segment.path.name, error=str(error))
        self._seal()

    def _seal(self) -> None:
        segment, self._segment = self._segment, None
        if segment is None:
            return
        try:
            segment.path.rename(segment.path.with_suffix(SEALED))
        except OSError as error:
            # Still `.open` but no longer locked: the folder adopts it as it does a dead writer's.
            log.warning("segment_seal_failed", segment=segment.path.name, error=str(error))
        finally:
            os.close(segment.descriptor)
