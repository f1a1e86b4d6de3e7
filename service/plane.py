"""The data plane: rows in, answers out, one record in the feature log before anything is returned.

Every protocol goes through here: same contract, same model reference (taken once), same record.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from lifecycle.checking import MOST_PROBLEMS
from lifecycle.contract import Columns, Contract, Scalar
from lifecycle.errors import InputRejected, ModelUnavailable, Problem, ProjectInvalid
from lifecycle.ids import uuid7s
from lifecycle.ports import Clock, FeatureLog
from lifecycle.privacy import Marks, PrivacyRules
from lifecycle.pseudonyms import Pseudonyms
from lifecycle.records import Label, PredictionBatch
from service.exchange import Refused, Request
from service.labels import LabelReader, Rejection
from service.live import Follower, Live
from service.metrics import ServiceMetrics
from service.recording import Recorder

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


def _without_key() -> Pseudonyms:
    raise ProjectInvalid("this service was given no key of pseudonyms; name its file in [feature_log] pseudonym_key")


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
        sampling_rate: float = 1.0,
        pseudonyms: Callable[[], Pseudonyms] = _without_key,
    ) -> None:
        self.name = name
        self.limits = limits
        self._follower = follower
        self._recorder = Recorder(
            feature_log,
            metrics,
            clock,
            on_error=on_error,
            sampling_rate=sampling_rate,
            patience_seconds=limits.deadline_seconds,
        )
        self._metrics = metrics
        self._clock = clock
        self._pseudonyms = pseudonyms
        self._known_rules: tuple[Contract, PrivacyRules] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._waiting = 0

    @property
    def degraded(self) -> str | None:
        """Why rows are answered or refused without being recorded; None while all are recorded."""
        return self._recorder.degraded

    def ready(self, request: Request) -> None:
        """Raises ModelUnavailable when rows could not be answered now."""
        self._rules(self.live(request).model.contract)

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
        contract, marks = live.model.contract, None
        try:
            columns = contract.checker.rows(rows)
            if not contract.is_plain:
                marks = self._rules(contract).of_rows(rows, columns)  # type: ignore[arg-type]  # the checker took them
        except InputRejected as error:
            self._metrics.rejected_rows.inc(len({problem.row for problem in error.problems}))
            raise
        return await self._answer(live, columns, len(rows), request, marks)

    async def predict_columns(self, columns: Mapping[str, Any], count: int, request: Request) -> Answers:
        """As `predict`, for `count` rows given as columns: lists, or numpy arrays where NaN says missing."""
        live = self.live(request)
        self._check_count(count)
        contract, marks = live.model.contract, None
        try:
            checked = contract.checker.columns(columns, count)
            if not contract.is_plain:
                marks = self._rules(contract).of_columns(columns, checked, count)
        except InputRejected:
            self._metrics.rejected_rows.inc(count)
            raise
        return await self._answer(live, checked, count, request, marks)

    async def _answer(self, live: Live, columns: Columns, count: int, request: Request, marks: Marks | None) -> Answers:
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
        if marks is not None:
            batch = self._rules(live.model.contract).recorded(batch, marks)
        pending = self._record(batch, live)
        if pending is not None:
            await self._recorder.settled(pending)
        self._metrics.predicted(live.version, count)
        return Answers(live, ids, live.answers(labels), scores)

    def _record(self, batch: PredictionBatch, live: Live) -> Future[None] | None:
        return self._recorder.record(batch, live.schema)

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

    async def feedback(self, labels: Sequence[object], request: Request) -> tuple[int, list[Rejection]]:
        """Take labels; returns how many were accepted, and the rest with reasons.

        Raises ModelUnavailable without a model, StoreUnavailable when they cannot be recorded.
        """
        live = self.live(request)
        if len(labels) > self.limits.rows:
            message = f"a request takes at most {self.limits.rows} labels, not {len(labels)}; send several"
            raise Refused(413, "too_large", message)
        reader = LabelReader(live, self._rules(live.model.contract), self._clock.now(), request.key_id)
        taken = [reader.read(place, item) for place, item in enumerate(labels)]
        accepted = [item for item in taken if isinstance(item, Label)]
        rejected = [item for item in taken if isinstance(item, Rejection)]
        if accepted:
            await self._recorder.labels(accepted)
        self._metrics.labels.labels("accepted").inc(len(accepted))
        self._metrics.labels.labels("rejected").inc(len(rejected))
        return len(accepted), rejected

    def _rules(self, contract: Contract) -> PrivacyRules:
        """How rows under `contract` are treated, worked out once for each that goes live."""
        known = self._known_rules
        if known is None or known[0] is not contract:
            try:
                pseudonyms = self._pseudonyms() if contract.needs_key else None
                if pseudonyms is not None:
                    pseudonyms.require(contract.key_check)
            except ProjectInvalid as error:
                raise ModelUnavailable(f"the model's contract asks for pseudonyms, but {error}") from error
            known = self._known_rules = (contract, PrivacyRules(contract, pseudonyms))
        return known[1]


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
