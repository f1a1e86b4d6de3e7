"""Retention: days that ended too long ago are gone from the tables and from disk, and no day goes too early."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lifecycle.clock import ManualClock, to_datetime
from lifecycle.feature_log.delta import LogTable
from lifecycle.feature_log.retention import Dropped, Retention
from lifecycle.feature_log.table import LogTables
from lifecycle.records import Label
from tests import builders
from tests.component.lifecycle.filling import fill
from tests.faults import Steps, faulty_tables, outcomes

DAY, HOUR = 86_400_000_000, 3_600_000_000
MIDNIGHT = builders.START - builders.START % DAY
DAYS = 5


@pytest.fixture
def tables(tmp_path: Path) -> LogTables:
    """Two predictions, a label and a parked label on each of five days, from the first one's midnight on."""
    return _filled(tmp_path / "log")


def _filled(folder: Path) -> LogTables:
    made = LogTables(folder)
    for at in range(MIDNIGHT, MIDNIGHT + DAYS * DAY, DAY):
        batch = builders.batch(2, at=at)
        known = builders.label(batch.ids[0], received_at=at + 10 * DAY)
        fill(made, batch, labels=[known, Label(None, "yes", at, at, external_id="x")])
    return made


def _retention(tables: LogTables, now: int, days: int = 2) -> Retention:
    return Retention(tables, ManualClock(now), days)


def _days(table: LogTable) -> list[str]:
    found = sorted(file.day for file in table.files())
    assert sorted(path.split("=")[1].split("/")[0] for path in table.storage.paths()) == found, "disk and log agree"
    return found


def _from(day: int) -> list[str]:
    return [to_datetime(MIDNIGHT + number * DAY).date().isoformat() for number in range(day, DAYS)]


@pytest.mark.parametrize(
    ("now", "first"),
    [
        (MIDNIGHT + 3 * DAY - 1, 0),  # the first day ended a microsecond less than two days ago
        (MIDNIGHT + 3 * DAY, 1),
        (MIDNIGHT + 4 * DAY - 1, 1),
        (MIDNIGHT + 4 * DAY, 2),
        (MIDNIGHT + 40 * DAY, DAYS),
    ],
)
def test_a_day_goes_when_it_ended_long_enough_ago(tables: LogTables, now: int, first: int) -> None:
    dropped = _retention(tables, now).enforce()
    assert dropped == Dropped(2 * first, first, first, 0)
    assert all(_days(table) == _from(first) for table in tables.all)
    assert _retention(tables, now).enforce() == Dropped()
    assert tables.verify() == []


def test_segments_that_were_put_aside_go_too(tables: LogTables) -> None:
    for day in (0, 3):
        writer = builders.writer(tables.quarantine, ManualClock(MIDNIGHT + day * DAY))
        writer.append_predictions(builders.batch(at=MIDNIGHT + day * DAY), builders.schema())
        writer.close()
    assert _retention(tables, MIDNIGHT + 4 * DAY).enforce().quarantined_segments == 1
    assert len(list(tables.quarantine.iterdir())) == 1


def test_it_looks_at_once_and_then_once_an_hour(tables: LogTables) -> None:
    clock = ManualClock(MIDNIGHT + 4 * DAY - HOUR // 2)
    retention = Retention(tables, clock, 2)
    retention.step()
    assert _days(tables.predictions) == _from(1)
    clock.at += HOUR // 2
    retention.step()
    assert _days(tables.predictions) == _from(1), "the hour is not over"
    clock.at += HOUR // 2
    retention.step()
    assert _days(tables.predictions) == _from(2)


def test_without_a_limit_nothing_goes(tables: LogTables) -> None:
    Retention(tables, ManualClock(MIDNIGHT + 10_000 * DAY), 0).step()
    assert all(_days(table) == _from(0) for table in tables.all)


def test_a_project_without_any_row_has_nothing_to_drop(tmp_path: Path) -> None:
    assert _retention(LogTables(tmp_path / "log"), MIDNIGHT).enforce() == Dropped()


def test_killed_at_any_step_the_next_look_finishes(tmp_path: Path) -> None:
    template, folder = tmp_path / "template", tmp_path / "log"
    _filled(template)

    def work(steps: Steps) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(template, folder)
        _retention(faulty_tables(folder, steps), MIDNIGHT + 4 * DAY).enforce()

    reached = []
    for name in outcomes(work):
        reached.append(name)
        left = LogTables(folder)
        _retention(left, MIDNIGHT + 4 * DAY).enforce()
        assert all(_days(table) == _from(2) for table in left.all)
    commits = {f"commit to {table.name}" for table in LogTables(folder).all}
    assert {*commits, "remove .parquet"} <= set(reached)


class LeavesFiles(Retention):
    """Drops days from the tables alone."""

    def enforce(self) -> Dropped:
        for table in self._tables.all:
            table.remove_now = _nothing  # type: ignore[method-assign]
        return super().enforce()


def _nothing(paths: Any) -> None:
    """Delete nothing."""


def test_the_check_sees_files_that_stay(tables: LogTables) -> None:
    LeavesFiles(tables, ManualClock(MIDNIGHT + 4 * DAY), 2).enforce()
    with pytest.raises(AssertionError, match="disk and log agree"):
        _days(tables.predictions)


def test_rows_of_a_day_that_is_kept_are_untouched(tables: LogTables) -> None:
    def kept() -> pa.Table:
        return tables.rows(MIDNIGHT + 2 * DAY, MIDNIGHT + DAYS * DAY, labels=True)

    before = kept()
    _retention(tables, MIDNIGHT + 4 * DAY).enforce()
    assert kept().equals(before)
    assert before.num_rows == 6
