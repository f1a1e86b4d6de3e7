"""The data plane: rows in, answers out, one record in the feature log before anything is returned.

Every protocol goes through here: same contract, same model reference (taken once), same record.
"""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import structlog

from lifecycle.checking import MOST_PROBLEMS
from lifecycle.clock import from_datetime
from lifecycle.contract import Columns, Scalar
from lifecycle.errors import InputRejected, ModelUnavailable, Problem, StoreUnavailable
from lifecycle.ids import is_uuid7, milliseconds_of, uuid7s
from lifecycle.ports import Clock, FeatureLog
from lifecycle.records import Label, PredictionBatch
from service.exchange import Refused, Request
from service.live import Follower, Live
from service.metrics import ServiceMetrics

SLACK_MILLISECONDS = 60_000
"""A label may name a prediction whose clock ran this far ahead of ours; no prediction is of a later moment."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Limits:
    """How much at once: bytes and rows of a request, requests that wait in a worker, seconds until an answer."""

    body_bytes: int
    rows: int
    waiting: int
    deadline_seconds: float


@dataclass(slots=True)
class Answers:
    """The answers to one request, in the order of its rows, all by the version that `live` holds.

    `ids[i]` and `labels[i]` (as callers know them) belong together; `probabilities` maps each class's text to one number
    per row, and is empty when the model gives none.
    """

    live: Live
    ids: list[str]
    labels: list[Scalar]
    probabilities: dict[str, list[float]]

    @property
    def version(self) -> int:
        return self.live.version


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
        *,
        on_error: Literal["serve", "reject"],
        limits: Limits,
    ) -> None:
        self.name = name
        self.limits = limits
        self._follower = follower
        self._feature_log = feature_log
        self._metrics = metrics
        self._clock = clock
        self._on_error = on_error
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._waiting = 0
        self.degraded = False

    def live(self, request: Request) -> Live:
        """The model that answers `request`: the live one at its first look. Raises ModelUnavailable when there is none."""
        live = request.live = request.live or self._follower.live
        if live is None:
            raise ModelUnavailable(
                "no model version is live yet; promote one with `evenkeel promote VERSION`, or try again shortly"
            )
        return live

    async def predict(self, rows: Sequence[object], request: Request) -> Answers:
        """Answer `rows`, each an object of feature: value pairs, and record them.

        Raises InputRejected, ModelUnavailable, Refused when there are too many rows, too many requests or too little
        time, or StoreUnavailable when the record cannot be written and the configuration says to reject then.
        """
        live = self.live(request)
        self._check_count(len(rows))
        try:
            columns = live.model.contract.checker.rows(rows)
        except InputRejected as error:
            self._metrics.rejected_rows.inc(len({problem.row for problem in error.problems}))
            raise
        return await self._answer(live, columns, len(rows), request)

    async def predict_columns(self, columns: Mapping[str, Any], count: int, request: Request) -> Answers:
        """As `predict`, for `count` rows given as columns: lists, or numpy arrays where NaN says missing."""
        live = self.live(request)
        self._check_count(count)
        try:
            checked = live.model.contract.checker.columns(columns, count)
        except InputRejected:
            self._metrics.rejected_rows.inc(count)
            raise
        return await self._answer(live, checked, count, request)

    async def _answer(self, live: Live, columns: Columns, count: int, request: Request) -> Answers:
        began = time.perf_counter_ns()
        try:
            if count <= live.model.runtime.inline_rows:
                labels, scores = live.model.runtime.predict(columns)
            else:
                labels, scores = await self._apart(live, columns)
        except Refused:
            raise
        except Exception as error:
            # An estimator may raise for what the contract allows, such as a category that its encoder never saw. What it
            # says can hold the caller's values, so it stays out of the log.
            log.warning("prediction_failed", request_id=request.id, version=live.version, error=type(error).__name__)
            raise InputRejected(
                f"version {live.version} of the model cannot answer these rows; `evenkeel models show {live.version}` says "
                "what it was not able to answer when it was registered"
            ) from error
        _check_finite(labels if live.model.contract.target.is_regression else (), scores)
        ids = uuid7s(count)
        batch = PredictionBatch(
            request_id=request.id,
            at=self._clock.now(),
            model=self.name,
            version=live.version,
            generation=live.generation,
            protocol=request.protocol,
            ids=ids,
            columns=columns,
            predictions=labels,
            probabilities=scores,
            latency_us=(time.perf_counter_ns() - began) // 1000,
            key_id=request.key_id,
        )
        self._record(batch, live)
        self._metrics.predicted(live.version, count)
        return Answers(live, ids, live.answers(labels), scores)

    async def _apart(self, live: Live, columns: Columns) -> tuple[list[Any], dict[str, list[float]]]:
        """Predict in the thread for what takes long, so that nobody else waits; those that wait for it are counted.

        Nothing is recorded when the deadline passes first: a caller who was refused has no record.
        """
        if self._waiting >= self.limits.waiting:
            raise Refused(
                429,
                "overloaded",
                f"{self._waiting} requests wait for a prediction already; try again in a second",
                headers=((b"retry-after", b"1"),),
            )
        self._waiting += 1
        try:
            await asyncio.sleep(0)  # a request is begun outside of any task, which waiting for a while needs
            work = asyncio.get_running_loop().run_in_executor(self._thread, live.model.runtime.predict, columns)
            return await asyncio.wait_for(work, self.limits.deadline_seconds)
        except TimeoutError as error:
            raise Refused(
                503,
                "deadline_exceeded",
                f"the prediction was not made within {self.limits.deadline_seconds:g} s; send fewer rows at a time, or later",
                headers=((b"retry-after", b"1"),),
            ) from error
        finally:
            self._waiting -= 1

    def _check_count(self, count: int) -> None:
        if not count:
            raise InputRejected("the list of rows is empty; send at least one")
        if count > self.limits.rows:
            message = f"a request takes at most {self.limits.rows} rows, not {count}; send several"
            raise Refused(413, "too_large", message)

    def feedback(self, labels: Sequence[object], request: Request) -> tuple[int, list[Rejection]]:
        """Take labels; returns how many were accepted, and the rest with reasons.

        Raises ModelUnavailable without a model, StoreUnavailable when they cannot be recorded.
        """
        live = self.live(request)
        if len(labels) > self.limits.rows:
            message = f"a request takes at most {self.limits.rows} labels, not {len(labels)}; send several"
            raise Refused(413, "too_large", message)
        accepted: list[Label] = []
        rejected: list[Rejection] = []
        for item in labels:
            taken = self._label(item, live, request.key_id)
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
        self._metrics.appended(rows)

    def _label(self, item: object, live: Live, key_id: str | None) -> Label | Rejection:
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
        return Label(identifier, stored, observed, now, key_id)


def _check_finite(values: Sequence[float], scores: Mapping[str, Sequence[float]]) -> None:
    """Raises InputRejected for rows whose answer is no number, as when a value far off makes the model overflow."""
    for numbers in (values, *scores.values()):
        if not math.isfinite(sum(numbers)):
            rows = [index for index, number in enumerate(numbers) if not math.isfinite(number)]
            problems = tuple(Problem(row, None, "gets no finite answer from the model") for row in rows)
            if problems:
                raise InputRejected(
                    f"{len(rows)} row(s) get no finite answer from the model; look for values far outside what it knows",
                    problems[:MOST_PROBLEMS],
                )


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
    if not isinstance(value, str):
        raise InputRejected("observed_at is not a text")
    try:
        observed = from_datetime(datetime.fromisoformat(value))
    except (ValueError, OverflowError) as error:
        raise InputRejected("observed_at is not a date and time in ISO 8601") from error
    if not 0 <= observed <= now + SLACK_MILLISECONDS * 1000:
        raise InputRejected("observed_at is before 1970 or in a time yet to come")
    return observed
