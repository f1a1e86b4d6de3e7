"""Merging: few files, every row once, each rewritten a handful of times, and old commits forgotten."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from structlog.testing import capture_logs

from lifecycle.clock import ManualClock
from lifecycle.config import FeatureLogSection
from lifecycle.errors import Conflict, EvenkeelError, StoreUnavailable
from lifecycle.feature_log import compaction
from lifecycle.feature_log.compaction import CHECKPOINT_COMMITS, SMALLEST, size_class, tidy
from lifecycle.feature_log.delta import LogTable
from lifecycle.feature_log.files import LocalFiles
from lifecycle.feature_log.table import LogTables
from tests.component.lifecycle.logged import DAY, EVER, START, Log
from tests.faults import FaultyFiles, FaultyTable, Steps, outcomes

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
    from lifecycle.feature_log.data_files import DataFile

    def file(index: int) -> DataFile:
        return DataFile(str(index), "2023-11-14", 1, compaction.MOST_BYTES // 3, index, index, "", "")

    assert [found.first_at for found in compaction._in_one_go([file(index) for index in (4, 2, 3, 1)])] == [1, 2, 3]


# what cannot be merged


def damage(table: LogTable, path: str) -> None:
    """Turn over the first half of its bytes: its footer is sound, and its pages are not."""
    place = Path(table.storage.url) / path
    sound = place.read_bytes()
    half = len(sound) // 2
    place.write_bytes(bytes(byte ^ 0xFF for byte in sound[:half]) + sound[half:])


def test_a_damaged_file_is_left_out_and_the_others_are_merged_and_checkpointed(log: Log, clock: ManualClock) -> None:
    table = log.tables.predictions
    for offset in (-DAY, -DAY + 1, -DAY + 2, 0, 1):
        log.predict(START + offset, rows=20)
    damaged = {table.files()[0].path, table.files()[-1].path}
    assert len({path.split("/")[0] for path in damaged}) == 2, "a file of each day"
    for path in damaged:
        damage(table, path)
    with capture_logs() as logged:
        for offset in range(130):
            log.predict(START + 2 + offset)
            tidy(log.tables, clock, settings(vacuum_minutes=0))
    told = [entry for entry in logged if entry["event"] == "file_not_merged"]
    assert sorted(entry["file"] for entry in told) == sorted(damaged)
    assert {(entry["log_level"], entry["next"]) for entry in told} == {("error", "run `evenkeel doctor --verify`")}
    assert damaged < {file.path for file in table.files()}
    assert table.row_count() == 5 * 20 + 130
    assert len(table.files()) <= 10
    assert table.checkpointed() >= CHECKPOINT_COMMITS
    assert table.unnamed() == []
    assert len(log.tables.verify()) == 2
    clock.advance(DAY / 1e6)
    tidied(log, clock, settings(vacuum_minutes=0))
    assert len(table.files()) == 4, "a damaged and a merged file of each day"


class BrokenFiles(LocalFiles):
    """A disk that takes no more Parquet files of a table, as long as `full` names it."""

    full = ""

    def write(self, path: Path, parts: Any) -> int:
        if self.full and self.full in path.parts:
            raise OSError("the disk is full")
        return super().write(path, parts)


def test_a_table_that_cannot_be_written_is_swept_and_hinders_no_other(tmp_path: Path, clock: ManualClock) -> None:
    files = BrokenFiles()
    log = Log(LogTables(tmp_path / "log", files=files))
    for offset in range(4):
        log.label(log.predict(START + offset), "yes")
    left = log.tables.folder / "predictions" / "day=2023-11-14" / "of-a-commit-that-never-was.parquet"
    left.write_bytes(b"PAR1")
    files.full = "predictions"
    with capture_logs() as logged, pytest.raises(StoreUnavailable, match="the disk is full"):
        tidy(log.tables, clock, settings(vacuum_minutes=0))
    assert [entry["table"] for entry in logged] == ["labels"]
    assert (len(log.tables.labels.files()), left.exists()) == (1, False)
    files.full = ""
    assert tidied(log, clock, settings(vacuum_minutes=0)) == 1
    assert len(log.tables.predictions.files()) == 1


def test_nothing_is_merged_once_the_lease_is_held_elsewhere(log: Log, clock: ManualClock) -> None:
    for offset in range(4):
        log.label(log.predict(START + offset), "yes")
    answers = iter((True, False))
    with pytest.raises(Conflict, match="the lease of the fold is held elsewhere"):
        tidy(log.tables, clock, settings(), held=lambda: next(answers))
    assert (len(log.tables.predictions.files()), len(log.tables.labels.files())) == (1, 4)


# what is cut short, or done by two

CHOSEN = settings(vacuum_minutes=1)


class Slow(FaultyTable):
    """With a step between what a merge is chosen by and what it is committed on."""

    def replace(self, *arguments: Any, **named: Any) -> Any:
        self._steps.step(f"replace in {self.name}")
        return super().replace(*arguments, **named)

    def checkpoint(self) -> int | None:
        self._steps.step(f"checkpoint of {self.name}")
        return super().checkpoint()

    def clean_up(self) -> None:
        self._steps.step(f"clean up {self.name}")
        super().clean_up()


class DeletesFirst(Slow):
    """Broken: deletes what is to be merged before the commit that replaces it."""

    def replace(self, removed: Any, added: Any, *arguments: Any, **named: Any) -> Any:
        rows = list(added)
        for file in removed:
            self.storage.remove(file.path)
        return super().replace(removed, rows, *arguments, **named)


class Trusting(Slow):
    """Broken: does not look whether what it takes out is still there."""

    def _refuse_late(self, *_: object) -> None: ...


def slow_tables(folder: Path, steps: Steps, kind: type[Slow] = Slow) -> LogTables:
    tables = LogTables(folder, files=FaultyFiles(steps))
    for name in ("predictions", "labels", "parked"):
        setattr(tables, name, kind(getattr(tables, name), steps))
    return tables


def tidied_to_the_end(tables: LogTables) -> None:
    """All merges, a checkpoint as after many commits, and then all deletions."""
    clock = ManualClock()
    while tidy(tables, clock, CHOSEN):
        pass
    tables.predictions.checkpoint()
    tables.predictions.clean_up()
    clock.advance(2 * MINUTE)
    tidy(tables, clock, CHOSEN)


def content(folder: Path) -> list[list[str]]:
    """All rows of each table."""
    tables = LogTables(folder).all
    return [sorted(str(row) for batch in table.scan(table.files()) for row in batch.to_pylist()) for table in tables]


@pytest.fixture(scope="module")
def untidy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of predictions, and labels; what a killed writer left; old commits can go once a checkpoint holds them."""
    log = Log(LogTables(tmp_path_factory.mktemp("untidy") / "log"))
    for offset in (*range(8), DAY, DAY + 1):
        identifier = log.predict(START - DAY + offset, rows=2)
        if offset % 2:
            log.label(identifier, "yes")
    left = log.tables.folder / "predictions" / "day=2023-11-14" / "of-a-commit-that-never-was.parquet"
    left.write_bytes(b"PAR1")
    for path in (log.tables.folder / "predictions" / "_delta_log").iterdir():
        os.utime(path, (1_600_000_000, 1_600_000_000))
    return log.tables.folder


def killings(untidy: Path, work: Path, kind: type[Slow] = Slow) -> Iterator[tuple[str, Path]]:
    """What a compaction leaves that ends at each step, with the step's name."""

    def once(steps: Steps) -> None:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(untidy, work)
        tidied_to_the_end(slow_tables(work, steps, kind))

    for step in outcomes(once):
        yield step, work


def test_a_compaction_killed_at_any_step_loses_nothing_and_is_finished_by_the_next(
    untidy: Path, tmp_path: Path
) -> None:
    whole, seen = content(untidy), set()
    for step, folder in killings(untidy, tmp_path / "log"):
        assert (content(folder), LogTables(folder).verify()) == (whole, []), step
        tidied_to_the_end(LogTables(folder))
        tables = LogTables(folder)
        assert (content(folder), tables.verify()) == (whole, []), step
        assert [len(table.files()) for table in tables.all] == [3, 2, 0], step
        assert [table.unnamed() for table in tables.all] == [[], [], []], step
        assert tables.predictions.checkpointed() > 0, step
        seen.add(step)
    assert {
        "half of write .parquet",
        "replace in predictions",
        "commit to predictions",
        "commit to labels",
        "checkpoint of predictions",
        "clean up predictions",
        "remove .parquet",
    } <= seen


def test_the_check_catches_a_compaction_that_deletes_before_it_commits(untidy: Path, tmp_path: Path) -> None:
    assert any(LogTables(folder).verify() for _, folder in killings(untidy, tmp_path / "log", DeletesFirst))


def two_tidiers(untidy: Path, work: Path, kind: type[Slow] = Slow) -> Iterator[tuple[str, Path]]:
    """What comes of a second one that merges all there is to merge, at each step of the first."""
    alone = Steps()
    shutil.copytree(untidy, work / "alone")
    tidied_to_the_end(slow_tables(work / "alone", alone, kind))
    for moment, name in enumerate(alone.names, start=1):
        folder = work / str(moment)
        shutil.copytree(untidy, folder)

        def second(folder: Path = folder) -> None:
            while tidy(LogTables(folder), ManualClock(), CHOSEN):
                pass

        with suppress(EvenkeelError, OSError):  # the slower one may fail, as one that lost its lease does
            tidied_to_the_end(slow_tables(folder, Steps(moment, meanwhile=second), kind))
        yield name, folder


def test_a_second_tidier_at_any_step_changes_no_row(untidy: Path, tmp_path: Path) -> None:
    whole = content(untidy)
    for step, folder in two_tidiers(untidy, tmp_path):
        assert (content(folder), LogTables(folder).verify()) == (whole, []), step
        tidied_to_the_end(LogTables(folder))
        assert (content(folder), LogTables(folder).verify()) == (whole, []), step


def test_the_check_catches_a_tidier_that_replaces_what_is_gone(untidy: Path, tmp_path: Path) -> None:
    whole = content(untidy)
    assert any(content(folder) != whole for _, folder in two_tidiers(untidy, tmp_path, Trusting))
