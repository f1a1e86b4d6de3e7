"""An import is seen whole or not at all, once, wherever it is cut short and whoever finishes it."""

from pathlib import Path

import pytest

from lifecycle.clock import ManualClock
from lifecycle.errors import Conflict
from lifecycle.feature_log.files import LOCAL_FILES, FileSystem, LocalFile
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
        for name in self._names(".seg"):
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
