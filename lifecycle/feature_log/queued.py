"""Records that wait in memory for a thread to write them: a bounded queue, which refuses rather than grow."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import structlog

from lifecycle.errors import StoreUnavailable

MOST_AT_ONCE = 2**20
RETRY_SECONDS = 0.1
Item = TypeVar("Item")
log = structlog.get_logger(__name__)


class RecordQueue(Generic[Item]):
    """Hands items to `write` in the order they came, in a thread of its own, until `close`.

    What `write` raises OSError for stays at the head and is tried again, so a disk that is full for a while costs nothing but
    what no longer fits.
    """

    def __init__(self, write: Callable[[Sequence[Item]], None], limit: int) -> None:
        self._write = write
        self._limit = limit
        self._items: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._ending = threading.Lock()
        self._closing = False
        self._failed = False
        self._thread: threading.Thread | None = None

    def put(self, item: Item, size: int) -> None:
        """Raises StoreUnavailable when the queue is full, or is being closed, and keeps nothing then."""
        with self._changed:
            if self._closing:
                raise StoreUnavailable("the feature log's queue is being closed; send it again to a worker that stays")
            if self._bytes + size > self._limit:
                raise StoreUnavailable(
                    f"the feature log's queue holds {self._bytes} bytes that are not written, and takes {self._limit}; "
                    "free space, repair the disk, or raise `[feature_log] queue_bytes`"
                )
            self._items.append((item, size))
            self._bytes += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="feature-log-queue", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Write what waits, or say how much could not be written; the next `put` begins anew."""
        with self._ending:
            with self._changed:
                self._closing = True
                self._changed.notify()
            if self._thread:
                self._thread.join()
            with self._changed:
                self._thread, self._closing = None, False
                if self._items:
                    log.error("queued_records_lost", records=len(self._items), bytes=self._bytes)
                    self._items.clear()
                    self._bytes = 0

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._closing)
                if not self._items:
                    return
                taken, last = self._head(), self._closing
            written = self._written(taken)
            with self._changed:
                if written:
                    for _, size in taken:
                        self._items.popleft()
                        self._bytes -= size
                elif last:
                    return
                else:
                    self._changed.wait_for(lambda: self._closing, RETRY_SECONDS)

    def _head(self) -> list[tuple[Item, int]]:
        taken: list[tuple[Item, int]] = []
        size = 0
        for item in self._items:
            if taken and size + item[1] > MOST_AT_ONCE:
                break
            taken.append(item)
            size += item[1]
        return taken

    def _written(self, taken: Sequence[tuple[Item, int]]) -> bool:
        try:
            self._write([item for item, _ in taken])
        except OSError as error:
            if not self._failed:
                log.error("queued_records_not_written", error=str(error), waiting_bytes=self._bytes)
            self._failed = True
            return False
        self._failed = False
        return True
