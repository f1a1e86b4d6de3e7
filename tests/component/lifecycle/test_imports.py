"""An import is seen whole or not at all, once, wherever it is cut short and whoever finishes it."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from lifecycle.clock import ManualClock
from lifecycle.errors import Conflict, StoreUnavailable
from lifecycle.feature_log.files import LOCAL_FILES, FileSystem, LocalFile, LocalFiles
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.imports import ACTION, Imports
from lifecycle.feature_log.table import LogTables
from lifecycle.feature_log.writer import SegmentWriter
from lifecycle.ids import uuid7
from lifecycle.ledger.sql import SqlLedger
from tests.builders import START, batch, schema
from tests.faults import FaultyFiles, Killed, Steps

BATCHES = 3


@pytest.fixture
def ledger(tmp_path: Path) -> SqlLedger:
    return SqlLedger(f"sqlite:///{tmp_path}/ledger.db", tmp_path)


def bring(folder: Path, ledger: SqlLedger, files: FileSystem = LOCAL_FILES) -> None:
    """Import BATCHES segments of one row each."""
    area = Imports(folder, files)
    with area.running(ledger):
        # Every record is over the size, so each is a segment of its own.
        writer = SegmentWriter(area.staged, ManualClock(), seal_bytes=1, seal_seconds=60, files=files)
        for _ in range(BATCHES):
            writer.append_predictions(batch(), schema())
        writer.close()
        area.commit(uuid7(), START, "somebody", {"digest": "d", "rows": BATCHES})


def seen(folder: Path) -> int:
    """Rows that the folder takes in."""
    tables = LogTables(folder)
    Folder(tables, ManualClock()).fold()
    return tables.row_count()


def entries(ledger: SqlLedger) -> int:
    return sum(entry["action"] == ACTION for entry in ledger.audit_trail())


def steps_of(folder: Path, ledger: SqlLedger) -> list[str]:
    steps = Steps()
    bring(folder, ledger, FaultyFiles(steps))
    return steps.names


def test_an_import_that_is_not_killed_is_there_once_with_one_entry_in_the_audit_trail(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    bring(tmp_path / "log", ledger)
    assert seen(tmp_path / "log") == BATCHES
    assert entries(ledger) == 1
    assert Imports(tmp_path / "log").unfinished() == []
    assert Imports(tmp_path / "log").settle(ledger) == 0


def test_an_import_killed_at_any_step_is_there_whole_or_not_at_all(tmp_path: Path, ledger: SqlLedger) -> None:
    names = steps_of(tmp_path / "whole", ledger)
    assert sum(name.startswith("rename") for name in names) == 2 * BATCHES, "each is sealed, and then published"
    outcomes = []
    for fatal in range(1, len(names) + 1):
        folder = tmp_path / f"killed {fatal}"
        with pytest.raises(Killed):
            bring(folder, ledger, FaultyFiles(Steps(fatal)))
        before = entries(ledger)
        Imports(folder).settle(ledger)
        assert entries(ledger) - before in (0, 1)
        outcomes.append(seen(folder))
        assert LOCAL_FILES.names(folder / "imports") in ([], ["lock"]), "nothing is left staged"
    assert set(outcomes) == {0, BATCHES}
    assert outcomes == sorted(outcomes), "from one step on it has happened"


class Hasty(Imports):
    """Deliberately broken: publishes what is staged although no list says that it is all."""

    def commit(self, identifier: str, at: int, actor: str, facts: object) -> None:
        for name in self._ours():
            self._files.rename(self.staged / name, self._segments / name)


def test_the_check_sees_an_import_that_is_published_without_a_list(tmp_path: Path, ledger: SqlLedger) -> None:
    outcomes = set()
    for fatal in range(1, 40):
        folder = tmp_path / f"killed {fatal}"
        area = Hasty(folder, FaultyFiles(Steps(fatal)))
        try:
            with area.running(ledger):
                writer = SegmentWriter(area.staged, ManualClock(), seal_bytes=1, seal_seconds=60)
                for _ in range(BATCHES):
                    writer.append_predictions(batch(), schema())
                writer.close()
                area.commit(uuid7(), START, "somebody", {})
        except Killed:
            pass
        outcomes.add(seen(folder))
    assert outcomes - {0, BATCHES}, "some of it was seen without the rest"


def test_a_second_import_at_the_same_time_is_refused_and_what_the_first_has_staged_stays(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    area = Imports(tmp_path)
    with area.running(ledger):
        staged = LocalFile(area.staged / f"{uuid7()}.0000000001.seg", 0o100)
        staged.close()
        with (
            pytest.raises(Conflict, match="another import into this feature log is running"),
            Imports(tmp_path).running(ledger),
        ):
            raise AssertionError("two imports run")
        assert Imports(tmp_path).settle(ledger) == 0
        assert len(LOCAL_FILES.names(area.staged)) == 2


def decided(folder: Path, ledger: SqlLedger) -> Path:
    """The list of an import that was cut short right after it was decided; nothing of it is published."""
    for fatal in count(1):
        home = folder / str(fatal)
        try:
            bring(home, ledger, FaultyFiles(Steps(fatal)))
        except Killed:
            lists = [path for path in (home / "imports").glob("*.json") if not path.name.startswith(".")]
            if lists:
                return lists[0]
    raise AssertionError("no step lies between the decision and its publication")


def staged(folder: Path) -> list[str]:
    return [name for name in LOCAL_FILES.names(folder / "imports") if name.endswith(".seg")]


def test_a_damaged_list_is_put_aside_and_its_segments_stay_until_somebody_decides(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    path = decided(tmp_path, ledger)
    home, content, before = path.parent.parent, path.read_bytes(), entries(ledger)
    path.write_bytes(content[:40])
    area = Imports(home)
    for _ in range(3):
        assert area.settle(ledger) == 0
        assert len(staged(home)) == BATCHES
    (aside,) = area.set_aside()
    assert aside.read_bytes() == content[:40]
    assert aside.parent == LogTables(home).quarantine
    assert (seen(home), entries(ledger), area.unfinished()) == (0, before, [])
    with pytest.raises(Conflict, match="move the segments in .* or remove them"), area.running(ledger):
        raise AssertionError("what is staged would be taken for a part of this import")
    assert len(staged(home)) == BATCHES


def test_after_the_advice_about_a_damaged_list_its_import_is_whole_and_others_run(
    tmp_path: Path, ledger: SqlLedger
) -> None:
    path = decided(tmp_path, ledger)
    home = path.parent.parent
    path.write_bytes(b"")
    area = Imports(home)
    area.settle(ledger)
    for name in staged(home):
        LOCAL_FILES.rename(area.staged / name, home / "segments" / name)
    for aside in area.set_aside():
        aside.unlink()
    assert seen(home) == BATCHES
    bring(home, ledger)
    assert seen(home) == 2 * BATCHES


class Unsynced(LocalFiles):
    """For what is done a thousand times and has to outlive no loss of power."""

    def sync_folder(self, folder: Path) -> None:
        pass


def test_every_changed_bit_and_every_lost_end_of_a_list_is_seen(tmp_path: Path, ledger: SqlLedger) -> None:
    area = Imports(tmp_path, Unsynced())
    area.staged.mkdir()
    (area.staged / "writer.0000000001.seg").write_bytes(b"")
    area.commit("x", START, "a", {})
    path = area.staged / "x.json"
    content = path.read_bytes()
    changed = [_flipped(content, bit) for bit in range(8 * len(content))]
    for damaged in [*changed, *(content[:end] for end in range(len(content)))]:
        path.write_bytes(damaged)
        assert area.settle(ledger) == 0
        assert [aside.read_bytes() for aside in area.set_aside()] == [damaged]
        assert staged(tmp_path) == ["writer.0000000001.seg"]
    for aside in area.set_aside():
        aside.unlink()
    path.write_bytes(content)
    assert area.settle(ledger) == 1
    assert (staged(tmp_path), entries(ledger)) == ([], 1)


def _flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def make_folder(path: Path) -> None:
    path.mkdir()
    (path / "something").write_text("")


def make_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def make_link(path: Path) -> None:
    target = path.parent.parent / "elsewhere"
    target.write_text("{}")
    path.symlink_to(target)


@pytest.mark.parametrize("make", [make_folder, make_dangling, make_link])
@pytest.mark.parametrize("name", ["x.json", ".x.json.new", "writer.0000000001.seg", "writer.0000000001.open", "notes"])
def test_what_no_import_put_there_stays_and_stops_no_import(
    tmp_path: Path, ledger: SqlLedger, name: str, make: Callable[[Path], None]
) -> None:
    area = Imports(tmp_path)
    area.staged.mkdir()
    odd = area.staged / name
    make(odd)
    assert area.settle(ledger) == 0
    bring(tmp_path, ledger)
    assert area.settle(ledger) == 0
    assert seen(tmp_path) == BATCHES
    assert (area.odd(), area.set_aside()) == ([odd], [])


@pytest.mark.parametrize("make", [make_folder, make_dangling, make_link])
def test_a_lock_that_is_no_plain_file_is_refused_with_what_to_do(
    tmp_path: Path, ledger: SqlLedger, make: Callable[[Path], None]
) -> None:
    area = Imports(tmp_path)
    area.staged.mkdir()
    make(area.staged / "lock")
    assert area.settle(ledger) == 0, "there is nothing to settle"
    with pytest.raises(StoreUnavailable, match="remove it while no import runs"), area.running(ledger):
        raise AssertionError("it ran without a lock")
    assert area.odd() == [area.staged / "lock"]
