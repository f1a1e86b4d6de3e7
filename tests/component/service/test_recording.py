"""What was answered is recorded as durably as is configured, sampled as is configured, and counted row by row."""

import asyncio
import json
import random
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log.memory import MemoryFeatureLog
from lifecycle.ids import uuid7
from lifecycle.records import LogSchema, PredictionBatch
from service import recording
from service.connection import _resumed
from service.gate import Gate
from service.live import Live
from service.plane import DataPlane
from service.recording import sampled
from tests import builders
from tests.component.service.making import LIMITS, ROW, Published, Worker, count, framework, request


def outcomes(worker: Worker) -> dict[str, float]:
    return {name: count(worker.metrics.log_rows, outcome=name) for name in ("appended", "dropped", "sampled_out")}


def is_degraded(worker: Worker) -> bool:
    (metric,) = worker.metrics.log_degraded.collect()
    assert (metric.samples[0].value == 1) == (worker.plane.degraded is not None)
    return worker.plane.degraded is not None


def live(folder: Path, published: Published, **options: Any) -> Worker:
    worker = Worker(folder, published, **options)
    worker.promote(1)
    return worker


@pytest.fixture
def syncing(tmp_path: Path, published: Published) -> Worker:
    """Records wait for the disk."""
    return live(tmp_path, published, log=MemoryFeatureLog(syncing=True))


async def until(condition: Callable[[], bool]) -> None:
    """Let everything else run until `condition` holds."""
    while not condition():  # noqa: ASYNC110  # what is waited for is a state of the log, which knows no events
        await asyncio.sleep(0)


class AnswersAtOnce(DataPlane):
    """Broken: does not wait for the disk."""

    def _record(self, batch: PredictionBatch, live: Live) -> Future[None] | None:
        super()._record(batch, live)
        return None


def answers_once_it_is_durable(worker: Worker) -> None:
    order: list[str] = []

    async def scenario() -> None:
        asked = [asyncio.ensure_future(worker.plane.predict([ROW], request(str(index)))) for index in range(3)]
        for task in asked:
            task.add_done_callback(lambda _: order.append("answered"))
        await until(lambda: worker.log.waiting == 3)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        order.append("synced")
        worker.log.synced()
        await asyncio.gather(*asked)
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert order == ["synced", "answered", "answered", "answered"]
    assert outcomes(worker) == {"appended": 3, "dropped": 0, "sampled_out": 0}


def test_an_answer_waits_until_its_record_is_on_disk(syncing: Worker) -> None:
    answers_once_it_is_durable(syncing)


def test_the_check_sees_an_answer_that_does_not_wait(tmp_path: Path, published: Published) -> None:
    worker = live(tmp_path, published, log=MemoryFeatureLog(syncing=True), plane=AnswersAtOnce)
    with pytest.raises(AssertionError):
        answers_once_it_is_durable(worker)


async def while_waiting(worker: Worker, then: Callable[[], None], asking: Any) -> Any:
    """What `asking` comes to when `then` happens once its record waits for the disk."""
    asked = asyncio.ensure_future(asking)
    await until(lambda: worker.log.waiting > 0)
    then()
    return await asked


def fail(worker: Worker) -> Callable[[], None]:
    def failing() -> None:
        worker.log.failing = True
        worker.log.synced()
        worker.log.failing = False

    return failing


def test_a_disk_that_fails_is_answered_and_counted_with_serve(syncing: Worker) -> None:
    answers = asyncio.run(while_waiting(syncing, fail(syncing), syncing.plane.predict([ROW, ROW], request())))
    assert len(answers.ids) == 2
    assert is_degraded(syncing)
    assert outcomes(syncing) == {"appended": 0, "dropped": 2, "sampled_out": 0}


def test_a_disk_that_fails_is_refused_and_counted_with_reject(tmp_path: Path, published: Published) -> None:
    worker = live(tmp_path, published, log=MemoryFeatureLog(syncing=True), on_error="reject")
    with pytest.raises(StoreUnavailable):
        asyncio.run(while_waiting(worker, fail(worker), worker.plane.predict([ROW], request())))
    assert is_degraded(worker)
    assert outcomes(worker) == {"appended": 0, "dropped": 1, "sampled_out": 0}
    assert count(worker.metrics.predictions, version="1") == 0
    asyncio.run(while_waiting(worker, worker.log.synced, worker.plane.predict([ROW], request())))
    assert not is_degraded(worker)


def test_labels_that_the_disk_refuses_are_not_accepted(syncing: Worker) -> None:
    label = {"id": uuid7(syncing.clock.now() // 1000), "label": "yes"}
    with pytest.raises(StoreUnavailable):
        asyncio.run(while_waiting(syncing, fail(syncing), syncing.plane.feedback([label], request())))
    assert count(syncing.metrics.labels, outcome="accepted") == 0
    taken = asyncio.run(while_waiting(syncing, syncing.log.synced, syncing.plane.feedback([label], request())))
    assert taken == (1, [])


IMPATIENT = replace(LIMITS, deadline_seconds=0.01)


def test_a_disk_that_is_stuck_holds_up_one_answer_and_no_more(tmp_path: Path, published: Published) -> None:
    """The later ones are given at once; all are counted when the disk has made up its mind."""
    worker = live(tmp_path, published, log=MemoryFeatureLog(syncing=True), limits=IMPATIENT)
    worker.predict(ROW)
    assert is_degraded(worker)
    worker.plane.limits = LIMITS
    for _ in range(3):
        asked = worker.plane.predict([ROW], request())
        with pytest.raises(StopIteration):
            asked.send(None)
    assert outcomes(worker)["appended"] == 0
    worker.log.synced()
    assert not is_degraded(worker)
    assert outcomes(worker) == {"appended": 4, "dropped": 0, "sampled_out": 0}


def test_with_reject_nobody_is_refused_whose_record_may_yet_be_kept(tmp_path: Path, published: Published) -> None:
    options: dict[str, Any] = {"on_error": "reject", "limits": IMPATIENT}
    worker = live(tmp_path, published, log=MemoryFeatureLog(syncing=True), **options)

    async def scenario() -> None:
        asked = asyncio.ensure_future(worker.plane.predict([ROW], request()))
        done, _ = await asyncio.wait([asked], timeout=10 * IMPATIENT.deadline_seconds)
        assert not done
        worker.log.synced()
        await asked

    asyncio.run(scenario())
    assert outcomes(worker)["appended"] == 1


def test_records_that_wait_for_a_stuck_disk_are_bounded(tmp_path: Path, published: Published) -> None:
    worker = live(tmp_path, published, log=MemoryFeatureLog(syncing=True), limits=IMPATIENT)
    for _ in range(recording.MOST_UNSETTLED + 5):
        worker.predict(ROW) if worker.plane.degraded is None else _at_once(worker)
    assert worker.log.waiting == recording.MOST_UNSETTLED
    assert outcomes(worker)["dropped"] == 5
    worker.log.synced()
    assert sum(outcomes(worker).values()) == count(worker.metrics.predictions, version="1")


def _at_once(worker: Worker) -> None:
    with pytest.raises(StopIteration):
        worker.plane.predict([ROW], request()).send(None)


def test_who_is_cancelled_does_not_cancel_the_record(syncing: Worker) -> None:
    async def scenario() -> None:
        asked = asyncio.ensure_future(syncing.plane.predict([ROW], request()))
        await until(lambda: syncing.log.waiting > 0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        syncing.log.synced()

    asyncio.run(scenario())
    assert outcomes(syncing)["appended"] == len(syncing.log.predictions) == 1


def test_a_record_is_waited_for_outside_of_any_task_too(syncing: Worker) -> None:
    """As the connection does: it begins a request while it reads it, and goes on in a task only where that waits."""

    async def scenario() -> None:
        scope = {"method": "POST", "path": "/predict", "headers": [(b"content-type", b"application/json")]}
        begun = Gate(framework(), syncing).answer(scope, json.dumps({"rows": [ROW]}).encode())
        waited: list[Any] = []
        asyncio.get_running_loop().call_soon(lambda: waited.append(begun.send(None)))
        await until(lambda: bool(waited))
        rest = asyncio.ensure_future(_resumed(begun, waited[0]))
        await asyncio.sleep(0)
        syncing.log.synced()
        status, _, body = await rest
        assert (status, len(json.loads(body)["predictions"])) == (200, 1)

    asyncio.run(scenario())


class SlowToFail(MemoryFeatureLog):
    """Takes a while to find out that it fails."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.attempts = 0
        self.advance: Callable[[float], None] = lambda _: None
        self._seconds = seconds

    def append_predictions(self, batch: PredictionBatch, schema: LogSchema) -> Future[None] | None:
        self.attempts += 1
        if self.failing:
            self.advance(self._seconds)
        return super().append_predictions(batch, schema)


def test_a_log_that_fails_slowly_takes_a_tenth_of_the_time(tmp_path: Path, published: Published) -> None:
    log = SlowToFail(0.02)
    worker = live(tmp_path, published, log=log)
    log.advance, log.failing = worker.clock.advance, True
    began = worker.clock.now()
    for _ in range(2_000):
        worker.predict(ROW)
        worker.clock.advance(0.001)
    spent = (worker.clock.now() - began) / 1e6 - 2
    assert 0 < spent < 0.3
    assert outcomes(worker)["dropped"] == 2_000
    log.failing = False
    worker.clock.advance(1)
    worker.predict(ROW)
    assert not is_degraded(worker)


def test_a_log_that_fails_for_minutes_is_tried_again_within_a_second(tmp_path: Path, published: Published) -> None:
    log = SlowToFail(60)
    worker = live(tmp_path, published, log=log)
    log.advance, log.failing = worker.clock.advance, True
    worker.predict(ROW)
    worker.predict(ROW)
    log.failing = False
    worker.clock.advance(1)
    worker.predict(ROW)
    assert not is_degraded(worker)


# sampling


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_a_share_of_the_rows_is_recorded_and_the_others_are_counted(
    tmp_path: Path, published: Published, rate: float
) -> None:
    worker = live(tmp_path, published, sampling_rate=rate)
    ids = [identifier for _ in range(100) for identifier in worker.predict(*[ROW] * 20).ids]
    kept = [identifier for batch in worker.log.predictions for identifier in batch.ids]
    assert kept == [identifier for identifier in ids if int(identifier[-8:], 16) < rate * 2**32]
    assert abs(len(kept) / len(ids) - rate) < 0.05
    assert {batch.sampling_rate for batch in worker.log.predictions} == {rate}
    assert outcomes(worker) == {"appended": len(kept), "dropped": 0, "sampled_out": len(ids) - len(kept)}


def test_all_of_a_row_is_sampled_together() -> None:
    rows = 40
    batch = builders.batch(
        rows,
        columns={"a": np.arange(rows, dtype=np.float64), "town": [f"town {index}" for index in range(rows)]},
        predictions=[f"answer {index}" for index in range(rows)],
        probabilities={"yes": [index / rows for index in range(rows)]},
        external_ids=[f"order {index}" for index in range(rows)],
        subjects=[f"who {index}" for index in range(rows)],
    )
    kept = sampled(batch, 0.5)
    places = [batch.ids.index(identifier) for identifier in kept.ids]
    assert 0 < len(places) < rows
    assert kept.columns["a"].tolist() == places
    assert kept.columns["town"] == [f"town {index}" for index in places]
    assert kept.predictions == [f"answer {index}" for index in places]
    assert kept.probabilities == {"yes": [index / rows for index in places]}
    assert (kept.external_ids, kept.subjects) == (
        [f"order {index}" for index in places],
        [f"who {index}" for index in places],
    )


def test_by_default_every_row_is_recorded_with_a_rate_of_one(worker: Worker) -> None:
    worker.predict(*[ROW] * 20)
    assert [(len(batch.ids), batch.sampling_rate) for batch in worker.log.predictions] == [(20, 1.0)]


# every row


@pytest.mark.parametrize("on_error", ["serve", "reject"])
@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_every_row_that_was_asked_is_counted_once(
    tmp_path: Path, published: Published, on_error: Any, rate: float
) -> None:
    worker = live(tmp_path, published, on_error=on_error, sampling_rate=rate)
    chance, asked = random.Random(0), 0
    for _ in range(300):
        worker.log.failing = chance.random() < 0.3
        rows = chance.randint(1, 20)
        asked += rows
        try:
            worker.predict(*[ROW] * rows)
        except StoreUnavailable:
            assert on_error == "reject"
    found = outcomes(worker)
    assert sum(found.values()) == asked
    assert found["appended"] == sum(len(batch.ids) for batch in worker.log.predictions)
    assert (found["dropped"] > 0, found["sampled_out"] > 0) == (True, rate < 1)
    if on_error == "serve":
        assert count(worker.metrics.predictions, version="1") == asked


# readiness


def test_readiness_says_when_answers_are_not_recorded(worker: Worker) -> None:
    def ready() -> tuple[int, str, str | None]:
        response = worker.ask("GET", "/readyz")
        return response.status_code, response.json()["status"], response.headers.get("x-evenkeel-status")

    assert ready() == (200, "ready", None)
    worker.log.failing = True
    worker.predict(ROW)
    assert ready() == (200, "degraded", "degraded")
    assert is_degraded(worker)
    worker.log.failing = False
    worker.predict(ROW)
    assert ready() == (200, "ready", None)
    assert not is_degraded(worker)


def test_without_a_model_the_service_is_not_ready(tmp_path: Path, published: Published) -> None:
    response = Worker(tmp_path, published).ask("GET", "/readyz")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "no_model")
