"""Merging: few files, every row once, each rewritten a handful of times, and old commits forgotten."""

import os
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lifecycle.clock import ManualClock
from lifecycle.config import FeatureLogSection
from lifecycle.feature_log import compaction
from lifecycle.feature_log.compaction import CHECKPOINT_COMMITS, SMALLEST, size_class, tidy
from lifecycle.feature_log.table import LogTables
from tests.component.lifecycle.logged import DAY, EVER, START, Log

MINUTE = 60


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(LogTables(tmp_path / "log"))


def settings(**changes: float) -> FeatureLogSection:
    return FeatureLogSection.model_validate({"compact_files": 4, "vacuum_minutes": 10} | changes)


def tidied(log: Log, clock: ManualClock, chosen: FeatureLogSection) -> int:
    """All merges there are to make."""
    total = 0
    while made := tidy(log.tables, clock, chosen):
        total += made
    return total


def test_a_table_with_nothing_to_merge_is_left_alone(log: Log, clock: ManualClock) -> None:
    assert tidy(log.tables, clock, settings()) == 0
    log.predict()
    version = log.tables.predictions.version()
    assert tidied(log, clock, settings()) == 0
    assert log.tables.predictions.version() == version


def test_files_of_one_size_merge_and_every_row_is_there_once_and_in_order(log: Log, clock: ManualClock) -> None:
    ids = []
    for offset in (3, 1, 2, 0, 4):
        ids.append(log.predict(START + 1000 * offset, rows=3))
        tidied(log, clock, settings())
    assert len(log.tables.predictions.files()) == 2
    (merged,) = [file for file in log.tables.predictions.files() if file.is_merged]
    stored = [moment for batch in log.tables.predictions.scan([merged], ["at"]) for moment in batch["at"].to_pylist()]
    assert stored == sorted(stored)
    assert len(log.ids()) == len(set(log.ids())) == 15
    assert set(ids) <= set(log.ids())
    assert log.tables.verify() == []


def test_a_merge_changes_nothing_that_a_writer_or_reader_relies_on(log: Log, clock: ManualClock) -> None:
    from tests import builders
    from tests.component.lifecycle.logged import rows_of

    for number in range(4):
        log.tables.predictions.append(rows_of(builders.batch(), builders.schema()), {"writer": number + 1})
    before = log.tables.rows(*EVER)
    assert tidied(log, clock, settings()) == 1
    assert log.tables.predictions.transaction("writer") == 4
    assert log.tables.rows(*EVER).equals(before)


def test_labels_are_merged_too_and_the_latest_still_wins(log: Log, clock: ManualClock) -> None:
    identifier = log.predict()
    for index in range(8):
        log.label(identifier, "yes" if index % 2 else "no", received_at=START + (index * 5) % 8)
        tidied(log, clock, settings())
    assert log.tables.rows(*EVER, labels=True)["label"].to_pylist() == ["yes"]
    assert len(log.tables.labels.files()) == 2


def test_a_file_with_rows_enough_is_not_merged_again(log: Log, clock: ManualClock) -> None:
    log.tables.predictions.file_rows = 3
    for rows in (3, 1, 1, 1, 1, 3, 3, 3):
        log.predict(rows=rows)
    assert tidied(log, clock, settings()) == 1
    assert sorted(file.rows for file in log.tables.predictions.files()) == [3, 3, 3, 3, 4]


def test_a_row_is_rewritten_a_handful_of_times(log: Log, clock: ManualClock) -> None:
    written: Counter[str] = Counter()
    for offset in range(64):
        log.predict(START + offset, rows=400)
        while tidy(log.tables, clock, settings(vacuum_minutes=1000)):
            pass
    rows = 64 * 400
    for path in log.tables.predictions.storage.paths():
        if "merged-" in path:
            written[path] = pq.read_metadata(str(log.tables.folder / "predictions" / path)).num_rows
    assert len(log.tables.predictions.files()) <= 8
    assert sum(written.values()) <= 4 * rows


def test_small_files_of_a_day_that_is_over_merge_once_a_day(log: Log, clock: ManualClock) -> None:
    for offset in range(3):
        log.predict(START + offset)
    assert tidied(log, clock, settings()) == 0
    clock.advance(DAY / 1e6)
    assert tidied(log, clock, settings()) == 1
    log.predict(START + 9)
    assert tidied(log, clock, settings()) == 0
    clock.advance(DAY / 1e6)
    assert tidied(log, clock, settings()) == 1
    assert [file.rows for file in log.tables.predictions.files()] == [4]


def test_files_that_are_large_enough_are_not_rewritten(log: Log, clock: ManualClock) -> None:
    large = settings(file_bytes=2**20, compact_files=2)
    for offset in range(2):
        log.predict(START + offset, rows=90_000)
    assert min(file.bytes for file in log.tables.predictions.files()) >= 2**20
    clock.advance(DAY / 1e6)
    assert tidied(log, clock, large) == 0


def test_what_was_merged_is_deleted_once_nobody_can_read_it_any_more(log: Log, clock: ManualClock) -> None:
    for offset in range(4):
        log.predict(START + offset)
    old = [file.path for file in log.tables.predictions.files()]
    tidied(log, clock, settings())
    assert log.tables.predictions.unnamed() == sorted(old)
    clock.advance(9 * MINUTE)
    tidied(log, clock, settings())
    assert log.tables.predictions.unnamed() == sorted(old)
    clock.advance(2 * MINUTE)
    tidied(log, clock, settings())
    assert log.tables.predictions.unnamed() == []


@pytest.mark.parametrize(
    "name", ["day=2023-11-14/of-a-commit-that-never-was.parquet", "day=2023-11-14/.half.parquet.new"]
)
def test_what_a_killed_writer_left_is_deleted_too(log: Log, clock: ManualClock, name: str) -> None:
    log.predict()
    (log.tables.folder / "predictions" / name).write_bytes(b"PAR1")
    for _ in range(2):
        tidied(log, clock, settings())
        clock.advance(11 * MINUTE)
    assert not (log.tables.folder / "predictions" / name).exists()
    assert len(log.ids()) == 1


def test_a_merge_that_was_killed_before_its_commit_is_made_again(log: Log, clock: ManualClock) -> None:
    table = log.tables.predictions
    for offset in range(4):
        log.predict(START + offset)
    state = table.state()
    assert state is not None
    groups = [group for file in state.files for group in table.source(file).groups("at")]
    table._write("2023-11-14", table.merged(groups, state.schema), state.schema, prefix="merged-", data_change=False)
    expected = log.ids()
    again = Log(LogTables(log.tables.folder))
    assert tidied(again, clock, settings()) == 1
    assert again.ids() == expected


def test_commits_are_forgotten_after_an_hour_once_a_checkpoint_holds_them(log: Log, clock: ManualClock) -> None:
    table = log.tables.predictions
    chosen = settings(compact_files=50)
    for offset in range(CHECKPOINT_COMMITS + 20):
        log.predict(START + offset)
        tidy(log.tables, clock, chosen)
    expected = log.ids()
    folder = log.tables.folder / "predictions" / "_delta_log"
    assert table.checkpointed() >= CHECKPOINT_COMMITS
    assert len(list(folder.glob("*.json"))) > CHECKPOINT_COMMITS  # of this hour
    for path in folder.iterdir():
        os.utime(path, (1_600_000_000, 1_600_000_000))
    table.clean_up()
    assert len(list(folder.glob("*.json"))) < 30
    assert log.ids() == expected


def test_size_classes_grow_by_a_factor() -> None:
    sizes = [0, SMALLEST - 1, SMALLEST, 8 * SMALLEST - 1, 8 * SMALLEST, 64 * SMALLEST]
    assert [size_class(size) for size in sizes] == [0, 0, 1, 1, 2, 3]


def test_one_merge_reads_so_much_and_no_more() -> None:
    from lifecycle.feature_log.delta import DataFile

    def file(index: int) -> DataFile:
        return DataFile(str(index), "2023-11-14", 1, compaction.MOST_BYTES // 3, index, index, "", "")

    assert [found.first_at for found in compaction._in_one_go([file(index) for index in (4, 2, 3, 1)])] == [1, 2, 3]
