"""The data plane: rows in, answers out, one record in the feature log before anything is returned.

Every protocol goes through here: same contract, same model reference (taken once), same record.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import anyio.to_thread
import structlog

from lifecycle.clock import from_datetime
from lifecycle.contract import Scalar
from lifecycle.errors import InputRejected, ModelUnavailable, StoreUnavailable
from lifecycle.ids import is_uuid7, milliseconds_of, uuid7
from lifecycle.ports import Clock, FeatureLog
from lifecycle.records import Label, PredictionBatch
from service.live import Follower, Live
from service.metrics import ServiceMetrics

SLACK_MILLISECONDS = 60_000
"""A label may name a prediction whose clock ran this far ahead of ours; no prediction is of a later moment."""
INLINE_ROWS = 64
"""Up to this many rows are predicted on the event loop; more go to a thread, so that others are not kept waiting."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Answer:
    """One prediction: its id, the label as callers know it, and the probability of each class (or None)."""

    id: str
    prediction: Scalar
    probabilities: dict[str, float] | None


@dataclass(frozen=True)
class Answers:
    """The answers to one request, in the order of its rows, all by `version` under `generation`."""

    model: str
    version: int
    generation: int
    rows: tuple[Answer, ...]


@dataclass(frozen=True)
class Rejection:
    """A label that was not taken, and why."""

    id: str | None
    reason: str


class DataPlane:
    """Predicts and takes feedback for one model."""

    def __init__(
        self,
        name: str,
        follower: Follower,
        feature_log: FeatureLog,
        metrics: ServiceMetrics,
        clock: Clock,
        on_error: Literal["serve", "reject"],
    ) -> None:
        self.name = name
        self._follower = follower
        self._feature_log = feature_log
        self._metrics = metrics
        self._clock = clock
        self._on_error = on_error
        self.degraded = False

    def live(self) -> Live:
        """The model that answers now. Raises ModelUnavailable when there is none yet."""
        live = self._follower.live
        if live is None:
            raise ModelUnavailable(
                "no model version is live yet; promote one with `evenkeel promote VERSION`, or try again shortly"
            )
        return live

    async def predict(self, rows: Sequence[object], *, request_id: str, protocol: str) -> Answers:
        """Answer `rows` and record them.

        Raises InputRejected, ModelUnavailable, or StoreUnavailable when the record cannot be written and the
        configuration says to reject then.
        """
        live = self.live()
        started = time.perf_counter_ns()
        try:
            columns = live.model.contract.check(rows)
        except InputRejected as error:
            self._metrics.rejected_rows.inc(len({problem.row for problem in error.problems}))
            raise
        frame = live.model.contract.frame(columns)
        if len(rows) <= INLINE_ROWS:
            labels, scores = live.model.predict(frame)
        else:
            labels, scores = await anyio.to_thread.run_sync(live.model.predict, frame)
        batch = PredictionBatch(
            request_id=request_id,
            at=self._clock.now(),
            model=self.name,
            version=live.version,
            generation=live.generation,
            protocol=protocol,
            ids=[uuid7() for _ in rows],
            columns=columns,
            predictions=labels,
            probabilities={name: values.tolist() for name, values in scores.items()},
            latency_us=(time.perf_counter_ns() - started) // 1000,
        )
        self._record(batch, live)
        self._metrics.predictions.labels(live.version).inc(len(rows))
        return _answers(batch, live)

    def feedback(self, labels: Sequence[object]) -> tuple[int, list[Rejection]]:
        """Take labels; returns how many were accepted, and the rest with reasons.

        Raises ModelUnavailable without a model, StoreUnavailable when they cannot be recorded.
        """
        live = self.live()
        accepted: list[Label] = []
        rejected: list[Rejection] = []
        for item in labels:
            taken = self._label(item, live)
            if isinstance(taken, Label):
                accepted.append(taken)
            else:
                rejected.append(taken)
        if accepted:
            self._feature_log.append_labels(accepted)
        self._metrics.labels.labels("accepted").inc(len(accepted))
        self._metrics.labels.labels("rejected").inc(len(rejected))
        return len(accepted), rejected

    def _record(self, batch: PredictionBatch, live: Live) -> None:
        rows = len(batch.ids)
        try:
            self._feature_log.append_predictions(batch, live.schema)
        except StoreUnavailable as error:
            self._metrics.log_rows.labels("dropped").inc(rows)
            if not self.degraded:
                log.error("feature_log_degraded", error=str(error), on_error=self._on_error)
            self.degraded = True
            if self._on_error == "reject":
                raise
            return
        self.degraded = False
        self._metrics.log_rows.labels("appended").inc(rows)

    def _label(self, item: object, live: Live) -> Label | Rejection:
        if not isinstance(item, dict):
            return Rejection(None, "is not an object with id and label")
        identifier = item.get("id")
        now = self._clock.now()
        if not isinstance(identifier, str) or not _could_be_ours(identifier, live.since, now):
            return Rejection(None, "id is not the id of a prediction")
        if "label" not in item:
            return Rejection(identifier, "has no label")
        try:
            observed = _moment(item.get("observed_at"), now)
            stored = live.model.contract.label(item["label"])
        except InputRejected as error:
            return Rejection(identifier, str(error))
        return Label(identifier, stored, observed, now)


def _could_be_ours(identifier: str, since: int, now: int) -> bool:
    """Whether a prediction may have this id: made after the first version, and not in a time yet to come.

    Each day of an id is a folder of the table, so days that nobody has lived through are not a caller's to invent.
    """
    if not is_uuid7(identifier):
        return False
    return since // 1000 - SLACK_MILLISECONDS <= milliseconds_of(identifier) <= now // 1000 + SLACK_MILLISECONDS


def _moment(value: object, now: int) -> int:
    if value is None:
        return now
    try:
        return from_datetime(datetime.fromisoformat(str(value)))
    except (ValueError, OverflowError) as error:
        raise InputRejected("observed_at is not a date and time in ISO 8601") from error


def _answers(batch: PredictionBatch, live: Live) -> Answers:
    contract = live.model.contract
    rows: list[Answer] = []
    for index, identifier in enumerate(batch.ids):
        probabilities: dict[str, Any] | None = None
        if batch.probabilities:
            probabilities = {name: values[index] for name, values in batch.probabilities.items()}
        rows.append(Answer(identifier, contract.answer(batch.predictions[index]), probabilities))
    return Answers(batch.model, batch.version, batch.generation, tuple(rows))
