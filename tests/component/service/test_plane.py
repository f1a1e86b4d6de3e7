"""The data plane: contract first, one version per answer, and the record before the answer."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lifecycle.contract import Columns
from lifecycle.errors import InputRejected, ModelUnavailable, StoreUnavailable
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.table import LogTables
from lifecycle.ids import is_uuid7, uuid7
from lifecycle.ports import Runtime
from lifecycle.records import PredictionBatch
from service.exchange import Refused
from service.live import Live
from service.plane import DataPlane
from tests import builders
from tests.component.service.making import LIMITS, ROW, Published, Worker, count, publish, request


def feedback(worker: Worker, *labels: object) -> tuple[int, list[tuple[str | None, str]]]:
    accepted, rejected = asyncio.run(worker.plane.feedback(labels, request()))
    return accepted, [(item.id, item.reason) for item in rejected]


def identifier(worker: Worker, seconds: float = 0) -> str:
    """An id of a moment before (or after) now."""
    return uuid7(worker.clock.now() // 1000 + int(seconds * 1000))


def test_each_row_gets_an_id_an_answer_and_its_probabilities(worker: Worker) -> None:
    answers = worker.predict({"a": 3.0, "b": 3.0}, {"a": -3.0, "b": -3.0})
    assert (answers.version, answers.live.generation) == (1, 1)
    assert answers.labels == ["yes", "no"]
    assert all(map(is_uuid7, answers.ids))
    assert len(set(answers.ids)) == 2
    for index, label in enumerate(answers.labels):
        scores = {name: values[index] for name, values in answers.probabilities.items()}
        assert scores[str(label)] > 0.5
        assert sum(scores.values()) == pytest.approx(1)


def test_a_regression_answers_numbers_without_probabilities(tmp_path: Path) -> None:
    worker = Worker(tmp_path, publish(tmp_path / "published", "regression", 1))
    worker.promote(1)
    answers = worker.predict({"a": 1.0, "b": 2.0})
    assert answers.labels == pytest.approx([6.0])
    assert answers.probabilities == {}


@pytest.mark.parametrize("rows", [1, LIMITS.rows])
def test_the_record_holds_what_was_asked_and_answered(worker: Worker, rows: int) -> None:
    asked = [{"a": float(index), "b": -0.5 * index} for index in range(rows)]
    answers = worker.predict(*asked)
    (batch,) = worker.log.predictions
    assert (batch.ids, batch.predictions, batch.probabilities) == (answers.ids, answers.labels, answers.probabilities)
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
        asyncio.run(worker.plane.feedback([], request()))


class Swallows(DataPlane):
    """Broken: answers although the record was refused and the configuration says not to."""

    def _record(self, batch: PredictionBatch, live: Live) -> Future[None] | None:
        try:
            return super()._record(batch, live)
        except StoreUnavailable:
            return None


def never_answers_without_a_record(worker: Worker) -> None:
    worker.promote(1)
    worker.log.failing = True
    with pytest.raises(StoreUnavailable):
        worker.predict(ROW)
    degraded = [worker.plane.degraded is not None]
    worker.log.failing = False
    worker.predict(ROW)
    assert [*degraded, worker.plane.degraded is not None] == [True, False]
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
    assert len(worker.predict(ROW, ROW).ids) == 2
    degraded = [worker.plane.degraded is not None]
    worker.log.failing = False
    worker.predict(ROW)
    assert [*degraded, worker.plane.degraded is not None] == [True, False]
    assert count(worker.metrics.predictions, version="1") == 3
    assert count(worker.metrics.log_rows, outcome="dropped") == 2
    assert count(worker.metrics.log_rows, outcome="appended") == 1


@dataclass(frozen=True)
class Interrupted:
    """A runtime during whose prediction something else happens first."""

    inner: Runtime
    first: Callable[[], None]
    inline_rows: int = 1

    def predict(self, columns: Columns) -> tuple[list[Any], dict[str, list[float]]]:
        self.first()
        return self.inner.predict(columns)


def interrupted(live: Live, first: Callable[[], None], inline_rows: int = 1) -> Live:
    """`live`, with `first` happening in the middle of each prediction."""
    runtime = Interrupted(live.model.runtime, first, inline_rows)
    return replace(live, model=replace(live.model, runtime=runtime))


class LooksTwice(DataPlane):
    """Broken: asks again which version is live when it writes the record."""

    def _record(self, batch: PredictionBatch, live: Live) -> Future[None] | None:
        return super()._record(replace(batch, version=self.live(request()).version), live)


def answers_and_records_one_version(worker: Worker) -> None:
    worker.promote(1)
    live = worker.plane.live(request())
    worker.follower.live = interrupted(live, lambda: worker.promote(2))
    answers = worker.predict(ROW)
    assert worker.version() == 2
    (batch,) = worker.log.predictions
    assert (answers.version, answers.live.generation) == (1, 1)
    assert (batch.version, batch.generation) == (1, 1)
    assert count(worker.metrics.predictions, version="1") == 1


def test_a_swap_in_the_middle_of_a_request_does_not_touch_it(tmp_path: Path, published: Published) -> None:
    answers_and_records_one_version(Worker(tmp_path, published))


def test_the_check_sees_an_answer_and_a_record_that_differ(tmp_path: Path, published: Published) -> None:
    with pytest.raises(AssertionError):
        answers_and_records_one_version(Worker(tmp_path, published, plane=LooksTwice))


def test_a_large_request_does_not_hold_up_a_small_one(worker: Worker) -> None:
    """The large one is predicted in a thread, where it waits until the small one was answered."""
    live = worker.plane.live(request())
    answered: list[str] = []

    async def both() -> None:
        loop, small_done = asyncio.get_running_loop(), asyncio.Event()

        def wait() -> None:
            asyncio.run_coroutine_threadsafe(small_done.wait(), loop).result(10)

        worker.follower.live = interrupted(live, wait)
        large = asyncio.ensure_future(worker.plane.predict([ROW, ROW], request("large")))
        await asyncio.sleep(0)
        worker.follower.live = interrupted(live, lambda: None)
        await worker.plane.predict([ROW], request("small"))
        answered.append("small")
        small_done.set()
        await large
        answered.append("large")

    asyncio.run(both())
    assert answered == ["small", "large"]
    assert [batch.request_id for batch in worker.log.predictions] == answered


def refusals_of_a_busy_worker(worker: Worker, requests: int) -> list[Refused]:
    """What is refused of `requests` slow predictions that come at once, the first of which ends when all have come."""
    all_came = threading.Event()
    worker.follower.live = interrupted(worker.plane.live(request()), lambda: _wait(all_came), inline_rows=0)

    async def ask() -> list[Refused]:
        asked = [asyncio.ensure_future(worker.plane.predict([ROW], request(str(index)))) for index in range(requests)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        all_came.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        return [answer for answer in found if isinstance(answer, Refused)]

    return asyncio.run(ask())


def _wait(event: threading.Event) -> None:
    assert event.wait(10)


def test_more_than_may_wait_are_refused_and_told_when_to_come_again(worker: Worker) -> None:
    refused = refusals_of_a_busy_worker(worker, LIMITS.waiting + 2)
    assert [(item.status, item.code, item.headers) for item in refused] == [
        (429, "overloaded", ((b"retry-after", b"1"),))
    ] * 2
    assert len(worker.log.predictions) == LIMITS.waiting


def test_what_takes_longer_than_the_deadline_is_refused_and_never_recorded(
    tmp_path: Path, published: Published
) -> None:
    worker = Worker(tmp_path, published, limits=replace(LIMITS, deadline_seconds=0.05))
    worker.promote(1)
    released = threading.Event()
    worker.follower.live = interrupted(worker.plane.live(request()), lambda: _wait(released), inline_rows=0)
    with pytest.raises(Refused, match=r"not made within 0\.05 s") as caught:
        worker.predict(ROW)
    assert (caught.value.status, caught.value.code) == (503, "deadline_exceeded")
    released.set()
    worker.follower.live = interrupted(worker.plane.live(request()), lambda: None, inline_rows=0)
    worker.plane.limits = LIMITS
    answers = worker.predict(ROW)
    assert [batch.ids for batch in worker.log.predictions] == [answers.ids], "the late one was never recorded"


class Raises:
    """A runtime that cannot answer, and says why in the caller's words."""

    def __init__(self, inline_rows: int) -> None:
        self.inline_rows = inline_rows

    def predict(self, columns: Columns) -> tuple[list[Any], dict[str, list[float]]]:
        raise ValueError(f"Found unknown categories {columns}")


@pytest.mark.parametrize("inline_rows", [0, 1], ids=["thread", "inline"])
def test_rows_that_the_model_cannot_answer_are_refused_without_their_words_in_the_log(
    worker: Worker, inline_rows: int, capsys: pytest.CaptureFixture[str]
) -> None:
    live = worker.plane.live(request())
    worker.follower.live = replace(live, model=replace(live.model, runtime=Raises(inline_rows)))
    with pytest.raises(InputRejected, match="version 1 of the model cannot answer these rows"):
        worker.predict({"a": 123.456, "b": 1.0})
    assert worker.log.predictions == []
    printed = capsys.readouterr().out
    assert "prediction_failed" in printed
    assert "123.456" not in printed


def test_an_answer_that_is_no_number_is_refused_and_never_recorded(tmp_path: Path) -> None:
    worker = Worker(tmp_path, publish(tmp_path / "published", "regression", 1))
    worker.promote(1)
    with pytest.raises(InputRejected, match="no finite answer") as caught:
        worker.predict(ROW, {"a": 9.9e307, "b": 9.9e307})
    assert [problem.row for problem in caught.value.problems] == [1]
    assert worker.log.predictions == []


def test_more_labels_than_rows_in_a_request_are_refused(worker: Worker) -> None:
    with pytest.raises(Refused, match="at most 20 labels, not 21"):
        feedback(worker, *[{}] * (LIMITS.rows + 1))


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


def test_every_rejection_says_which_label_of_the_request_it_is_about(worker: Worker) -> None:
    known = identifier(worker)
    labels = [
        None,
        {"id": known, "label": "yes"},
        {"id": "?", "label": "yes"},
        {"id": known},
        {"id": known, "label": 7},
    ]
    _, rejected = asyncio.run(worker.plane.feedback(labels, request()))
    assert [(item.place, item.id) for item in rejected] == [(0, None), (2, None), (3, known), (4, known)]


@pytest.mark.parametrize("told", [["yes", "no"], ["no", "yes"], ["yes", "no", "yes", "no"]])
def test_of_two_labels_for_one_prediction_in_one_request_the_later_is_in_the_table(
    worker: Worker, tmp_path: Path, told: list[str]
) -> None:
    tables = LogTables(tmp_path / "tables")
    writer = builders.writer(tables.segments, worker.clock)
    batch = builders.batch(1, at=worker.clock.now())
    writer.append_predictions(batch, builders.schema())
    assert feedback(worker, *({"id": batch.ids[0], "label": label} for label in told))[0] == len(told)
    writer.append_labels(worker.log.labels)
    writer.close()
    Folder(tables, worker.clock).fold()
    assert tables.rows(0, 2**62 // 1000, ["label"], labels=True)["label"].to_pylist() == told[-1:]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("text", "is not an object"),
        (None, "is not an object"),
        ({"label": "yes"}, "has neither id nor external_id"),
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
        ({"label": "yes", "observed_at": 12}, "observed_at is not a text"),
        ({"label": "yes", "observed_at": "0001-01-01"}, "observed_at is before 1970 or in a time yet to come"),
        ({"label": "yes", "observed_at": "9999-12-31"}, "observed_at is before 1970 or in a time yet to come"),
    ],
)
def test_a_label_that_cannot_be_kept_is_rejected_by_id(worker: Worker, content: dict[str, Any], reason: str) -> None:
    known = identifier(worker)
    accepted, ((named, said),) = feedback(worker, {"id": known, **content})
    assert (accepted, named) == (0, known)
    assert reason in said


@pytest.mark.parametrize(("seconds", "taken"), [(-86_400 * 4000, 1), (-30, 1), (30, 1), (120, 0)])
def test_an_id_of_any_day_may_be_of_an_imported_prediction_and_one_of_a_moment_to_come_names_none(
    worker: Worker, seconds: float, taken: int
) -> None:
    assert feedback(worker, {"id": identifier(worker, seconds), "label": "yes"})[0] == taken


def test_labels_that_cannot_be_recorded_are_not_accepted(worker: Worker) -> None:
    worker.log.failing = True
    with pytest.raises(StoreUnavailable):
        asyncio.run(worker.plane.feedback([{"id": identifier(worker), "label": "yes"}], request()))
    assert count(worker.metrics.labels, outcome="accepted") == 0
