"""The append side: what it acknowledged is there, as durably as it was told; what it refused left nothing behind."""

import errno
import json
import os
import random
import subprocess
import sys
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lifecycle.clock import ManualClock
from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log import naming
from lifecycle.feature_log.files import FileSystem, LocalFile, LocalFiles, boot_id
from lifecycle.feature_log.frames import SegmentContents, read_segment, schema_digest
from lifecycle.feature_log.segment import Segment
from lifecycle.feature_log.writer import MOST_RETIRED, Durability, SegmentWriter
from lifecycle.records import PredictionBatch
from tests import builders
from tests.simulated import SimulatedDisk

FOLDER = Path("/log/segments")
LOSSES = 40
"""States drawn of those that a loss of power may leave."""
PATIENCE = 10
BROKEN = OSError(errno.EIO, "the disk in this test was told to fail")

LIMITED = """
import json, os, resource, sys
from pathlib import Path
from lifecycle.clock import ManualClock
from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log.files import LocalFile, LocalFiles
from lifecycle.feature_log.writer import SegmentWriter
from tests import builders

class Uncut(LocalFile):  # a writer that goes on after a failed write as if nothing had been left behind
    def truncate(self, size):
        pass

class UncutFiles(LocalFiles):
    def create(self, path):
        path.parent.mkdir(exist_ok=True)
        return Uncut(path, os.O_CREAT | os.O_EXCL)

def main(folder, limit, broken):
    files = UncutFiles() if broken else LocalFiles()
    writer = SegmentWriter(Path(folder), ManualClock(), seal_bytes=2**20, seal_seconds=60, files=files)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    acknowledged, refused = [], 0
    for count in range(60):
        batch = builders.batch(1 + count % 3)
        try:
            writer.append_predictions(batch, builders.schema())
            acknowledged += batch.ids
        except StoreUnavailable as error:
            assert "free space or repair the disk" in str(error)
            refused += 1
    writer.close()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return acknowledged, refused

print(json.dumps([main(*case) for case in json.loads(sys.argv[1])]))
"""
CASES = {"cut short": (4_000, False), "broken": (4_000, True), "no header fits": (30, False)}


@dataclass(frozen=True)
class Limited:
    """What a process acknowledged and refused whose files may not grow beyond a limit, and what it left."""

    acknowledged: list[str]
    refused: int
    folder: Path

    @property
    def contents(self) -> list[SegmentContents]:
        return _segments(self.folder)


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Limited]:
    folders = {name: tmp_path_factory.mktemp("limited") for name in CASES}
    cases = json.dumps([[str(folders[name]), *case] for name, case in CASES.items()])
    done = subprocess.run([sys.executable, "-c", LIMITED, cases], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results: list[tuple[list[str], int]] = json.loads(done.stdout.splitlines()[-1])
    pairs = zip(CASES, results, strict=True)
    return {name: Limited(acknowledged, refused, folders[name]) for name, (acknowledged, refused) in pairs}


@dataclass
class Faults:
    """A simulated disk whose operations are counted; those in `failing` fail, those in `once` the next time."""

    failing: set[str] = field(default_factory=set)
    once: dict[str, OSError] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.disk = SimulatedDisk(self._step)

    def _step(self, operation: str, path: Path) -> None:
        self.done.append(operation)
        if operation in self.once:
            raise self.once.pop(operation)
        if operation in self.failing:
            raise BROKEN

    @property
    def beside_appends(self) -> list[str]:
        return [operation for operation in self.done if operation != "append"]


def _writer(
    folder: Path = FOLDER,
    files: FileSystem | None = None,
    *,
    kind: type[SegmentWriter] = SegmentWriter,
    clock: ManualClock | None = None,
    durability: Durability = "process",
    seal_bytes: int = 2**20,
    queue_bytes: int = 2**20,
) -> SegmentWriter:
    return kind(
        folder,
        clock or ManualClock(),
        seal_bytes=seal_bytes,
        seal_seconds=5,
        durability=durability,
        queue_bytes=queue_bytes,
        files=files or LocalFiles(),
    )


def _append(writer: SegmentWriter, batch: PredictionBatch | None = None) -> Future[None] | None:
    return writer.append_predictions(batch or builders.batch(), builders.schema())


def _acknowledged(writer: SegmentWriter) -> str:
    """The id of a new record, once it is acknowledged."""
    batch = builders.batch()
    future = _append(writer, batch)
    if future:
        future.result(PATIENCE)
    return batch.ids[0]


def _segments(folder: Path) -> list[SegmentContents]:
    return [read_segment(path.read_bytes(), sealed=True) for path in sorted(folder.glob("*.seg"))]


def _ids(contents: list[SegmentContents]) -> list[str]:
    return [identifier for segment in contents for batch in segment.predictions for identifier in batch.ids]


def _left(disk: SimulatedDisk, folder: Path = FOLDER) -> list[SegmentContents]:
    """All segments, those read as sealed that are."""
    names = disk.names(folder)
    return [read_segment(disk.read(folder / name), sealed=name.endswith(naming.SEALED)) for name in names]


def _lost(disk: SimulatedDisk, acknowledged: list[str]) -> int:
    """In how many of the states that a loss of power may leave now some of `acknowledged` is missing."""
    states = [disk.after_loss(random.Random(seed)) for seed in range(LOSSES)]
    return sum(not set(acknowledged) <= set(_ids(_left(state))) for state in states)


# One write before the answer


def test_a_write_cut_short_by_a_limit_leaves_no_half_record(limited: dict[str, Limited]) -> None:
    run = limited["cut short"]
    assert run.refused
    assert run.acknowledged
    assert _ids(run.contents) == run.acknowledged
    assert not any(segment.corrupt_frames or segment.torn_bytes for segment in run.contents)
    assert not list(run.folder.glob("*.open"))


def test_the_check_sees_the_half_record_of_a_writer_that_does_not_cut_it_off(limited: dict[str, Limited]) -> None:
    assert any(segment.corrupt_frames for segment in limited["broken"].contents)


def test_when_not_even_a_header_fits_all_is_refused_and_no_file_is_left(limited: dict[str, Limited]) -> None:
    run = limited["no header fits"]
    assert (run.acknowledged, run.refused) == ([], 60)
    assert not list(run.folder.iterdir())


def test_a_record_is_with_the_system_when_append_returns() -> None:
    disk = SimulatedDisk()
    writer = _writer(files=disk)
    acknowledged = [_acknowledged(writer) for _ in range(3)]
    assert _ids(_left(disk)) == acknowledged, "for whoever reads next, though the writer never closed anything"


def test_a_failed_append_that_cannot_be_cut_off_is_a_torn_end_and_not_sealed() -> None:
    faults = Faults()
    writer = _writer(files=faults.disk)
    first = _acknowledged(writer)
    faults.failing |= {"append", "truncate"}
    with pytest.raises(StoreUnavailable):
        _append(writer)
    faults.failing.clear()
    later = _acknowledged(writer)
    writer.close()
    torn, whole = faults.disk.names(FOLDER)
    assert (torn.endswith(naming.OPEN), whole.endswith(naming.SEALED)) == (True, True)
    contents = read_segment(faults.disk.read(FOLDER / torn), sealed=False)
    assert (_ids([contents]), contents.corrupt_frames) == ([first], 0)
    assert contents.torn_bytes
    assert _ids(_left(faults.disk)) == [first, later]
    faults.disk.adopt(FOLDER / torn).close()  # as its writer holds it no longer


def test_appends_to_a_full_disk_leave_no_files_behind() -> None:
    faults = Faults({"append"})
    writer = _writer(files=faults.disk)
    for _ in range(50):
        with pytest.raises(StoreUnavailable):
            _append(writer)
    assert faults.disk.names(FOLDER) == []
    faults.failing.clear()
    acknowledged = _acknowledged(writer)
    assert _ids(_left(faults.disk)) == [acknowledged]


def test_a_name_that_the_folder_adopted_first_is_given_up_for_another() -> None:
    faults = Faults(once={"create": FileNotFoundError(errno.ENOENT, "another process renamed it")})
    acknowledged = _acknowledged(_writer(files=faults.disk))
    assert _ids(_left(faults.disk)) == [acknowledged]


# Segments


def test_a_segment_is_sealed_at_its_age_and_not_before(tmp_path: Path, clock: ManualClock) -> None:
    writer = _writer(tmp_path, clock=clock)
    _append(writer)
    clock.advance(4.9)
    writer.seal_if_old()
    assert not _segments(tmp_path)
    clock.advance(0.1)
    writer.seal_if_old()
    assert len(_segments(tmp_path)) == 1


def test_a_clock_that_was_set_back_keeps_no_segment_open(tmp_path: Path, clock: ManualClock) -> None:
    writer = _writer(tmp_path, clock=clock)
    _append(writer)
    clock.advance(-3600)
    writer.seal_if_old()
    assert len(_segments(tmp_path)) == 1


def test_a_segment_is_sealed_at_its_size(tmp_path: Path) -> None:
    writer = _writer(tmp_path, seal_bytes=4_096)
    for _ in range(80):
        _append(writer)
    writer.close()
    contents = _segments(tmp_path)
    assert len(contents) > 2
    assert len(_ids(contents)) == 80
    assert all(1 in segment.schemas for segment in contents), "every segment can be read without the others"


def test_segments_of_a_writer_are_numbered_in_order(tmp_path: Path) -> None:
    writer = _writer(tmp_path)
    for _ in range(3):
        _append(writer)
        writer.close()
    headers = [segment.header for segment in _segments(tmp_path)]
    assert [header.sequence for header in headers if header] == [1, 2, 3]
    assert len({header.writer for header in headers if header}) == 1


def test_a_header_says_who_wrote_when_and_under_which_schema(tmp_path: Path, clock: ManualClock) -> None:
    writer = _writer(tmp_path, clock=clock)
    _append(writer)
    writer.close()
    writer.append_labels([builders.label(builders.batch().ids[0])])
    writer.close()
    first, second = (segment.header for segment in _segments(tmp_path))
    assert first
    assert second
    assert (first.pid, first.boot, first.opened_at) == (os.getpid(), boot_id(), clock.now())
    assert (first.schema, second.schema) == (schema_digest(builders.schema()), None)


@pytest.mark.parametrize("labels", [1, 500])
def test_labels_of_one_call_stay_together(tmp_path: Path, labels: int) -> None:
    writer = _writer(tmp_path)
    sent = [builders.label(identifier) for identifier in builders.batch(labels).ids]
    writer.append_labels(sent)
    writer.close()
    assert _segments(tmp_path)[0].labels == sent


def test_appending_never_waits_for_the_disk_and_a_sealed_segment_is_on_it() -> None:
    faults = Faults()
    writer = _writer(files=faults.disk, seal_bytes=2_048)
    acknowledged = [_acknowledged(writer) for _ in range(30)]
    assert set(faults.beside_appends) == {"create"}, "segments were closed at their size, and nothing was synced"
    writer.seal_if_old()
    assert faults.beside_appends[-3:] == ["sync", "sync_folder", "rename"]
    names = faults.disk.names(FOLDER)
    sealed = [name for name in names if name.endswith(naming.SEALED)]
    assert len(sealed) >= len(names) - 1
    safe = _ids([read_segment(faults.disk.read(FOLDER / name), sealed=True) for name in sealed])
    assert safe == acknowledged[: len(safe)]
    assert not _lost(faults.disk, safe)


def test_the_check_sees_a_writer_that_seals_without_syncing() -> None:
    class Careless(SegmentWriter):
        def _sync(self, segment: Segment, size: int) -> OSError | None:
            return None

    disk = SimulatedDisk()
    writer = _writer(files=disk, kind=Careless)
    acknowledged = [_acknowledged(writer) for _ in range(30)]
    writer.close()
    assert _lost(disk, acknowledged)


def test_a_sync_that_fails_at_sealing_takes_nothing_that_was_acknowledged() -> None:
    faults = Faults({"sync"})
    writer = _writer(files=faults.disk)
    acknowledged = [_acknowledged(writer) for _ in range(3)]
    writer.close()
    writer.close()
    assert faults.done.count("sync") == 1, "nor is it asked again"
    (name,) = faults.disk.names(FOLDER)
    assert name.endswith(naming.SEALED)
    assert _ids(_left(faults.disk)) == acknowledged


def test_while_nobody_seals_the_open_segment_grows_instead_of_there_being_more(tmp_path: Path) -> None:
    writer = _writer(tmp_path, seal_bytes=1)
    acknowledged = [_acknowledged(writer) for _ in range(2 * MOST_RETIRED)]
    assert len(list(tmp_path.iterdir())) == MOST_RETIRED + 1
    writer.close()
    assert _ids(_segments(tmp_path)) == acknowledged


def test_a_segment_that_cannot_be_renamed_is_left_to_be_adopted() -> None:
    faults = Faults({"rename"})
    writer = _writer(files=faults.disk)
    acknowledged = _acknowledged(writer)
    writer.close()
    (name,) = faults.disk.names(FOLDER)
    assert name.endswith(naming.OPEN)
    faults.disk.adopt(FOLDER / name).close()
    assert _ids(_left(faults.disk)) == [acknowledged]


# On disk before the answer


class AnswersBeforeSync(SegmentWriter):
    """Broken: takes for synced what is not."""

    def _sync(self, segment: Segment, size: int) -> OSError | None:
        return None


class ForgetsTheName(SegmentWriter):
    """Broken: syncs a new file, but not the folder that has its name."""

    def _sync(self, segment: Segment, size: int) -> OSError | None:
        segment.named = True
        return super()._sync(segment, size)


class AsksAgain(SegmentWriter):
    """Broken: believes a sync that succeeds after one that failed."""

    def _sync(self, segment: Segment, size: int) -> OSError | None:
        return super()._sync(segment, size) and super()._sync(segment, size)


def _losses_of_every_acknowledgement(kind: type[SegmentWriter]) -> int:
    disk = SimulatedDisk()
    writer = _writer(files=disk, kind=kind, durability="disk", seal_bytes=2_048)
    acknowledged: list[str] = []
    lost = 0
    for _ in range(20):
        acknowledged.append(_acknowledged(writer))
        lost += _lost(disk, acknowledged)
    writer.close()
    return lost + _lost(disk, acknowledged)


def test_loss_of_power_after_any_acknowledgement_takes_none_of_them() -> None:
    assert not _losses_of_every_acknowledgement(SegmentWriter)


@pytest.mark.parametrize("broken", [AnswersBeforeSync, ForgetsTheName])
def test_the_same_check_catches_a_writer_that_is_too_early(broken: type[SegmentWriter]) -> None:
    assert _losses_of_every_acknowledgement(broken)


def _after_one_failed_sync(kind: type[SegmentWriter]) -> tuple[Faults, list[str], int]:
    """The disk, what was acknowledged, and how many were refused, when one sync among several fails."""
    faults = Faults()
    writer = _writer(files=faults.disk, kind=kind, durability="disk")
    acknowledged: list[str] = []
    refused = 0
    for step in range(9):
        if step == 5:
            faults.once["sync"] = BROKEN
        try:
            acknowledged.append(_acknowledged(writer))
        except StoreUnavailable:
            refused += 1
    writer.close()
    return faults, acknowledged, refused


def test_after_a_failed_sync_its_record_is_refused_and_its_segment_never_synced_again() -> None:
    faults, acknowledged, refused = _after_one_failed_sync(SegmentWriter)
    assert refused == 1
    assert _ids(_left(faults.disk)) == acknowledged, "the refused one was cut off"
    assert not _lost(faults.disk, acknowledged)
    cut = faults.beside_appends.index("truncate")
    assert faults.beside_appends[cut - 1 : cut + 3] == ["sync", "truncate", "rename", "create"]


def test_the_same_check_catches_a_writer_that_asks_the_disk_again() -> None:
    faults, acknowledged, refused = _after_one_failed_sync(AsksAgain)
    assert refused == 0
    assert _lost(faults.disk, acknowledged)


def test_while_every_sync_fails_all_is_refused_and_no_file_is_left() -> None:
    faults = Faults({"sync"})
    writer = _writer(files=faults.disk, durability="disk")
    for _ in range(5):
        with pytest.raises(StoreUnavailable, match="repair the disk"):
            _acknowledged(writer)
    assert faults.disk.names(FOLDER) == []
    faults.failing.clear()
    acknowledged = _acknowledged(writer)
    writer.close()
    assert _ids(_left(faults.disk)) == [acknowledged]


class HeldFiles(LocalFiles):
    """Files that sync only when they may, and fail then if they were told to."""

    def __init__(self) -> None:
        self.may, self.began = threading.Event(), threading.Event()
        self.syncs = 0
        self.failing = False

    def create(self, path: Path) -> LocalFile:
        return HeldFile(path, self)


class HeldFile(LocalFile):
    def __init__(self, path: Path, files: HeldFiles) -> None:
        super().__init__(path, os.O_CREAT | os.O_EXCL)
        self._files = files

    def sync(self) -> None:
        self._files.syncs += 1
        self._files.began.set()
        assert self._files.may.wait(PATIENCE)
        if self._files.failing:
            raise BROKEN


def test_all_that_come_during_one_sync_share_the_next(tmp_path: Path) -> None:
    files = HeldFiles()
    writer = _writer(tmp_path, files, durability="disk")
    futures = [_append(writer)]
    assert files.began.wait(PATIENCE)
    futures += [_append(writer) for _ in range(20)]
    assert not any(future.done() for future in futures if future)
    files.may.set()
    for future in futures:
        assert future
        future.result(PATIENCE)
    assert files.syncs == 2
    writer.close()
    assert len(_ids(_segments(tmp_path))) == 21


def test_what_came_during_a_sync_that_fails_is_refused_with_the_others(tmp_path: Path) -> None:
    files = HeldFiles()
    files.failing = True
    writer = _writer(tmp_path, files, durability="disk", seal_bytes=4_096)
    futures = [_append(writer)]
    assert files.began.wait(PATIENCE)
    while len(list(tmp_path.iterdir())) < 2:  # the first segment is closed at its size meanwhile
        futures.append(_append(writer))
    last = futures.pop()
    files.may.set()
    for future in futures:
        assert future
        assert isinstance(future.exception(PATIENCE), StoreUnavailable)
    files.failing = False
    acknowledged = _acknowledged(writer)
    assert last
    kept = 0 if last.exception(PATIENCE) else 1
    writer.close()
    assert _ids(_segments(tmp_path))[kept:] == [acknowledged]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_caller_who_goes_away_does_not_take_the_record_along(tmp_path: Path) -> None:
    writer = _writer(tmp_path, durability="disk")
    future = _append(writer)
    assert future
    assert not future.cancel()
    writer.close()
    assert future.done()
    assert len(_ids(_segments(tmp_path))) == 1


@pytest.mark.parametrize("durability", ["process", "disk", "memory"])
def test_appends_of_many_threads_are_all_there_once(tmp_path: Path, durability: Durability) -> None:
    writer = _writer(tmp_path, durability=durability, seal_bytes=8_192)
    acknowledged: list[str] = []

    def append() -> None:
        acknowledged.extend([_acknowledged(writer) for _ in range(60)])

    threads = [threading.Thread(target=append) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.seal_if_old()
    writer.close()
    assert len(acknowledged) == 360
    assert sorted(_ids(_segments(tmp_path))) == sorted(acknowledged)
    assert not list(tmp_path.glob("*.open"))


# A queue before the disk


def test_what_is_queued_is_written_by_closing_at_the_latest_and_in_order(tmp_path: Path) -> None:
    writer = _writer(tmp_path, durability="memory")
    acknowledged = [_acknowledged(writer) for _ in range(50)]
    writer.close()
    again = _acknowledged(writer)
    writer.close()
    assert _ids(_segments(tmp_path)) == [*acknowledged, again]


def test_a_full_queue_refuses_and_a_disk_that_works_again_gets_all_that_was_taken() -> None:
    faults = Faults({"append"})
    writer = _writer(files=faults.disk, durability="memory", queue_bytes=3_000)
    acknowledged = []
    refusals = []
    for _ in range(40):
        try:
            acknowledged.append(_acknowledged(writer))
        except StoreUnavailable as error:
            refusals.append(str(error))
    assert all("queue_bytes" in refusal for refusal in refusals)
    assert refusals
    assert acknowledged
    faults.failing.clear()
    writer.close()
    assert _ids(_left(faults.disk)) == acknowledged


def test_closing_with_a_broken_disk_ends_and_the_writer_can_be_used_afterwards() -> None:
    faults = Faults({"append"})
    writer = _writer(files=faults.disk, durability="memory")
    _acknowledged(writer)
    writer.close()
    faults.failing.clear()
    acknowledged = _acknowledged(writer)
    writer.close()
    assert _ids(_left(faults.disk)) == [acknowledged]
