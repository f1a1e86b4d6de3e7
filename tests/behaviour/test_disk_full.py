"""A disk that becomes full, again and again: callers are answered or refused as configured, and every record is accounted for."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.clock import SystemClock
from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log.files import LocalFile, LocalFiles
from lifecycle.feature_log.frames import SegmentContents, read_segment
from lifecycle.feature_log.writer import SegmentWriter
from tests import builders
from tests.behaviour.full_disk import (
    MOST_SEGMENTS,
    RECOVERY_SECONDS,
    SmallDisk,
    endure,
    recorded,
    refusal,
    service_on,
    small_disk,
)
from tests.behaviour.killing import UncutFile

CYCLES = 100
WRITER_CYCLES = 100
BURST = 30


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    reason = refusal(tmp_path / "probe")
    if reason:
        pytest.skip(reason)
    with small_disk(tmp_path / "disk") as mounted:
        yield mounted


def test_a_service_told_to_serve_answers_everybody_and_counts_what_it_did_not_record(
    disk: SmallDisk, tmp_path: Path
) -> None:
    with service_on(disk, tmp_path, "serve") as running:
        seen = endure(running, disk, CYCLES)
        kept = recorded(disk)
    assert set(seen.statuses) == {200}
    assert len(kept) == len(set(kept)) == seen.counted["appended"]
    assert set(kept) <= set(seen.ids)
    assert seen.counted["dropped"] == len(seen.ids) - len(kept) > 0
    assert max(seen.recoveries) <= RECOVERY_SECONDS
    assert seen.most_segments <= MOST_SEGMENTS


def test_a_service_told_to_reject_answers_503_and_keeps_no_record_of_it(disk: SmallDisk, tmp_path: Path) -> None:
    with service_on(disk, tmp_path, "reject") as running:
        seen = endure(running, disk, CYCLES)
        kept = recorded(disk)
    assert set(seen.statuses) == {200, 503}
    assert sorted(kept) == sorted(seen.ids)
    assert (seen.counted["appended"], seen.counted["dropped"]) == (len(seen.ids), seen.statuses[503])
    assert max(seen.recoveries) <= RECOVERY_SECONDS


class LeavesParts(LocalFiles):
    """Broken: the part of a record that a failed write has left stays there."""

    def create(self, path: Path) -> LocalFile:
        path.parent.mkdir(parents=True, exist_ok=True)
        return UncutFile(path, os.O_CREAT | os.O_EXCL)


def test_a_writer_keeps_all_it_acknowledged_and_nothing_that_it_refused(disk: SmallDisk) -> None:
    acknowledged, refused, contents = _fill_a_hundred_times(disk, LocalFiles())
    assert (refused > WRITER_CYCLES, len(contents) <= MOST_SEGMENTS + 2 * WRITER_CYCLES) == (True, True)
    assert sorted(_ids(contents)) == sorted(acknowledged)
    assert _damaged(contents) == []


def test_the_same_check_catches_a_writer_that_leaves_parts_of_records(disk: SmallDisk) -> None:
    _, _, contents = _fill_a_hundred_times(disk, LeavesParts())
    assert _damaged(contents)


def _fill_a_hundred_times(disk: SmallDisk, files: LocalFiles) -> tuple[list[str], int, list[SegmentContents]]:
    """What was acknowledged, how often it was refused, and what all segments hold in the end."""
    segments = disk.path / "segments"
    writer = SegmentWriter(segments, SystemClock(), seal_bytes=2**20, seal_seconds=60, files=files)
    acknowledged: list[str] = []
    refused = 0
    for _ in range(WRITER_CYCLES):
        for full in (False, True):
            if full:
                disk.fill()
            for count in range(BURST):
                batch = builders.batch(1 + count % 3)
                try:
                    writer.append_predictions(batch, builders.schema())
                    acknowledged += batch.ids
                except StoreUnavailable:
                    refused += 1
        writer.seal_if_old()
        disk.free()
    writer.close()
    sealed = sorted(segments.glob("*.seg"))
    return acknowledged, refused, [read_segment(path.read_bytes(), sealed=True) for path in sealed]


def _ids(contents: list[SegmentContents]) -> list[str]:
    return [identifier for found in contents for batch in found.predictions for identifier in batch.ids]


def _damaged(contents: list[SegmentContents]) -> list[SegmentContents]:
    return [found for found in contents if found.torn_bytes or found.corrupt_frames]
