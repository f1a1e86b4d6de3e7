"""The model that answers, the thread that follows the champion pointer, and those that seal and show that the worker lives.

A request takes `live` once and uses nothing else, so its answer, its record and its version agree. The follower loads a
staged version beside the live one, reports whether it would answer, and replaces the reference when the pointer moves.
A version that cannot be loaded never replaces one that works.
"""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import structlog

from lifecycle import models
from lifecycle.contract import Scalar
from lifecycle.errors import ArtefactRejected, EvenkeelError, StoreUnavailable
from lifecycle.ids import uuid7
from lifecycle.ports import Clock, FeatureLog, ModelStore, PointerLedger, VersionLedger, WorkerLedger
from lifecycle.promotion import HEARTBEAT_SECONDS
from lifecycle.records import LogSchema, ModelVersion, Pointer, Worker
from service.metrics import ServiceMetrics

RETRY_SECONDS = 5.0
STOP_SECONDS = 2.0
log = structlog.get_logger(__name__)


class FollowerLedger(VersionLedger, PointerLedger, WorkerLedger, Protocol):
    """The parts of the ledger a worker reads and reports to."""


@dataclass(frozen=True)
class Live:
    """A loaded version under the generation that made it champion. Immutable."""

    model: models.Model
    generation: int
    registered: ModelVersion

    @property
    def version(self) -> int:
        return self.model.number

    @cached_property
    def schema(self) -> LogSchema:
        return self.model.schema

    @cached_property
    def _classes(self) -> Mapping[str, Scalar]:
        return self.model.contract.classes_by_text

    def answers(self, labels: list[Any]) -> list[Scalar]:
        """Stored labels as callers know them."""
        return [self._classes[label] for label in labels] if self._classes else labels


class Follower:
    """Keeps `live` at the champion. One per serving process; `start` begins its threads, `stop` ends them.

    `refresh` is called at each look with the time of day: what else a worker follows, such as the keys.
    """

    def __init__(
        self,
        ledger: FollowerLedger,
        store: ModelStore,
        feature_log: FeatureLog,
        clock: Clock,
        metrics: ServiceMetrics,
        poll_seconds: float,
        refresh: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.live: Live | None = None
        self.worker = uuid7()
        self._metrics = metrics
        self._ledger = ledger
        self._store = store
        self._feature_log = feature_log
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._refresh = refresh
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(step,), name=step.__name__, daemon=True)
            for step in (self.follow, self.beat, self.seal)
        ]
        self._staged: models.Model | None = None
        self._swapped_at: int | None = None
        self._reported_at = 0
        self._retry_at = 0

    def start(self) -> None:
        """Take the first look here, so that a worker that begins to accept connections has its model already."""
        for step in (self.beat, self.follow):
            self._try(step)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads; one that is loading a model is not waited for."""
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_SECONDS)

    def follow(self) -> None:
        """One look at the pointer, and all that follows from it, which may take as long as loading a model."""
        pointer = self._ledger.pointer()
        self._follow_staged(pointer)
        if pointer.version is not None and self._behind(pointer) and self._clock.now() >= self._retry_at:
            self._swap(pointer.version, pointer.generation)

    def beat(self) -> None:
        """What must not wait for a model that is being loaded, nor for a slow disk: keys, and the sign of life."""
        now = self._clock.now()
        self._refresh(now)
        if now - self._reported_at >= HEARTBEAT_SECONDS * 1e6:
            self._report()
            staged = self._staged
            if staged:
                self._ledger.acknowledge(self.worker, staged.number, None, now)

    def seal(self) -> None:
        """Hand over what was recorded; waits for the disk."""
        self._feature_log.seal_if_old()

    def _behind(self, pointer: Pointer) -> bool:
        return self.live is None or self.live.generation != pointer.generation

    def _run(self, step: Callable[[], None]) -> None:
        while not self._clock.wait(self._stop, self._poll_seconds):
            self._try(step)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except StoreUnavailable as error:
            log.warning("ledger_not_reached", step=step.__name__, error=str(error))
        except Exception:
            log.exception("step_failed", step=step.__name__)  # the next may succeed; the live model keeps answering

    def _follow_staged(self, pointer: Pointer) -> None:
        number = pointer.staged
        if number is None:
            # The flip clears the staged version too: keep the loaded one until the swap has used it.
            if self._staged and self._staged.number != pointer.version:
                self._staged = None
            return
        if self._staged and self._staged.number == number:
            return
        problem = None
        self._staged = None  # before the next is loaded, so that there are never three
        try:
            self._staged = self._load(number)
        except ArtefactRejected as error:
            problem = str(error)
            log.error("staged_version_refused", version=number, error=problem)
        self._ledger.acknowledge(self.worker, number, problem, self._clock.now())

    def _swap(self, number: int, generation: int) -> None:
        try:
            staged = self._staged
            model = staged if staged and staged.number == number else self._load(number)
        except EvenkeelError as error:
            self._retry_at = self._clock.now() + int(RETRY_SECONDS * 1e6)
            log.error("champion_not_loaded", version=number, error=str(error), serving=self.live and self.live.version)
            return
        registered = self._ledger.version(number)
        assert registered is not None, "a version that was loaded is registered"
        first = self.live is None
        self.live = Live(model, generation, registered)
        self._staged = None
        self._swapped_at = self._clock.now()
        self._metrics.serves(number)
        if not first:
            self._metrics.swaps.inc()
        self._report()
        log.info("model_swapped", version=number, generation=generation)

    def _load(self, number: int) -> models.Model:
        registered = self._ledger.version(number)
        if registered is None:
            raise ArtefactRejected(f"version {number} is not in the ledger; register it or roll back")
        return models.load(registered, self._store)

    def _report(self) -> None:
        self._reported_at = self._clock.now()
        live = self.live
        self._ledger.report(
            Worker(
                id=self.worker,
                pid=os.getpid(),
                heartbeat_at=self._reported_at,
                version=live.version if live else None,
                generation=live.generation if live else 0,
                swapped_at=self._swapped_at,
            )
        )
