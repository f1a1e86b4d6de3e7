"""`kill -9` of a writing process, or of the folder, at any moment loses no acknowledged record and doubles none."""

from pathlib import Path

import pytest

from lifecycle.feature_log.files import FileSystem
from tests.behaviour import append_writers, killing
from tests.behaviour.killing import Campaign, NoTruncation, Processes, Survived, Writer

KILLS = 300
DURABLE_KILLS = 60
FEW = 30


@pytest.fixture(scope="module")
def processes() -> Processes:
    return killing.processes()


def _kill(
    processes: Processes, folder: Path, writer: Writer, kills: int, *, files: FileSystem | None = None
) -> Survived:
    campaign = Campaign(processes, folder, files=files)
    campaign.run(writer, kills)
    return campaign.end()


def test_nothing_acknowledged_is_lost_or_doubled(processes: Processes, tmp_path: Path) -> None:
    survived = _kill(processes, tmp_path, append_writers.sound, KILLS)
    assert len(survived.acknowledged) > 10 * KILLS
    assert survived.problems == []


def test_nothing_acknowledged_as_being_on_disk_is_lost_or_doubled(processes: Processes, tmp_path: Path) -> None:
    survived = _kill(processes, tmp_path, append_writers.durable, DURABLE_KILLS)
    assert len(survived.acknowledged) > 10 * DURABLE_KILLS
    assert survived.problems == []


def test_a_writer_that_dies_in_the_middle_of_a_write_leaves_only_a_torn_end(
    processes: Processes, tmp_path: Path
) -> None:
    survived = _kill(processes, tmp_path, append_writers.dies_writing, FEW)
    assert survived.status is not None
    assert survived.acknowledged
    assert survived.problems == []
    assert survived.status.truncated_bytes > 0


def test_a_folder_that_is_killed_again_and_again_loses_and_doubles_nothing(
    processes: Processes, tmp_path: Path
) -> None:
    campaign = Campaign(processes, tmp_path)
    campaign.run(append_writers.sound, FEW, kill_folder=True)
    assert campaign.end().problems == []


@pytest.mark.parametrize("broken", [append_writers.acknowledges_first, append_writers.buffers])
def test_the_same_check_catches_a_broken_writer(processes: Processes, tmp_path: Path, broken: Writer) -> None:
    assert _kill(processes, tmp_path, broken, FEW).lost


def test_the_same_check_catches_a_recovery_that_does_not_cut_off_the_torn_end(
    processes: Processes, tmp_path: Path
) -> None:
    survived = _kill(processes, tmp_path, append_writers.dies_writing, FEW, files=NoTruncation())
    assert survived.problems
