"""One table: commits that are durable when they return, exact numbers per writer, and what a loss of power leaves."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lifecycle.errors import Conflict, StoreUnavailable
from lifecycle.feature_log.data_files import DataFile
from lifecycle.feature_log.delta import ABSENT_SECONDS, LogTable
from lifecycle.feature_log.files import File, LocalFiles
from lifecycle.feature_log.storage import LocalStorage
from lifecycle.feature_log.table import LogTables
from tests import builders
from tests.component.lifecycle.logged import DAY, EVER, START, Log, rows_of


class Witness(LocalFiles):
    """Real files, and a list of what was made durable."""

    def __init__(self) -> None:
        self.synced: list[Path] = []

    def adopt(self, path: Path) -> File:  # type: ignore[override]  # what comes back is a File like any other
        file = super().adopt(path)
        sync = file.sync

        class Watched:
            append, truncate, close = file.append, file.truncate, file.close

            @staticmethod
            def sync() -> None:
                sync()
                self.synced.append(path)

        return Watched()

    def sync_folder(self, folder: Path) -> None:
        super().sync_folder(folder)
        self.synced.append(folder)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(LogTables(tmp_path / "log"))


@pytest.fixture
def table(log: Log) -> LogTable:
    return log.tables.predictions


def some_rows(count: int = 1, at: int = START, **changes: Any) -> pa.Table:
    return rows_of(builders.batch(count, at=at, **changes), builders.schema())


def test_a_table_that_was_never_written_is_empty_and_knows_no_writer(table: LogTable) -> None:
    assert (table.open(), table.state(), table.version(), table.row_count()) == (None, None, None, 0)
    assert (table.transaction("writer"), table.files(), table.schema().names) == (0, [], [])
    assert (table.unnamed(), table.checkpoint(), table.drop_days("2030-01-01")) == ([], None, 0)


def test_a_commit_remembers_the_last_number_of_each_writer(table: LogTable) -> None:
    table.append(some_rows(), {"one": 3, "two": 8})
    table.append(some_rows(), {"one": 4})
    assert table.transactions(["one", "two", "three"]) == {"one": 4, "two": 8, "three": 0}


def test_a_commit_and_every_folder_that_leads_to_it_are_on_disk_when_it_returns(tmp_path: Path) -> None:
    files = Witness()
    table = LogTables(tmp_path / "project" / "log", files=files).predictions
    table.append(some_rows(), {})
    root = tmp_path / "project" / "log" / "predictions"
    day = (root / table.files()[0].path).parent
    names = [root / "_delta_log" / f"{number:020}.json" for number in (0, 1)]
    assert {*names, day, root, root / "_delta_log", root.parent, root.parent.parent} <= set(files.synced)
    table.append(some_rows(columns={"a": [1.0], "town": [None]}), {})
    assert root / "_delta_log" / f"{2:020}.json" in files.synced


def test_a_file_is_described_by_its_rows_and_bounds_and_by_nothing_else(table: LogTable) -> None:
    rows = pa.concat_tables([some_rows(2, START + 7), some_rows(1, START + 2)])
    (file,) = table.append(rows, {})
    ids = sorted(rows["id"].to_pylist())
    assert (file.rows, file.first_at, file.last_at) == (3, START + 2, START + 7)
    assert (file.first_id, file.last_id) == (ids[0], ids[-1])
    assert table.files() == [file]
    log = table.storage.read_log(table.storage.log_names()[-1]).decode()
    stats = [json.loads(json.loads(line)["add"]["stats"]) for line in log.splitlines() if '"add"' in line]
    assert [set(found["minValues"]) | set(found["maxValues"]) for found in stats] == [{"id", "at"}]
    assert "Ghent" not in log


def test_rows_of_several_days_become_a_file_each_sorted_by_time(log: Log, table: LogTable) -> None:
    late, early = some_rows(3, START + 9), some_rows(3, START + 1)
    added = table.append(pa.concat_tables([late, some_rows(1, START + DAY), early]), {})
    assert [(file.day, file.rows) for file in added] == [("2023-11-14", 6), ("2023-11-15", 1)]
    stored = pa.Table.from_batches(table.scan(added[:1], ["at", "id"]))
    assert stored.equals(stored.sort_by([("at", "ascending"), ("id", "ascending")]))


def test_only_files_that_may_have_rows_of_an_interval_are_listed(table: LogTable) -> None:
    for offset in (0, 10, 20):
        table.append(some_rows(1, START + offset), {})
    listed = [file.first_at - START for file in table.files(START + 10, START + 20)]
    assert listed == [10]
    assert len(table.files(START)) == 3


def test_scanning_filters_by_columns_that_are_not_asked_for(log: Log, table: LogTable) -> None:
    table.append(some_rows(100), {})
    (file,) = table.files()
    found = pa.Table.from_batches(table.scan([file], ["id"], pc.field("feature_a") >= 97))
    assert (found.column_names, found.num_rows) == (["id"], 3)
    everything = pa.Table.from_batches(table.scan([file]))
    assert everything["day"].unique().to_pylist() == [file.day]


def test_columns_of_names_that_differ_in_case_alone_are_told_apart(log: Log, table: LogTable) -> None:
    twins = builders.schema(kinds={"x": "numeric", "X": "numeric"})
    table.append(rows_of(builders.batch(columns={"x": [1.0], "X": [2.0]}), twins), {})
    table.append(rows_of(builders.batch(columns={"X": [3.0], "x": [4.0]}), twins), {})
    rows = log.tables.rows(*EVER).to_pylist()
    assert sorted((row["feature_x"], row["numeric_feature_X"]) for row in rows) == [(1.0, 2.0), (4.0, 3.0)]


def test_replacing_takes_rows_away_and_their_file_stays_until_it_is_removed(log: Log, table: LogTable) -> None:
    table.append(some_rows(4), {})
    table.append(some_rows(2, START + 1), {})
    first, second = sorted(table.files(), key=lambda file: -file.rows)
    kept = table.scan([first], filter=pc.field("feature_a") > 0)
    table.replace([first], (pa.Table.from_batches([batch]) for batch in kept), {"erasure": 1})
    assert (table.row_count(), table.transaction("erasure")) == (5, 1)
    assert table.unnamed() == [first.path]
    with pytest.raises(ValueError, match="belongs to the table"):
        table.remove_now([second.path])
    table.remove_now([first.path, first.path])
    assert table.unnamed() == []
    assert log.tables.verify() == []


def _merge_late(table: LogTable) -> None:
    """Chooses what to merge, and merges it after another process has done so."""
    state = table.state()
    assert state is not None
    other = LogTables(Path(table.storage.url).parent).predictions
    other.replace(other.files(), [pa.Table.from_batches(other.scan(other.files()))], data_change=False)
    rows = pa.Table.from_batches(other.scan(other.files()))
    table.replace(state.files, [rows], data_change=False)


def test_what_another_process_has_replaced_is_not_replaced_again(log: Log, table: LogTable) -> None:
    for offset in range(4):
        table.append(some_rows(10, START + offset), {})
    with pytest.raises(Conflict, match="another process has taken it out; look again"):
        _merge_late(table)
    assert table.row_count() == log.tables.rows(*EVER).num_rows == 40


class Trusting(LogTable):
    """Broken: does not look whether what it takes out is still there."""

    def _refuse_late(self, *_: object) -> None: ...


def test_the_check_catches_a_table_that_replaces_what_is_gone(log: Log, table: LogTable) -> None:
    for offset in range(4):
        table.append(some_rows(10, START + offset), {})
    _merge_late(Trusting(table.name, table.storage, table.keys))
    assert table.row_count() == 80


def test_replacing_with_nothing_leaves_the_other_rows(log: Log, table: LogTable) -> None:
    table.append(some_rows(4), {})
    table.append(some_rows(2, START + 1), {})
    table.replace([file for file in table.files() if file.rows == 4], ())
    assert log.tables.rows(*EVER).num_rows == 2


def test_days_before_a_day_are_dropped_from_the_table_and_from_disk(log: Log, table: LogTable) -> None:
    for day in range(3):
        table.append(some_rows(2, START + day * DAY), {"writer": day + 1})
    assert table.drop_days("2023-11-16") == 4
    assert [file.day for file in table.files()] == ["2023-11-16"]
    assert (table.unnamed(), table.transaction("writer")) == ([], 3)
    assert table.drop_days("2023-11-16") == 0


def test_two_writers_of_one_moment_are_told_apart(log: Log, table: LogTable) -> None:
    """A folder that lost its lease unawares: the later of two commits of one writer's number fails."""
    table.append(some_rows(), {"writer": 1})
    stale = table.open()
    table.append(some_rows(), {"writer": 2})
    assert stale is not None
    other = LogTables(log.tables.folder).predictions
    other.open = lambda: stale  # type: ignore[method-assign]  # the snapshot that the slower of them still has
    with pytest.raises(StoreUnavailable):
        other.append(some_rows(), {"writer": 2})
    assert table.row_count() == 2


def _torn(name: str, content: bytes) -> Callable[[Path], None]:
    def tear(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return tear


POWER_LOSSES = {
    "a commit of no bytes": _torn(f"{4:020}.json", b""),
    "a commit cut off at the end of a block": _torn(f"{4:020}.json", (b'{"add": {"path": "' + b"day" * 200)[:512]),
    "a commit with a hole": _torn(f"{4:020}.json", b'{"add": {"path":' + bytes(4096) + b'"x"}}'),
    "a checkpoint of no bytes": _torn(f"{3:020}.checkpoint.parquet", b""),
    "half a checkpoint": _torn(f"{3:020}.checkpoint.parquet", b"PAR1 and then nothing"),
    "a mark of no bytes": _torn("_last_checkpoint", b""),
    "a mark of a checkpoint that is not there": _torn("_last_checkpoint", b'{"version": 99, "size": 1}'),
}


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ (1 << at % 7)]) + content[at + 1 :]


@pytest.mark.parametrize("name", [f"{number:020}.json" for number in range(4)] + [f"{2:020}.checkpoint.parquet"])
def test_a_flipped_bit_of_the_log_is_found_or_changes_nothing(log: Log, table: LogTable, name: str) -> None:
    for number in (1, 2):
        table.append(some_rows(), {"writer": number})
    table.checkpoint()
    table.append(some_rows(), {"writer": 3})
    entry = log.tables.folder / "predictions" / "_delta_log" / name
    sound, expected = entry.read_bytes(), table.state()
    found = 0
    places = range(0, len(sound), max(7, len(sound) // 100))
    for at in places:
        entry.write_bytes(flipped(sound, at))
        fresh = LogTables(log.tables.folder)
        if fresh.verify():
            found += 1
            continue
        assert fresh.predictions.state() == expected, at
        assert fresh.predictions.transaction("writer") == 3, at
    assert found > len(places) // 3


def test_a_writer_does_not_go_on_from_a_damaged_log(log: Log, table: LogTable) -> None:
    table.append(some_rows(), {"writer": 1_000})
    entry = log.tables.folder / "predictions" / "_delta_log" / f"{1:020}.json"
    entry.write_bytes(entry.read_bytes().replace(b'"version":1000', b'"version":1001'))
    with pytest.raises(StoreUnavailable, match=r"00001\.json in its log fails its checksum; restore it"):
        LogTables(log.tables.folder).predictions.transaction("writer")
    assert len(log.tables.verify()) == 1


@pytest.mark.parametrize("loss", POWER_LOSSES)
def test_what_a_loss_of_power_leaves_in_the_log_is_taken_out_by_the_next_writer(
    log: Log, table: LogTable, loss: str
) -> None:
    for number in (1, 2):
        table.append(some_rows(), {"writer": number})
    table.checkpoint()
    table.append(some_rows(), {"writer": 3})
    POWER_LOSSES[loss](log.tables.folder / "predictions" / "_delta_log")
    again = Log(LogTables(log.tables.folder))
    assert again.tables.predictions.transaction("writer") == 3
    again.predict()
    assert again.tables.row_count() == 4
    assert again.tables.verify() == []


def test_the_check_sees_a_torn_commit_that_nobody_takes_out(log: Log, table: LogTable) -> None:
    table.append(some_rows(), {})
    POWER_LOSSES["a commit cut off at the end of a block"](log.tables.folder / "predictions" / "_delta_log")
    (log.tables.folder / "predictions" / "_delta_log" / f"{4:020}.json").rename(
        log.tables.folder / "predictions" / "_delta_log" / f"{2:020}.json"
    )
    with pytest.raises(StoreUnavailable, match="the table predictions cannot be read"):
        table.row_count()


class Remote(LocalStorage):
    """A folder that is as far away as an object store, and counts how often its log is listed."""

    buffered = True
    listed = 0

    def log_names(self) -> list[str]:
        self.listed += 1
        return super().log_names()


def test_a_table_that_is_not_there_is_looked_for_once_a_second_in_an_object_store(tmp_path: Path) -> None:
    now = [5.0]
    storage = Remote(tmp_path / "predictions", LocalFiles())
    table = LogTable("predictions", storage, ("at", "id"), monotonic=lambda: now[0])
    assert table.transaction("writer") == 0
    looked = storage.listed
    assert [table.transaction("writer"), table.version(), table.row_count()] == [0, None, 0]
    assert storage.listed == looked
    LogTables(tmp_path).predictions.append(some_rows(), {"writer": 1})
    now[0] += ABSENT_SECONDS
    assert (table.row_count(), table.transaction("writer")) == (1, 1)


def test_a_table_is_there_for_who_made_it_however_lately_it_was_not(tmp_path: Path) -> None:
    table = LogTable("predictions", Remote(tmp_path / "predictions", LocalFiles()), ("at", "id"), monotonic=lambda: 5.0)
    assert table.transaction("writer") == 0
    table.append(some_rows(), {"writer": 1})
    assert (table.row_count(), table.transaction("writer")) == (1, 1)


def test_a_file_whose_bounds_are_not_known_is_never_passed_over() -> None:
    from lifecycle.feature_log.data_files import LAST, pruned

    unknown = DataFile("day=2023-11-14/a.parquet", "2023-11-14", 1, 1, -LAST, LAST, "", "\U0010ffff")
    assert pruned([unknown], START, START + 1) == [unknown]
