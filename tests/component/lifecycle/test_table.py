"""The read side: windows, labels joined to them, and the tables as they once were."""

from pathlib import Path

import pytest

from lifecycle.clock import ManualClock
from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.table import LogTables, days
from lifecycle.ids import uuid7
from tests import builders

DAY = 86_400_000_000
START = builders.START
EVER = (START - 10 * DAY, START + 10 * DAY)


class Log:
    """Tables with a folder and a writer: appends and folds in one call."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.tables = LogTables(folder)
        self._writer = builders.writer(self.tables.segments, clock)
        self._folder = Folder(self.tables, clock, compact_commits=100)

    def predict(self, at: int = START) -> str:
        batch = builders.batch(at=at)
        self._writer.append_predictions(batch, builders.schema())
        self._fold()
        return batch.ids[0]

    def label(self, identifier: str, value: str, *, received_at: int = START) -> None:
        self._writer.append_labels([builders.label(identifier, value, received_at=received_at)])
        self._fold()

    def _fold(self) -> None:
        self._writer.close()
        self._folder.fold()


@pytest.fixture
def log(tmp_path: Path, clock: ManualClock) -> Log:
    return Log(tmp_path / "log", clock)


def test_a_log_that_holds_nothing_is_an_empty_window(log: Log) -> None:
    assert log.tables.window(*EVER).num_rows == 0
    assert log.tables.window(*EVER, labels=True).num_rows == 0
    assert log.tables.record(uuid7()).num_rows == 0
    assert (log.tables.versions(), log.tables.row_count()) == ((None, None), 0)


def test_a_window_begins_at_its_start_and_ends_before_its_end(log: Log) -> None:
    ids = [log.predict(START + offset) for offset in (-1, 0, 1, 2)]
    assert log.tables.window(START, START + 2)["id"].to_pylist() == sorted(ids[1:3])


def test_a_window_spans_days(log: Log) -> None:
    ids = [log.predict(START + days * DAY) for days in range(3)]
    assert log.tables.window(START, START + DAY + 1)["id"].to_pylist() == ids[:2]
    assert log.tables.window(START + 5 * DAY, START + 6 * DAY).num_rows == 0


def test_columns_limit_what_is_read_and_unknown_ones_are_left_out(log: Log) -> None:
    log.predict()
    assert log.tables.window(*EVER, columns=["id", "feature_a", "feature_gone"]).column_names == ["id", "feature_a"]


def test_rows_are_in_order_of_id_even_when_the_id_was_not_asked_for(log: Log) -> None:
    log.predict()
    assert "feature_a" in log.tables.window(*EVER, columns=["feature_a"]).column_names


def test_the_latest_label_wins_in_whatever_order_they_arrive(log: Log) -> None:
    first, second, third = log.predict(), log.predict(START + 1), log.predict(START + 2)
    log.label(first, "no", received_at=START + 20)
    log.label(first, "yes", received_at=START + 10)
    log.label(second, "no", received_at=START + 10)
    log.label(second, "no", received_at=START + 30)
    rows = {row["id"]: row for row in log.tables.window(*EVER, labels=True).to_pylist()}
    assert {identifier: row["label"] for identifier, row in rows.items()} == {first: "no", second: "no", third: None}
    assert len(rows) == 3


def test_labels_of_predictions_outside_the_window_stay_outside(log: Log) -> None:
    inside, outside = log.predict(), log.predict(START + DAY)
    log.label(inside, "yes")
    log.label(outside, "no")
    log.label(uuid7(START // 1000), "no")
    assert log.tables.window(START, START + 1, labels=True)["label"].to_pylist() == ["yes"]


def test_without_labels_the_label_columns_are_null(log: Log) -> None:
    log.predict()
    rows = log.tables.window(*EVER, labels=True)
    assert [rows[name].to_pylist() for name in ("label", "observed_at", "received_at")] == [[None]] * 3


def test_a_record_is_found_by_its_id_with_its_label(log: Log) -> None:
    wanted = log.predict()
    log.predict()
    log.label(wanted, "no")
    (row,) = log.tables.record(wanted).to_pylist()
    assert (row["id"], row["label"]) == (wanted, "no")
    assert log.tables.record(uuid7(START // 1000)).num_rows == 0


def test_the_tables_can_be_read_as_they_were(log: Log) -> None:
    nothing = log.tables.versions()
    first = log.predict()
    unlabelled = log.tables.versions()
    log.label(first, "yes", received_at=START + 1)
    labelled = log.tables.versions()
    log.predict()
    log.label(first, "no", received_at=START + 2)
    assert log.tables.window(*EVER, labels=True, versions=nothing).num_rows == 0
    assert log.tables.window(*EVER, labels=True, versions=unlabelled)["label"].to_pylist() == [None]
    assert log.tables.window(*EVER, labels=True, versions=labelled)["label"].to_pylist() == ["yes"]
    assert sorted(map(str, log.tables.window(*EVER, labels=True)["label"].to_pylist())) == ["None", "no"]


def test_a_table_that_cannot_be_read_is_a_sentence(log: Log) -> None:
    log.predict()
    entry = next((log.tables.predictions / "_delta_log").glob("*.json"))
    entry.write_text("{ not json")
    with pytest.raises(StoreUnavailable, match="the table predictions cannot be read"):
        log.tables.window(*EVER)


def test_days_are_those_an_interval_touches() -> None:
    midnight = 1_700_006_400_000_000
    assert days(midnight, midnight + DAY) == ["2023-11-15"]
    assert days(midnight - 1, midnight + DAY + 1) == ["2023-11-14", "2023-11-15", "2023-11-16"]
    assert days(midnight, midnight) == ["2023-11-15"]
