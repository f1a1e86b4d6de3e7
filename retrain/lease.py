"""The retrain lease: at most one process works at a time, and one that died frees the way by itself.

The holder is the run and the process, `RUN:PROCESS`: a second attempt at a run is another holder, so a first one that was
only paused finds that it lost the lease.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from lifecycle.errors import Conflict, StoreUnavailable
from lifecycle.ids import uuid7
from lifecycle.ports import Clock, LeaseLedger

NAME = "retrain"
log = structlog.get_logger(__name__)


class RetrainLease:
    """The lease as one run holds it, for `seconds` at a time."""

    def __init__(self, ledger: LeaseLedger, clock: Clock, run: str, seconds: float) -> None:
        self._ledger = ledger
        self._clock = clock
        self._holder = f"{run}:{uuid7()}"
        self._seconds = seconds

    def renew(self) -> None:
        """Take or extend the lease. Raises Conflict when another run has it."""
        if self._ledger.acquire(NAME, self._holder, self._clock.now(), self._seconds) is None:
            raise Conflict("another retrain run is at work; wait for it to end (`evenkeel status` shows it)")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease, renewed by a thread, while the block runs."""
        self.renew()
        stop = threading.Event()
        thread = threading.Thread(target=self._keep, args=(stop,), name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self._ledger.release(NAME, self._holder)

    def _keep(self, stop: threading.Event) -> None:
        while not self._clock.wait(stop, self._seconds / 3):
            try:
                self.renew()
            except (Conflict, StoreUnavailable) as error:
                log.error("retrain_lease_not_renewed", error=str(error))
