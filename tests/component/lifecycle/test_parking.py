"""Labels that wait for their prediction: found by external id whenever it comes, exactly once, and given up in the end."""

from pathlib import Path
from typing import Any

import pytest

from lifecycle.clock import ManualClock
from lifecycle.config import FeatureLogSection
from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log import parking
from lifecycle.feature_log.compaction import tidy
from lifecycle.feature_log.data_files import DataFile
from lifecycle.feature_log.delta import LogTable
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.table import LogTables
from lifecycle.ids import uuid7
from lifecycle.records import FoldStatus, Label
from tests import builders

START, DAY, HOUR = builders.START, 86_400_000_000, 3_600


class Log:
    """Tables, a writer and a folder, whose labels wait for two days."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.tables = LogTables(folder)
        self.clock = clock
        self.writer = builders.writer(self.tables.segments, clock)
        self.folder = self.fresh_folder()

    def fresh_folder(self) -> Folder:
        return Folder(self.tables, self.clock, parking_hours=48)

    def fold(self) -> FoldStatus:
        self.writer.close()
        return self.folder.fold()

    def predict(self, *external_ids: str | None) -> list[str]:
        now = self.clock.now()
        batch = builders.batch(len(external_ids), at=now, external_ids=list(external_ids))
        self.writer.append_predictions(batch, builders.schema())
        return batch.ids

    def label(self, *external_ids: str, value: float | str = "yes") -> None:
        now = self.clock.now()
        self.writer.append_labels([Label(None, value, now, now, "k", name) for name in external_ids])

    def label_id(self, identifier: str, value: str = "yes") -> None:
        now = self.clock.now()
        self.writer.append_labels([Label(identifier, value, now, now)])

    def labels(self) -> list[dict[str, Any]]:
        """The rows of the table of labels, in order of id."""
        table = self.tables.labels
        rows = [row for batch in table.scan(table.files()) for row in batch.to_pylist()]
        return sorted(rows, key=lambda row: (row["id"], row["received_at"]))

    def latest(self) -> dict[str, Any]:
        """The label of each prediction as a window shows it."""
        rows = self.tables.rows(START - 99 * DAY, self.clock.now() + DAY, ["id"], labels=True).to_pylist()
        return {row["id"]: row["label"] for row in rows}


@pytest.fixture
def log(tmp_path: Path, clock: ManualClock) -> Log:
    return Log(tmp_path / "log", clock)


def test_a_label_by_external_id_belongs_to_its_prediction_at_once(log: Log) -> None:
    (identifier,) = log.predict("order 1")
    log.label("order 1")
    assert log.fold().parked_labels == 0
    (row,) = log.labels()
    assert (row["id"], row["external_id"], row["label"], row["key_id"]) == (identifier, "order 1", "yes", "k")
    assert log.latest() == {identifier: "yes"}


def test_a_label_waits_for_its_prediction(log: Log) -> None:
    log.label("order 1")
    assert log.fold().parked_labels == 1
    assert log.labels() == []
    log.clock.advance(3_600)
    (identifier,) = log.predict("order 1")
    status = log.fold()
    assert (status.parked_labels, status.orphaned_labels) == (0, 0)
    assert log.latest() == {identifier: "yes"}


def test_a_label_of_a_prediction_from_days_ago_is_found(log: Log) -> None:
    (identifier,) = log.predict("order 1")
    log.fold()
    log.clock.advance(9 * 24 * HOUR)
    log.label("order 1")
    log.fold()
    assert log.latest() == {identifier: "yes"}


def test_a_label_belongs_to_every_prediction_of_its_external_id(log: Log) -> None:
    ids = log.predict("order 1", "order 2", "order 1")
    log.fold()
    log.clock.advance(24 * HOUR)
    ids += log.predict("order 1")
    log.label("order 1")
    log.fold()
    assert log.latest() == {ids[0]: "yes", ids[1]: None, ids[2]: "yes", ids[3]: "yes"}


def test_a_correction_is_kept_beside_what_it_corrects_and_wins(log: Log) -> None:
    (identifier,) = log.predict("order 1")
    log.label("order 1", value="no")
    log.fold()
    log.clock.advance(60)
    log.label("order 1", value="yes")
    log.fold()
    assert [row["label"] for row in log.labels()] == ["no", "yes"]
    assert log.latest() == {identifier: "yes"}


def test_a_label_that_finds_nothing_is_given_up_after_its_time_and_counted(log: Log) -> None:
    log.label("nobody", "nobody else")
    log.fold()
    log.clock.advance(47 * HOUR)
    assert log.fold().parked_labels == 2
    log.clock.advance(2 * HOUR)
    status = log.fold()
    assert (status.parked_labels, status.orphaned_labels) == (0, 2)
    assert log.fresh_folder().fold().orphaned_labels == 2


def test_a_label_whose_prediction_comes_with_its_last_hour_is_not_given_up(log: Log) -> None:
    log.label("order 1")
    log.fold()
    log.clock.advance(49 * HOUR)
    log.predict("order 1")
    status = log.fold()
    assert (status.parked_labels, status.orphaned_labels) == (0, 0)


def test_a_label_by_prediction_id_that_no_prediction_has_is_counted_once(log: Log) -> None:
    known = log.predict(None)
    log.label_id(known[0])
    log.label_id(uuid7(START // 1000))
    assert log.fold().orphaned_labels == 0
    for _ in range(3):
        log.clock.advance(49 * HOUR)
        assert log.fold().orphaned_labels == 1
    assert log.fresh_folder().fold().orphaned_labels == 1


def test_labels_with_forged_ids_of_any_day_make_no_days_in_the_table(log: Log) -> None:
    log.predict(None)
    log.fold()
    for year in range(40):
        log.label_id(uuid7(year * 31_000_000_000))
    log.label_id("ffffffff-ffff-7fff-bfff-ffffffffffff")
    assert log.fold().parked_labels == 41
    assert log.tables.labels.files() == []
    assert len(log.tables.parked.files()) == 1
    log.clock.advance(49 * HOUR)
    assert log.fold().orphaned_labels == 41


def test_a_label_by_id_of_a_day_without_predictions_waits_for_them(log: Log) -> None:
    """As when an old history is brought in, and its labels are folded before its predictions."""
    earlier = START - 400 * DAY
    batch = builders.batch(at=earlier)
    log.label_id(batch.ids[0])
    assert log.fold().parked_labels == 1
    log.writer.append_predictions(batch, builders.schema())
    assert log.fold().parked_labels == 0
    assert log.tables.rows(earlier, earlier + 1, labels=True)["label"].to_pylist() == ["yes"]


def test_labels_that_change_from_text_to_numbers_wait_side_by_side(log: Log) -> None:
    log.label("order 1", value="yes")
    log.label("order 2", value=2.5)
    log.fold()
    ids = log.predict("order 1", "order 2")
    log.fold()
    rows = {row["id"]: row for row in log.labels()}
    assert rows[ids[0]]["label"] == "yes"
    assert rows[ids[1]]["numeric_label"] == 2.5


def test_waiting_labels_are_found_after_their_files_were_merged(log: Log) -> None:
    for count in range(6):
        log.label(f"order {count}")
        log.fold()
    while tidy(log.tables, log.clock, FeatureLogSection(compact_files=2)):
        pass
    ids = log.predict(*(f"order {count}" for count in range(6)))
    assert log.fold().parked_labels == 0
    assert set(log.latest()) == set(ids)
    assert set(log.latest().values()) == {"yes"}


def test_what_was_looked_for_is_looked_for_in_new_predictions_alone(log: Log) -> None:
    log.predict(*(f"order {count}" for count in range(5)))
    log.label("not yet")
    log.fold()
    counting = Counting(log.tables.predictions)
    log.tables.predictions = counting
    log.predict("another")
    log.fold()
    (wanted,) = log.predict("not yet")
    log.fold()
    assert counting.scanned == [1, 1]
    assert log.latest()[wanted] == "yes"


class Counting(LogTable):
    """A table that remembers how many files each look for some of its rows went through."""

    def __init__(self, inner: LogTable, *, filtered: bool = True) -> None:
        super().__init__(inner.name, inner.storage, inner.keys)
        self.arguments = 2 if filtered else 1
        self.scanned: list[int] = []

    def scan(self, files: Any, *arguments: Any) -> Any:
        listed = list(files)
        if len(arguments) == self.arguments:
            self.scanned.append(len(listed))
        return super().scan(listed, *arguments)


class FailsOnce(LogTable):
    """A table whose next rewriting fails, as when a store is away for a moment."""

    def __init__(self, inner: LogTable) -> None:
        super().__init__(inner.name, inner.storage, inner.keys)
        self.failing = True

    def replace(self, *arguments: Any, **named: Any) -> list[DataFile]:
        if self.failing:
            self.failing = False
            raise StoreUnavailable("the store is away; try again")
        return super().replace(*arguments, **named)


def test_a_move_that_failed_between_the_tables_is_finished_and_not_made_twice(log: Log) -> None:
    log.label("order 1", "not yet")
    log.fold()
    log.predict("order 1")
    log.tables.parked = FailsOnce(log.tables.parked)
    assert log.fold().problem == "the store is away; try again"
    status = log.fold()
    assert (len(log.labels()), status.parked_labels) == (1, 1)
    log.predict("not yet")
    assert log.fold().parked_labels == 0
    assert len(log.labels()) == 2


def test_the_check_sees_a_move_that_is_made_twice(log: Log) -> None:
    log.label("order 1")
    log.fold()
    log.predict("order 1")
    log.tables.parked = FailsOnce(log.tables.parked)
    assert log.fold().problem == "the store is away; try again"
    log.folder._parking._recovered = True  # a folder that does not look at what was cut short
    log.fold()
    assert len(log.labels()) == 2


def test_one_external_id_of_very_many_predictions_is_bounded(log: Log) -> None:
    many = parking.MOST_PREDICTIONS + 50
    older = log.predict(*["same"] * 50)
    log.fold()
    log.clock.advance(1)
    columns = {"a": [0.0] * many, "town": ["Ghent"] * many}
    batch = builders.batch(many, at=log.clock.now(), external_ids=["same"] * many, columns=columns)
    log.writer.append_predictions(batch, builders.schema())
    log.label("same")
    assert log.fold().parked_labels == 0
    labelled = {row["id"] for row in log.labels()}
    assert len(labelled) == parking.MOST_PREDICTIONS
    assert not labelled & set(older)


def test_more_labels_than_fit_one_move_are_moved_in_several(log: Log) -> None:
    count = parking.MOST_MOVED // parking.MOST_PREDICTIONS
    log.predict(*["same"] * parking.MOST_PREDICTIONS)
    moved = []
    for _ in range(count + 5):
        log.label("same")
        log.clock.advance(1)
    while log.fold().parked_labels:
        moved.append(log.tables.labels.row_count())
    assert moved[0] <= parking.MOST_MOVED
    assert log.tables.labels.row_count() == (count + 5) * parking.MOST_PREDICTIONS


class Slow(ManualClock):
    """Each look at it takes a second."""

    def now(self) -> int:
        self.advance(1)
        return super().now()


def test_looking_takes_a_tenth_of_the_time_at_most(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", Slow())
    log.label("not yet")
    log.fold()
    counting = Counting(log.tables.parked, filtered=False)
    log.tables.parked = counting
    looks = 0
    for _ in range(10):
        log.predict("another")
        before = len(counting.scanned)
        log.fold()
        looks += len(counting.scanned) > before
    assert 0 < looks <= 5


def test_a_log_without_waiting_labels_never_looks_at_its_predictions(log: Log) -> None:
    counting = Counting(log.tables.predictions)
    log.tables.predictions = counting
    for _ in range(3):
        log.label_id(log.predict(None)[0])
        log.fold()
    assert counting.scanned == []
