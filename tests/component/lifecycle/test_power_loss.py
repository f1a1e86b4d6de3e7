"""Loss of power at any moment, in every way a disk may take it: what was promised to be there is, and nothing was made up.

`disk` loses nothing acknowledged; `process` nothing that was sealed; a fold nothing that it has counted; and whatever is
read back was appended, unchanged, and once.
"""

import errno
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import cast

import pytest

from lifecycle.clock import ManualClock
from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log.files import LocalFile, LocalFiles
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.frames import read_segment
from lifecycle.feature_log.naming import SEALED
from lifecycle.feature_log.table import LogTables
from lifecycle.feature_log.writer import Durability, SegmentWriter
from tests import builders
from tests.simulated import SimulatedDisk, SimulatedFile, Step
from tests.simulated_tables import Care, SimulatedTables

STATES, FOLDED_STATES = 2_900, 700
"""Disks after a loss of power that are read, for each kind of history; in all, 20,000 and more."""
STEPS = 25
STATES_AT_STEP = 2
ANSWER_SECONDS = 10
SOON = 4
"""A seed from which on the rarest of the broken folders is caught soon."""
BLOCK = 512
"""Bytes that a real disk writes together."""
FAULTS = {"a sound disk": 0.0, "a failing disk": 0.04}
Rows = Counter[tuple[str, str]]
"""How often an id was seen, with the value that belongs to it."""
Disk = Callable[[Step], SimulatedDisk]


class _Killed(BaseException):
    """What ends a folder at once, as `kill -9` does: nothing catches it."""


@dataclass
class Loss:
    """A disk after a loss of power, the ids that it must hold, and all that was ever appended."""

    disk: SimulatedDisk
    promised: set[str]
    appended: dict[str, str]

    def problems(self, found: Rows) -> Iterator[str]:
        """What `found` on the disk breaks."""
        for identifier in self.promised - {identifier for identifier, _ in found}:
            yield f"{identifier} was promised, and is lost"
        for (identifier, value), times in found.items():
            if times > 1:
                yield f"{identifier} is there {times} times"
            if self.appended.get(identifier) != value:
                yield f"{identifier} is {value}, and was appended as {self.appended.get(identifier)}"


@dataclass
class History:
    """Appends to a simulated disk, made up from a seed, that loses its power before every step.

    `faults` is the share of changes of the disk that fail, `folds` whether a folder takes its turn, `deadly` the share of folds
    that are killed, and `trusting` whether a writer is taken at its word where it gave none.
    """

    seed: int
    durability: Durability
    make_disk: Disk = SimulatedDisk
    faults: float = 0.0
    folds: bool = False
    care: Care = "full"
    trusting: bool = False
    deadly: float = 0.3
    losses: list[Loss] = field(default_factory=list)
    appended: dict[str, str] = field(default_factory=dict)
    promised: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.random, self._draws = Random(self.seed), Random(self.seed + 1)
        self._clock = ManualClock()
        self._disk = self.make_disk(self._step)
        self._unsealed: set[str] = set()
        self._failures = 0
        self._kill_in = 0
        """In how many steps the folder is killed, if it is positive."""

    def run(self) -> list[Loss]:
        writer = self._writer()
        for _ in range(STEPS):
            turn = self.random.random()
            if turn < 0.65:
                self._append(writer)
            elif turn < 0.85:
                self._seal(writer.seal_if_old)
            elif turn < 0.9:
                self._seal(writer.close)
                writer = self._writer()
            elif self.folds:
                self._fold()
        self._seal(writer.close)
        if self.folds:
            self._fold()
        self._lose(STATES_AT_STEP)
        return self.losses

    def _writer(self) -> SegmentWriter:
        return SegmentWriter(
            SimulatedTables(self._disk).segments,
            self._clock,
            seal_bytes=self.random.choice([500, 1_000, 5_000]),
            seal_seconds=1,
            durability=self.durability,
            files=self._disk,
        )

    def _append(self, writer: SegmentWriter) -> None:
        """A record, mostly; sometimes two that wait together."""
        futures = [self._hand_over(writer) for _ in range(self.random.choice([1, 1, 2]))]
        for future in futures:
            error = future.exception(ANSWER_SECONDS) if future else None
            assert error is None or isinstance(error, StoreUnavailable), error

    def _hand_over(self, writer: SegmentWriter) -> Future[None] | None:
        batch = builders.batch(self.random.randint(1, 3), version=self.random.choice([1, 1, 1, 2]))
        self.appended |= zip(batch.ids, map(str, batch.columns["a"]), strict=True)
        try:
            future = writer.append_predictions(batch, builders.schema(batch.version))
        except StoreUnavailable:
            return None
        if future is not None:
            future.add_done_callback(lambda done: self._promise(batch.ids, done))
        elif self.trusting:
            self.promised.update(batch.ids)
        else:
            self._unsealed.update(batch.ids)
        return future

    def _promise(self, ids: list[str], done: Future[None]) -> None:
        if done.exception() is None:
            self.promised.update(ids)

    def _seal(self, step: Callable[[], None]) -> None:
        """With `process`, what was handed over before is on disk afterwards, if nothing failed."""
        self._clock.advance(1.1)
        failures = self._failures
        step()
        if self.durability == "process" and self._failures == failures:
            self.promised |= self._unsealed
        self._unsealed.clear()

    def _fold(self) -> None:
        """What the folder counts is on disk. Now and then it comes upon a writer that has died, or is killed itself."""
        if self.random.random() < 0.3:
            self._disk.kill()
        self._kill_in = self.random.randint(1, 40) if self.random.random() < self.deadly else 0
        with suppress(OSError, StoreUnavailable, _Killed):
            tables = SimulatedTables(self._disk, care=self.care)
            _folder(tables, self._clock, self._disk).fold()
            self.promised |= {identifier for identifier, _ in _rows(tables)}
        self._kill_in = 0

    def _step(self, operation: str, path: Path) -> None:
        self._lose(STATES_AT_STEP)
        self._kill_in -= 1
        if self._kill_in == 0:
            raise _Killed
        if self._draws.random() < self.faults:
            self._failures += 1
            raise OSError(errno.EIO, f"{operation} failed")

    def _lose(self, times: int) -> None:
        for _ in range(times):
            promised = set(self.promised)  # before the disk: what is promised while it is drawn need not be on it
            self.losses.append(Loss(self._disk.after_loss(self._draws), promised, self.appended))


def _segments(disk: SimulatedDisk) -> Rows:
    """All predictions in segments, as the folder would read them."""
    folder = SimulatedTables(disk).segments
    found: Rows = Counter()
    for name in disk.names(folder):
        for batch in read_segment(disk.read(folder / name), sealed=name.endswith(SEALED)).predictions:
            found.update(zip(batch.ids, map(str, batch.columns["a"]), strict=True))
    return found


def _folded(disk: SimulatedDisk) -> Rows:
    """All predictions in the table, once a new folder has folded what is left; nothing waits then."""
    tables = SimulatedTables(disk)
    status = _folder(tables, ManualClock(), disk).fold()
    assert status.pending_segments == 0
    return _rows(tables)


def _folder(tables: SimulatedTables, clock: ManualClock, disk: SimulatedDisk) -> Folder:
    return Folder(cast("LogTables", tables), clock, files=disk)


def _rows(tables: SimulatedTables) -> Rows:
    table = tables.predictions
    found: Rows = Counter()
    for batch in table.scan(table.files(), ["id", "feature_a"]):
        found.update(zip(batch["id"].to_pylist(), map(str, batch["feature_a"].to_pylist()), strict=True))
    return found


def _problems(histories: Iterator[History], states: int, read: Callable[[SimulatedDisk], Rows]) -> list[str]:
    """Every promise that one of so many disks breaks. It ends at the first history that has some."""
    seen = found = 0
    while seen < states:
        history = next(histories)
        losses = history.run()
        problems = []
        for loss in losses:
            rows = read(loss.disk)
            problems += [f"history {history.seed}: {problem}" for problem in loss.problems(rows)]
            found += len(rows)
        if problems:
            return problems
        seen += len(losses)
    assert found > seen, "most of the disks hold something"
    return []


@pytest.mark.parametrize("durability", ["process", "disk", "memory"])
@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_no_loss_of_power_takes_what_was_promised(durability: Durability, faults: float) -> None:
    histories = (History(seed, durability, faults=faults) for seed in count())
    assert _problems(histories, STATES, _segments) == []


@pytest.mark.parametrize("durability", ["process", "disk"])
@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_no_loss_of_power_takes_or_doubles_what_was_folded(durability: Durability, faults: float) -> None:
    histories = (History(seed, durability, faults=faults, folds=True) for seed in count())
    assert _problems(histories, FOLDED_STATES, _folded) == []


class _SyncsNothing(SimulatedFile):
    def sync(self) -> None:
        """Nothing is on its way to the disk."""


class _SyncsAgain(SimulatedFile):
    def sync(self) -> None:
        try:
            super().sync()
        except OSError:
            super().sync()


class _ForgetsBytes(SimulatedDisk):
    """Broken: files are not synced."""

    file = _SyncsNothing


class _SyncsAfterFailure(SimulatedDisk):
    """Broken: a sync that failed is tried again, and its success believed."""

    file = _SyncsAgain


class _ForgetsNames(SimulatedDisk):
    """Broken: folders are not synced."""

    def sync_folder(self, folder: Path) -> None:
        """Names are left to the disk."""


BROKEN: dict[str, Callable[[int], History]] = {
    "a writer that acknowledges before its sync": lambda seed: History(seed, "process", trusting=True),
    "a writer that syncs no bytes": lambda seed: History(seed, "disk", _ForgetsBytes),
    "a writer that syncs no names": lambda seed: History(seed, "disk", _ForgetsNames),
    "a writer that syncs again after a failure": lambda seed: History(seed, "disk", _SyncsAfterFailure, faults=0.2),
    "a sealer that syncs no bytes": lambda seed: History(seed, "process", _ForgetsBytes),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_the_same_check_catches(broken: Callable[[int], History]) -> None:
    assert _problems(map(broken, count()), STATES, _segments)


def test_a_commit_that_is_torn_never_was(tmp_path: Path) -> None:
    """Blocks of it did not come; the first commit, which makes the table, among them. Whatever else it is, no row is lost
    or doubled: the folder waits for somebody to look.
    """
    tables = LogTables(tmp_path / "log")
    ids: list[str] = []
    for number in range(3):
        batch = builders.batch()
        writer = builders.writer(tables.segments)
        writer.append_predictions(batch, builders.schema())
        writer.close()
        before = shutil.copytree(tables.folder, tmp_path / f"before {number}")
        Folder(tables, ManualClock()).fold()
        ids = sorted([*ids, *batch.ids])
        commit = Path("predictions", "_delta_log", f"{number and number + 1:020d}.json")
        content = (tables.folder / commit).read_bytes()
        blocks = range(0, len(content), BLOCK)
        zeros = bytes(len(content))
        for torn in (*(content[:at] for at in blocks), *(content[:at] + zeros[at:] for at in blocks)):
            assert _folded_after(before, commit, torn) == ids, (commit, torn)
        lines = [at + after for at, byte in enumerate(content) if byte == ord("\n") for after in (0, 1)]
        for cut in (1, *lines, len(content) - 1):
            assert _folded_after(before, commit, content[:cut]) in (ids, None), (commit, cut)


def _folded_after(before: Path, commit: Path, content: bytes) -> list[str] | None:
    """The ids in the table after a fold that finds this commit; None when the folder waits, with the segment in its place."""
    with TemporaryDirectory() as folder:
        left = shutil.copytree(before, Path(folder) / "log")
        (left / commit).parent.mkdir(parents=True, exist_ok=True)
        (left / commit).write_bytes(content)
        tables = LogTables(left)
        status = Folder(tables, ManualClock()).fold()
        if status.pending_segments:
            assert status.problem
            assert len(list(tables.segments.iterdir())) == 1
            return None
        ids: list[str] = tables.rows(0, 2 * builders.START)["id"].to_pylist()
        return ids


@pytest.mark.parametrize("care", ["none", "once"])
def test_the_same_check_catches_a_folder_that_removes_segments_whose_commit_is_not_on_disk(care: Care) -> None:
    """With "once", that is so only when the folder that made the commit was killed before it had synced it."""
    histories = (History(seed, "process", folds=True, care=care, deadly=0.7) for seed in count(SOON))
    assert _problems(histories, 10 * FOLDED_STATES, _folded)


class _FailingSync(LocalFile):
    def sync(self) -> None:
        raise OSError(errno.EIO, "the disk could not write")


class _FailsOnce(LocalFiles):
    """The first sync of one file fails; then the disk is well."""

    def __init__(self, name: str) -> None:
        self._name = name

    def adopt(self, path: Path) -> LocalFile:
        if path.name != self._name:
            return super().adopt(path)
        self._name = ""
        return _FailingSync(path, 0)


def test_a_commit_whose_sync_failed_is_written_anew_before_it_is_relied_upon(tmp_path: Path) -> None:
    """After a failed sync the system takes the bytes for written: only a new file is known to be on disk."""
    name = f"{1:020d}.json"
    tables = LogTables(tmp_path, files=_FailsOnce(name))
    writer = builders.writer(tables.segments)
    writer.append_predictions(builders.batch(), builders.schema())
    writer.close()
    folder = Folder(tables, ManualClock())
    assert folder.fold().problem
    commit = tmp_path / "predictions" / "_delta_log" / name
    doubtful = commit.stat().st_ino
    assert folder.fold().pending_segments == 0
    assert commit.stat().st_ino != doubtful
    assert tables.row_count() == 1


def test_a_disk_keeps_what_was_synced_and_loses_the_rest_in_many_ways() -> None:
    disk, path = SimulatedDisk(), Path("/a/b")
    with closing(disk.create(path)) as file:
        file.append(b"synced")
        file.sync()
        disk.sync_folder(path.parent)
        file.append(b"not")
    disk.rename(path, Path("/a/c"))
    random = Random(1)
    seen = {
        (*left.names(Path("/a")), left.read(Path("/a") / left.names(Path("/a"))[0])) for left in _lost(disk, random)
    }
    assert {content[:6] for _, content in seen} == {b"synced"}
    assert {
        (name, content) for name in "bc" for content in (b"synced", b"syncedno", b"syncednot", b"synced\0\0\0")
    } <= seen


def _lost(disk: SimulatedDisk, random: Random) -> list[SimulatedDisk]:
    return [disk.after_loss(random) for _ in range(500)]
