"""What was answered goes into the feature log: sampled, counted row by row, and waited for as durably as is configured.

Every answered row is counted once, as appended, dropped or sampled out, when that is certain. A log that fails takes a tenth
of the event loop's time at most: after an attempt that failed slowly, the next is made nine times as long later.
"""

import asyncio
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Literal

import structlog

from lifecycle.clock import Rest
from lifecycle.errors import StoreUnavailable
from lifecycle.ports import Clock, FeatureLog
from lifecycle.records import Label, LogSchema, PredictionBatch
from service.metrics import ServiceMetrics

REST = 9
LONGEST_REST_MICROSECONDS = 1_000_000
MOST_UNSETTLED = 2_000
"""Requests of a worker whose records wait for the disk; a disk that holds up more is one that fails."""
_ALL = 2**32
log = structlog.get_logger(__name__)


class Recorder:
    """The one way into the feature log for a worker's answers and labels.

    `degraded` says why rows are being dropped; it is None while all are recorded.
    """

    def __init__(
        self,
        feature_log: FeatureLog,
        metrics: ServiceMetrics,
        clock: Clock,
        *,
        on_error: Literal["serve", "reject"],
        sampling_rate: float = 1.0,
        patience_seconds: float = 20.0,
    ) -> None:
        self.degraded: str | None = None
        self._feature_log = feature_log
        self._metrics = metrics
        self._clock = clock
        self._on_error = on_error
        self._rate = sampling_rate
        self._patience_seconds = patience_seconds
        self._rest = Rest(clock)
        self._unsettled: set[Future[None]] = set()
        self._stuck = False

    def record(self, batch: PredictionBatch, schema: LogSchema) -> Future[None] | None:
        """Append what is sampled of `batch`. A future that is returned has to be waited for with `settled`.

        Raises StoreUnavailable when it cannot be recorded and the configuration says to reject then.
        """
        if self._rate < 1.0:
            kept = sampled(batch, self._rate)
            if len(kept.ids) < len(batch.ids):
                self._metrics.log_rows.labels("sampled_out").inc(len(batch.ids) - len(kept.ids))
            if not kept.ids:
                return None
            batch = kept
        rows = len(batch.ids)
        try:
            pending = self._append(batch, schema)
        except StoreUnavailable as error:
            self._dropped(rows, error)
            if self._on_error == "reject":
                raise
            return None
        if pending is None:
            if self.degraded is not None:
                self._recovered()
            self._metrics.appended(rows)
            return None
        self._unsettled.add(pending)
        pending.add_done_callback(partial(self._done, rows))
        return pending

    async def settled(self, pending: Future[None]) -> None:
        """Return once the record is as durable as it is configured to be.

        With `on_error` "reject" it raises StoreUnavailable when it never will be, and waits as long as that is not known, so
        that who is refused has no record. With "serve" it waits no longer than a prediction may take, and not at all while
        the disk is stuck.
        """
        if self._on_error == "reject":
            await _until_done(pending)
            pending.result()
        elif not self._stuck:
            await _until_done(pending, self._patience_seconds)
            if not pending.done():
                self._stuck = True
                self._degrade(
                    f"the disk has not taken a record within {self._patience_seconds:g} s; look at its health"
                )

    async def labels(self, labels: list[Label]) -> None:
        """Return once `labels` are as durable as is configured; raises StoreUnavailable when they cannot be in time."""
        pending = self._feature_log.append_labels(labels)
        if pending is not None:
            await _until_done(pending, self._patience_seconds)
            if not pending.done():
                raise StoreUnavailable(
                    f"the disk has not taken the labels within {self._patience_seconds:g} s; send them again, for twice is as good "
                    "as once"
                )
            pending.result()

    def _append(self, batch: PredictionBatch, schema: LogSchema) -> Future[None] | None:
        if len(self._unsettled) >= MOST_UNSETTLED:
            raise StoreUnavailable(f"{len(self._unsettled)} records wait for the disk already; look at its health")
        if self.degraded is None:
            return self._feature_log.append_predictions(batch, schema)
        if not self._rest.is_over:
            raise StoreUnavailable(self.degraded)
        began = self._clock.now()
        try:
            return self._feature_log.append_predictions(batch, schema)
        except StoreUnavailable:
            self._rest.begin(min(REST * max(self._clock.now() - began, 0), LONGEST_REST_MICROSECONDS))
            raise

    def _done(self, rows: int, pending: Future[None]) -> None:
        """Called by whoever settles the record, in its thread."""
        self._unsettled.discard(pending)
        error = pending.exception()
        if error is not None:
            self._dropped(rows, error)
            return
        self._stuck = False
        if self.degraded is not None:
            self._recovered()
        self._metrics.appended(rows)

    def _dropped(self, rows: int, error: BaseException) -> None:
        self._metrics.log_rows.labels("dropped").inc(rows)
        self._degrade(str(error))

    def _degrade(self, reason: str) -> None:
        if self.degraded is None:
            log.error("feature_log_degraded", error=reason, on_error=self._on_error)
            self._metrics.log_degraded.set(1)
        self.degraded = reason

    def _recovered(self) -> None:
        log.info("feature_log_recovered")
        self.degraded = None
        self._metrics.log_degraded.set(0)


async def _until_done(pending: Future[None], seconds: float | None = None) -> None:
    """Return when `pending` is done, or `seconds` have passed. Who is cancelled meanwhile does not cancel the record."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    pending.add_done_callback(lambda _: loop.call_soon_threadsafe(_end, over))
    timer = None if seconds is None else loop.call_later(seconds, _end, over)
    try:
        await over
    finally:
        if timer is not None:
            timer.cancel()


def _end(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


def sampled(batch: PredictionBatch, rate: float) -> PredictionBatch:
    """The rows of `batch` whose ids fall into the share `rate`, which each of them carries from then on."""
    bound = rate * _ALL
    places = [index for index, identifier in enumerate(batch.ids) if int(identifier[-8:], 16) < bound]
    if len(places) == len(batch.ids):
        return replace(batch, sampling_rate=rate)
    return replace(batch.only(places), sampling_rate=rate)
