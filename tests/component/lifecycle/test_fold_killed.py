"""A folder, or a writer, that ends at any step it takes: the next folder comes to the same tables, nothing lost and nothing twice.

Beside them stand folders that are broken on purpose, which the same check catches.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lifecycle.clock import ManualClock
from lifecycle.errors import EvenkeelError
from lifecycle.feature_log.delta import LogTable
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.table import LogTables
from lifecycle.feature_log.writer import SegmentWriter
from lifecycle.records import Label
from tests import builders
from tests.faults import FaultyFiles, Killed, Steps, faulty_tables, outcomes


@dataclass(frozen=True)
class Outcome:
    """Everything that a log comes to: all rows of its tables, and which segments are left or put aside."""

    predictions: list[Any]
    labels: list[Any]
    parked: list[Any]
    segments: list[str]
    quarantine: list[str]
    orphaned: int


def _outcome(folder: Path) -> Outcome:
    tables = LogTables(folder)
    rows = [sorted(_rows(table), key=str) for table in tables.all]
    names = [sorted(path.name for path in place.glob("*")) for place in (tables.segments, tables.quarantine)]
    return Outcome(rows[0], rows[1], rows[2], names[0], names[1], tables.parked.transaction("orphaned"))


def _rows(table: LogTable) -> list[Any]:
    return [tuple(row.items()) for batch in table.scan(table.files()) for row in batch.to_pylist()]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two writers left: sealed, torn and damaged segments, labels by id, by external id, waiting and overdue ones."""
    folder = tmp_path_factory.mktemp("left") / "log"
    tables, clock = LogTables(folder), ManualClock()
    first, second = builders.writer(tables.segments, clock), builders.writer(tables.segments, clock)
    one = builders.batch(2, external_ids=["a", "b"])
    first.append_predictions(one, builders.schema())
    first.append_labels([builders.label(one.ids[0]), _by_external_id("a"), _by_external_id("none yet")])
    first.append_labels([_by_external_id("never", at=builders.START - 10**13)])
    first.close()
    first.append_predictions(builders.batch(version=2), builders.schema(2))
    first.append_labels([builders.label(one.ids[1], "no"), _by_external_id("b")])
    first.close()
    for _ in range(3):
        second.append_predictions(builders.batch(2), builders.schema())
    second.close()
    (damaged,) = tables.segments.glob(f"{second._writer}*")
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    last = max(tables.segments.glob(f"{first._writer}*"))
    with last.rename(last.with_suffix(".open")).open("ab") as file:
        file.write(b"\x99\x00\x00\x00half a frame")
    return folder


def _by_external_id(name: str, *, at: int = builders.START) -> Label:
    return Label(None, "yes", at, at, None, name)


Killing = Callable[[Path, Steps], None]


def _fold(folder: Path, steps: Steps) -> None:
    Folder(faulty_tables(folder, steps), ManualClock(), files=FaultyFiles(steps)).fold()


def _recovered(folder: Path) -> Outcome:
    status = Folder(LogTables(folder), ManualClock()).fold()
    assert status.pending_segments == 0
    return _outcome(folder)


def _outcomes(
    left: Path, work: Path, fold: Killing, recovered: Callable[[Path], Outcome]
) -> Iterator[tuple[str, Outcome]]:
    """What it comes to after an end at each step, with the step's name."""

    def once(steps: Steps) -> None:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(left, work)
        fold(work, steps)

    for name in outcomes(once):
        yield name, recovered(work)


@pytest.fixture(scope="module")
def whole(left: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What it comes to when nobody is killed."""
    folder = tmp_path_factory.mktemp("whole") / "log"
    shutil.copytree(left, folder)
    return _recovered(folder)


def test_a_fold_that_nobody_kills_takes_everything_in(whole: Outcome) -> None:
    assert len(whole.predictions) == 2 + 1 + 4
    assert len(whole.labels) == 4
    assert [dict(row)["external_id"] for row in whole.parked] == ["none yet"]
    assert (whole.orphaned, whole.segments, len(whole.quarantine)) == (1, [], 1)


def test_a_folder_killed_at_any_step_comes_to_the_same_tables(left: Path, whole: Outcome, tmp_path: Path) -> None:
    seen = set()
    for step, outcome in _outcomes(left, tmp_path / "log", _fold, _recovered):
        assert outcome == whole, step
        seen.add(step)
    assert {
        "rename .open to .seg",
        "commit to predictions",
        "commit to labels",
        "commit to parked",
        "remove .seg",
    } <= seen


def test_a_folder_killed_while_it_finishes_what_a_killed_one_began_comes_to_the_same_tables(
    left: Path, whole: Outcome, tmp_path: Path
) -> None:
    alone = Steps()
    shutil.copytree(left, tmp_path / "alone")
    _fold(tmp_path / "alone", alone)
    between = len(alone.names) - alone.names[::-1].index("commit to parked")
    shutil.copytree(left, tmp_path / "begun")
    with pytest.raises(Killed):
        _fold(tmp_path / "begun", Steps(between))
    assert len(_outcome(tmp_path / "begun").labels) == len(whole.labels)
    assert len(_outcome(tmp_path / "begun").parked) > len(whole.parked)
    for step, outcome in _outcomes(tmp_path / "begun", tmp_path / "log", _fold, _recovered):
        assert outcome == whole, step


class DeletesFirst(Folder):
    """Broken: deletes the segments, and then commits their rows."""

    def _fold_group(self, parts: Sequence[Any]) -> None:
        for part in parts:
            self._files.remove(part.path)
        kept, self._files = self._files, _NothingToRemove()  # type: ignore[assignment]  # all the rest of it needs
        super()._fold_group(parts)
        self._files = kept


class _NothingToRemove:
    def remove(self, path: Path) -> None: ...
    def rename(self, path: Path, target: Path) -> None: ...


class Forgets(LogTable):
    """Broken: a table that remembers no writer's number."""

    def transactions(self, writers: Any) -> dict[str, int]:
        return dict.fromkeys(writers, 0)

    def append(self, rows: Any, transactions: Any) -> Any:
        return super().append(rows, {})


def _deletes_first(folder: Path, steps: Steps) -> None:
    DeletesFirst(faulty_tables(folder, steps), ManualClock(), files=FaultyFiles(steps)).fold()


def _forgetful(folder: Path) -> Outcome:
    tables = LogTables(folder)
    for name in ("predictions", "labels"):
        table = getattr(tables, name)
        setattr(tables, name, Forgets(table.name, table.storage, table.keys))
    Folder(tables, ManualClock()).fold()
    return _outcome(folder)


def test_the_check_catches_a_folder_that_deletes_before_it_commits(left: Path, whole: Outcome, tmp_path: Path) -> None:
    found = _outcomes(left, tmp_path / "log", _deletes_first, _recovered)
    assert any(len(outcome.predictions) < len(whole.predictions) for _, outcome in found)


def test_the_check_catches_a_folder_that_remembers_no_numbers(left: Path, whole: Outcome, tmp_path: Path) -> None:
    found = _outcomes(left, tmp_path / "log", _fold, _forgetful)
    assert any(len(outcome.predictions) > len(whole.predictions) for _, outcome in found)


def test_two_folders_that_both_believe_to_hold_the_lease_fold_nothing_twice(
    left: Path, whole: Outcome, tmp_path: Path
) -> None:
    alone = Steps()
    shutil.copytree(left, tmp_path / "alone")
    _fold(tmp_path / "alone", alone)
    moments = [number for number, name in enumerate(alone.names, start=1) if name.startswith(("write", "commit"))]
    assert len(moments) > 8
    for moment in moments:
        folder = tmp_path / str(moment)
        shutil.copytree(left, folder)
        with suppress(EvenkeelError, OSError):  # the slower one may fail, as one that lost its lease does
            _fold(folder, Steps(moment, meanwhile=Folder(LogTables(folder), ManualClock()).fold))
        found = _recovered(folder)
        assert (found.predictions, found.labels) == (whole.predictions, whole.labels), alone.names[moment - 1]
        assert (found.parked, found.orphaned) == (whole.parked, whole.orphaned), alone.names[moment - 1]


def _append_until_killed(folder: Path, steps: Steps, told: list[list[str]]) -> None:
    """Appends and seals; `told` are the ids of each batch that was acknowledged, and last those of the one under way."""
    writer = SegmentWriter(
        folder / "segments", ManualClock(), seal_bytes=1500, seal_seconds=60, files=FaultyFiles(steps)
    )
    for count in (1, 2, 1, 3):
        batch = builders.batch(count)
        told.append(batch.ids)
        writer.append_predictions(batch, builders.schema())
        writer.seal_if_old()
    told.append([])
    writer.close()


def test_a_writer_killed_at_any_step_loses_nothing_acknowledged(tmp_path: Path) -> None:
    seen = []
    told: list[list[str]] = []

    def once(steps: Steps) -> None:
        told.clear()
        shutil.rmtree(tmp_path / "log", ignore_errors=True)
        _append_until_killed(tmp_path / "log", steps, told)

    for step in outcomes(once):
        seen.append(step)
        found = _recovered(tmp_path / "log")
        ids = sorted(dict(row)["id"] for row in found.predictions)
        acknowledged = sorted(identifier for batch in told[:-1] for identifier in batch)
        assert ids in (acknowledged, sorted([*acknowledged, *told[-1]])), step
        assert found.quarantine == []
    assert {"append", "half of append", "rename .open to .seg"} <= set(seen)


def test_the_check_catches_a_writer_that_acknowledges_before_it_writes(tmp_path: Path) -> None:
    steps, told = Steps(2), list[list[str]]()
    with pytest.raises(Killed):
        _append_until_killed(tmp_path / "log", steps, told)
    told.append([])  # as if the batch that was cut short had been acknowledged
    assert _recovered(tmp_path / "log").predictions == []
