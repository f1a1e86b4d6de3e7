"""The append side: one writer per process, one open segment at a time, and three levels of durability.

With `process`, what `append` returned from survives the death of the process: one `write(2)` came first. With `disk`, what its future
is done for survives the loss of power too: a thread syncs once for all that wait. With `memory`, a queue and a thread lie
between. A segment is open while its writer holds its lock; it is retired when it is large or old, then synced, and sealed by renaming, after which
the folder may take it. A failed write leaves no half record behind, and after a failed sync a segment is never synced again.
"""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Literal

import structlog

from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log import frames, naming
from lifecycle.feature_log.files import LOCAL_FILES, FileSystem, boot_id
from lifecycle.feature_log.queued import RecordQueue
from lifecycle.feature_log.segment import Segment
from lifecycle.ids import uuid7
from lifecycle.ports import Clock
from lifecycle.records import Label, LogSchema, PredictionBatch

MOST_RETIRED = 64
"""Retired segments that may wait for the disk; while there are as many, the open one grows beyond its size."""
MOST_NAMES = 3
"""Names tried for a new segment, as the folder may adopt one before it is locked."""
Durability = Literal["process", "disk", "memory"]
_Entry = tuple[bytes, LogSchema | None]
"""A payload, and the schema that has to precede it."""
log = structlog.get_logger(__name__)


class SegmentWriter:
    """Appends records to segments in `folder`; safe to call from several threads of one process.

    `seal_if_old` and `close` may wait for the disk; appending never does, beyond its one write. With `disk`, a thread of
    the writer's own syncs and seals, else whoever calls `seal_if_old`.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        seal_bytes: int,
        seal_seconds: float,
        durability: Durability = "process",
        queue_bytes: int = 64 * 2**20,
        files: FileSystem = LOCAL_FILES,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._seal_bytes = seal_bytes
        self._seal_microseconds = int(seal_seconds * 1e6)
        self._durability = durability
        self._files = files
        self._writer = uuid7()
        self._boot = boot_id()
        self._sequence = 0
        self._segment: Segment | None = None
        self._retired: list[Segment] = []
        self._lock = threading.Lock()
        """Held while appending, so never while the disk is waited for."""
        self._settling = threading.Lock()
        """Held while segments are synced and sealed, in order."""
        self._wake = threading.Event()
        self._committer: threading.Thread | None = None
        self._queue = RecordQueue[_Entry](self._write_queued, queue_bytes)

    def append_predictions(self, batch: PredictionBatch, schema: LogSchema) -> Future[None] | None:
        """Record one answered request. Raises StoreUnavailable when it could not be written, as the future may."""
        return self._append(frames.predictions_payload(batch), schema)

    def append_labels(self, labels: list[Label]) -> Future[None] | None:
        """Record labels as they were received. Raises StoreUnavailable when they could not be written."""
        return self._append(frames.labels_payload(labels), None)

    def seal_if_old(self) -> None:
        """Seal the open segment once it has reached its age, and what was retired; called often, from a thread of its own."""
        with self._lock:
            if self._segment and not 0 <= self._clock.now() - self._segment.opened_at < self._seal_microseconds:
                self._retire()  # also when the clock was set back
            if not self._retired:
                return
        if self._durability == "disk":
            self._wake.set()
        else:
            self._settle()

    def close(self) -> None:
        """Write what is queued and seal what is open; the writer can be used again and opens a new segment then."""
        self._queue.close()
        with self._lock:
            self._retire()
            committer, self._committer = self._committer, None
        self._settle()
        if committer:
            self._wake.set()
            committer.join()

    def _append(self, payload: bytes, schema: LogSchema | None) -> Future[None] | None:
        if self._durability == "memory":
            self._queue.put((payload, schema), len(payload))
            return None
        with self._lock:
            try:
                segment = self._write(((payload, schema),))
            except OSError as error:
                raise self._unavailable(error) from error
            if self._durability == "process":
                return None
            future: Future[None] = Future()
            future.set_running_or_notify_cancel()  # a caller who goes away does not take the record along
            segment.waiting.append(future)
            if self._committer is None or not self._committer.is_alive():
                self._committer = threading.Thread(target=self._commit, name="feature-log-commit", daemon=True)
                self._committer.start()
        self._wake.set()
        return future

    def _write_queued(self, entries: Sequence[_Entry]) -> None:
        with self._lock:
            self._write(entries)

    def _write(self, entries: Sequence[_Entry]) -> Segment:
        """Add records to the open segment, or a new one. Raises OSError, and then none of them is there."""
        segment = self._segment
        if segment is None:
            segment = self._segment = self._open()
        payloads: list[bytes] = []
        schemas: set[int] = set()
        for payload, schema in entries:
            if schema and schema.version not in segment.schemas and schema.version not in schemas:
                payloads.append(frames.schema_payload(schema))
                schemas.add(schema.version)
            payloads.append(payload)
        if not segment.frames:
            payloads.insert(0, self._header(segment, entries[0][1]))
        try:
            segment.append(payloads)
        except OSError:
            self._retire()  # so that the next append starts on a fresh file
            raise
        segment.schemas |= schemas
        if segment.size >= self._seal_bytes and len(self._retired) < MOST_RETIRED:
            self._retire()
        return segment

    def _header(self, segment: Segment, schema: LogSchema | None) -> bytes:
        digest = frames.schema_digest(schema) if schema else None
        return frames.header_payload(
            frames.SegmentHeader(self._writer, self._sequence, segment.opened_at, self._boot, os.getpid(), digest)
        )

    def _open(self) -> Segment:
        for attempt in range(1, MOST_NAMES + 1):
            self._sequence += 1
            path = self._folder / naming.open_name(self._writer, self._sequence)
            opened_at = self._clock.now()
            try:
                return Segment(path, self._files.create(path), opened_at)
            except (BlockingIOError, FileNotFoundError):
                if attempt == MOST_NAMES:
                    raise
        raise AssertionError("one of the attempts has returned or raised")

    def _retire(self) -> None:
        """Append nothing more to the open segment; the rest is done where the disk may be waited for.

        An empty file is removed at once: on a full disk every append would leave one.
        """
        segment, self._segment = self._segment, None
        if segment is None:
            return
        if segment.frames:
            self._retired.append(segment)
            return
        self._discard(segment)

    def _commit(self) -> None:
        """Sync for all that wait, again and again, until the writer is closed."""
        while True:
            self._wake.wait()
            self._wake.clear()
            self._settle()
            with self._lock:
                if self._committer is not threading.current_thread():
                    return

    def _settle(self) -> None:
        """Sync what somebody waits for, and sync and seal what was retired, in order."""
        with self._settling:
            with self._lock:
                retired, self._retired = self._retired, []
                current = [self._segment] if self._segment and self._segment.waiting else []
                work = []
                for segment in (*retired, *current):
                    work.append((segment, segment.size, segment.waiting))
                    segment.waiting = []
            try:
                for segment, size, waiting in work:
                    error = self._sync(segment, size)
                    if error:
                        self._give_up(segment, waiting, error)
                    elif segment in retired:
                        self._seal(segment)
                    for future in waiting:
                        if error:
                            future.set_exception(self._unavailable(error))
                        else:
                            future.set_result(None)
            finally:  # whatever else went wrong, nobody waits for ever
                for future in [future for _, _, waiting in work for future in waiting if not future.done()]:
                    future.set_exception(StoreUnavailable("the feature log's thread has ended; look at its log"))

    def _sync(self, segment: Segment, size: int) -> OSError | None:
        """Put `size` bytes of a segment and its name on disk."""
        try:
            if segment.synced < size:
                segment.file.sync()
            if not segment.named:
                self._files.sync_folder(self._folder)
        except OSError as error:
            return error
        segment.synced, segment.named = size, True
        return None

    def _give_up(self, segment: Segment, waiting: list[Future[None]], error: OSError) -> None:
        """Hand over a segment whose sync failed, after which nobody knows what of it is on disk.

        What was waited for is refused, so it is cut off; what was acknowledged without the disk stays.
        """
        with self._lock:
            if self._segment is segment:
                self._segment = None
            elif segment in self._retired:
                self._retired.remove(segment)
            waiting += segment.waiting
            segment.waiting = []
        if self._durability == "disk":
            segment.cut_to_synced()
        log.error("segment_not_synced", segment=segment.path.name, error=str(error), refused=len(waiting))
        if segment.size:
            self._seal(segment)
        else:
            self._discard(segment)

    def _seal(self, segment: Segment) -> None:
        """Hand a segment over to the folder. A torn one stays as it is, to be adopted as a dead writer's is."""
        try:
            if not segment.torn:
                self._files.rename(segment.path, naming.sealed(segment.path, segment.size))
        except OSError as error:
            log.warning("segment_seal_failed", segment=segment.path.name, error=str(error))  # the folder adopts it too
        finally:
            segment.file.close()

    def _discard(self, segment: Segment) -> None:
        try:
            self._files.remove(segment.path)
        except OSError as error:
            log.warning("segment_not_removed", segment=segment.path.name, error=str(error))  # the folder adopts it
        finally:
            segment.file.close()

    def _unavailable(self, error: OSError) -> StoreUnavailable:
        return StoreUnavailable(
            f"the feature log could not write to {self._folder}: {error.strerror or error}; free space or repair the disk"
        )
