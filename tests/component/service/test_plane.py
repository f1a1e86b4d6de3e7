"""The data plane: contract first, one version per answer, and the record before the answer."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from lifecycle import versions
from lifecycle.errors import InputRejected, ModelUnavailable, StoreUnavailable
from lifecycle.ids import is_uuid7, uuid7
from lifecycle.records import PredictionBatch
from service.live import Live
from service.plane import INLINE_ROWS, DataPlane
from tests.component.service.making import ROW, Published, Worker, count, publish


def feedback(worker: Worker, *labels: object) -> tuple[int, list[tuple[str | None, str]]]:
    accepted, rejected = worker.plane.feedback(labels)
    return accepted, [(item.id, item.reason) for item in rejected]


def identifier(worker: Worker, seconds: float = 0) -> str:
    """An id of a moment before (or after) now."""
    return uuid7(worker.clock.now() // 1000 + int(seconds * 1000))


def test_each_row_gets_an_id_an_answer_and_its_probabilities(worker: Worker) -> None:
    answers = worker.predict({"a": 3.0, "b": 3.0}, {"a": -3.0, "b": -3.0})
    assert (answers.model, answers.version, answers.generation) == ("houses", 1, 1)
    assert [row.prediction for row in answers.rows] == ["yes", "no"]
    assert all(is_uuid7(row.id) for row in answers.rows)
    for row in answers.rows:
        assert row.probabilities is not None
        assert row.probabilities[str(row.prediction)] > 0.5
        assert sum(row.probabilities.values()) == pytest.approx(1)


def test_a_regression_answers_numbers_without_probabilities(tmp_path: Path) -> None:
    worker = Worker(tmp_path, publish(tmp_path / "published", "regression", 1))
    worker.promote(1)
    (row,) = worker.predict({"a": 1.0, "b": 2.0}).rows
    assert row.prediction == pytest.approx(6.0)
    assert row.probabilities is None


@pytest.mark.parametrize("rows", [1, INLINE_ROWS, INLINE_ROWS + 1])
def test_the_record_holds_what_was_asked_and_answered(worker: Worker, rows: int) -> None:
    asked = [{"a": float(index), "b": -0.5 * index} for index in range(rows)]
    answers = worker.predict(*asked)
    (batch,) = worker.log.predictions
    assert batch.ids == [row.id for row in answers.rows]
    assert batch.predictions == [row.prediction for row in answers.rows]
    assert [{name: values[index] for name, values in batch.probabilities.items()} for index in range(rows)] == [
        row.probabilities for row in answers.rows
    ]
    assert batch.columns == {name: [row[name] for row in asked] for name in ("a", "b")}
    assert (batch.request_id, batch.protocol, batch.at) == ("r1", "native", worker.clock.now())
    assert worker.log.schemas[1].kinds == {"a": "numeric", "b": "numeric"}


@pytest.mark.parametrize(
    ("row", "field", "problem"),
    [
        ({"a": 1.0}, "b", "is missing"),
        ({"a": 1.0, "b": None}, "b", "must not be null"),
        ({"a": "1", "b": 1.0}, "a", "must be a finite number, not a text"),
        ({"a": True, "b": 1.0}, "a", "must be a finite number, not a boolean"),
        ({"a": 1.0, "b": 1.0, "c": 1.0}, "c", "is not a field of this model"),
        ("a", None, "is not an object of field: value pairs"),
    ],
)
def test_a_broken_contract_names_row_field_and_problem(
    worker: Worker, row: object, field: str | None, problem: str
) -> None:
    with pytest.raises(InputRejected) as caught:
        worker.predict(ROW, row)
    (found,) = caught.value.problems
    assert (found.row, found.field, found.problem) == (1, field, problem)
    assert worker.log.predictions == []
    assert count(worker.metrics.rejected_rows) == 1


def test_without_a_model_there_is_no_answer(tmp_path: Path, published: Published) -> None:
    worker = Worker(tmp_path, published)
    with pytest.raises(ModelUnavailable, match="no model version is live yet; promote one"):
        worker.predict(ROW)
    with pytest.raises(ModelUnavailable):
        worker.plane.feedback([])


class Swallows(DataPlane):
    """Broken: answers although the record was refused and the configuration says not to."""

    def _record(self, batch: PredictionBatch, live: Live) -> None:
        try:
            super()._record(batch, live)
        except StoreUnavailable:
            return


def never_answers_without_a_record(worker: Worker) -> None:
    worker.promote(1)
    worker.log.failing = True
    with pytest.raises(StoreUnavailable):
        worker.predict(ROW)
    degraded = [worker.plane.degraded]
    worker.log.failing = False
    worker.predict(ROW)
    assert [*degraded, worker.plane.degraded] == [True, False]
    assert count(worker.metrics.predictions, version="1") == 1
    assert count(worker.metrics.log_rows, outcome="dropped") == 1
    assert count(worker.metrics.log_rows, outcome="appended") == 1


def test_on_error_reject_never_answers_without_a_record(tmp_path: Path, published: Published) -> None:
    never_answers_without_a_record(Worker(tmp_path, published, on_error="reject"))


def test_the_check_sees_an_answer_without_a_record(tmp_path: Path, published: Published) -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        never_answers_without_a_record(Worker(tmp_path, published, on_error="reject", plane=Swallows))


def test_on_error_serve_answers_counts_what_was_dropped_and_recovers(worker: Worker) -> None:
    worker.log.failing = True
    assert len(worker.predict(ROW, ROW).rows) == 2
    degraded = [worker.plane.degraded]
    worker.log.failing = False
    worker.predict(ROW)
    assert [*degraded, worker.plane.degraded] == [True, False]
    assert count(worker.metrics.predictions, version="1") == 3
    assert count(worker.metrics.log_rows, outcome="dropped") == 2
    assert count(worker.metrics.log_rows, outcome="appended") == 1


@dataclass(frozen=True)
class SwappedWhileBusy(versions.Model):
    """A model during whose prediction the worker swaps to another version."""

    swap: Callable[[], None] = lambda: None

    def predict(self, frame: pd.DataFrame) -> tuple[list[Any], dict[str, npt.NDArray[np.float64]]]:
        self.swap()
        return super().predict(frame)


class LooksTwice(DataPlane):
    """Broken: asks again which version is live when it writes the record."""

    def _record(self, batch: PredictionBatch, live: Live) -> None:
        super()._record(replace(batch, version=self.live().version), live)


def answers_and_records_one_version(worker: Worker) -> None:
    worker.promote(1)
    live = worker.plane.live()
    model = SwappedWhileBusy(live.model.number, live.model.contract, live.model.estimator, lambda: worker.promote(2))
    worker.follower.live = replace(live, model=model)
    answers = worker.predict(ROW)
    assert worker.version() == 2
    (batch,) = worker.log.predictions
    assert (answers.version, answers.generation) == (1, 1)
    assert (batch.version, batch.generation) == (answers.version, answers.generation)
    assert count(worker.metrics.predictions, version="1") == 1


def test_a_swap_in_the_middle_of_a_request_does_not_touch_it(tmp_path: Path, published: Published) -> None:
    answers_and_records_one_version(Worker(tmp_path, published))


def test_the_check_sees_an_answer_and_a_record_that_differ(tmp_path: Path, published: Published) -> None:
    with pytest.raises(AssertionError):
        answers_and_records_one_version(Worker(tmp_path, published, plane=LooksTwice))


def test_a_large_request_does_not_hold_up_a_small_one(worker: Worker) -> None:
    """The large one is predicted in a thread, where it waits until the small one was answered."""
    live = worker.plane.live()
    answered: list[str] = []

    async def both() -> None:
        loop, small_done = asyncio.get_running_loop(), asyncio.Event()

        def wait() -> None:
            asyncio.run_coroutine_threadsafe(small_done.wait(), loop).result(10)

        model = SwappedWhileBusy(live.model.number, live.model.contract, live.model.estimator, wait)
        worker.follower.live = replace(live, model=model)
        large = asyncio.ensure_future(
            worker.plane.predict([ROW] * (INLINE_ROWS + 1), request_id="large", protocol="native")
        )
        await asyncio.sleep(0)
        worker.follower.live = live
        await worker.plane.predict([ROW], request_id="small", protocol="native")
        answered.append("small")
        small_done.set()
        await large
        answered.append("large")

    asyncio.run(both())
    assert answered == ["small", "large"]
    assert [batch.request_id for batch in worker.log.predictions] == answered


def test_labels_are_taken_in_their_stored_form(worker: Worker) -> None:
    known = identifier(worker, -5)
    assert feedback(worker, {"id": known, "label": "yes"}) == (1, [])
    (label,) = worker.log.labels
    now = worker.clock.now()
    assert (label.id, label.label, label.observed_at, label.received_at) == (known, "yes", now, now)
    assert count(worker.metrics.labels, outcome="accepted") == 1


def test_the_moment_of_observation_may_be_told(worker: Worker) -> None:
    assert feedback(worker, {"id": identifier(worker), "label": "no", "observed_at": "2023-11-14T22:13:20+01:00"})[0]
    assert worker.log.labels[0].observed_at == 1_699_996_400_000_000


def test_one_bad_label_does_not_hold_up_the_others(worker: Worker) -> None:
    good, bad = identifier(worker), identifier(worker)
    accepted, rejected = feedback(
        worker, {"id": good, "label": "yes"}, {"id": bad, "label": "perhaps"}, {"id": good, "label": "no"}
    )
    assert accepted == 2
    assert rejected == [(bad, "the label is not one of the model's 2 classes")]
    assert [label.label for label in worker.log.labels] == ["yes", "no"]
    assert count(worker.metrics.labels, outcome="rejected") == 1


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("text", "is not an object"),
        (None, "is not an object"),
        ({"label": "yes"}, "id is not the id of a prediction"),
        ({"id": 7, "label": "yes"}, "id is not the id of a prediction"),
        ({"id": "../../etc/passwd", "label": "yes"}, "id is not the id of a prediction"),
        ({"id": "018BD0C2-0000-7000-8000-000000000000", "label": "yes"}, "id is not the id of a prediction"),
        ({"id": "ffffffff-ffff-7fff-bfff-ffffffffffff", "label": "yes"}, "id is not the id of a prediction"),
    ],
)
def test_what_cannot_name_a_prediction_is_rejected_and_not_repeated(worker: Worker, item: object, reason: str) -> None:
    accepted, ((named, said),) = feedback(worker, item)
    assert (accepted, named) == (0, None)
    assert reason in said
    assert worker.log.labels == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "has no label"),
        ({"label": None}, "not one of the model's 2 classes"),
        ({"label": {"a": 1}}, "not one of the model's 2 classes"),
        ({"label": "yes", "observed_at": "yesterday"}, "observed_at is not a date and time in ISO 8601"),
        ({"label": "yes", "observed_at": 12}, "observed_at is not a date and time in ISO 8601"),
    ],
)
def test_a_label_that_cannot_be_kept_is_rejected_by_id(worker: Worker, content: dict[str, Any], reason: str) -> None:
    known = identifier(worker)
    accepted, ((named, said),) = feedback(worker, {"id": known, **content})
    assert (accepted, named) == (0, known)
    assert reason in said


@pytest.mark.parametrize(("seconds", "taken"), [(-86_400 * 400, 0), (-30, 1), (30, 1), (120, 0)])
def test_an_id_from_before_the_first_version_or_of_a_moment_to_come_names_no_prediction(
    worker: Worker, seconds: float, taken: int
) -> None:
    assert feedback(worker, {"id": identifier(worker, seconds), "label": "yes"})[0] == taken


def test_labels_that_cannot_be_recorded_are_not_accepted(worker: Worker) -> None:
    worker.log.failing = True
    with pytest.raises(StoreUnavailable):
        worker.plane.feedback([{"id": identifier(worker), "label": "yes"}])
    assert count(worker.metrics.labels, outcome="accepted") == 0
