"""The append side: what it returned from is there; what it refused left nothing behind."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from lifecycle.clock import ManualClock
from lifecycle.feature_log.frames import SegmentContents, read_segment
from tests import builders

LIMITED = """
import json, resource, sys
from pathlib import Path
from lifecycle.errors import StoreUnavailable
from tests import builders

def main(folder, limit, broken):
    writer = builders.writer(Path(folder))
    if broken:  # a writer that goes on after a failed write as if nothing had been left behind
        def keep(segment):
            writer._segment = None
            segment.path.rename(segment.path.with_suffix(".seg"))
        writer._abandon = keep
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


def _segments(folder: Path) -> list[SegmentContents]:
    return [read_segment(path, sealed=True) for path in sorted(folder.glob("*.seg"))]


def _ids(contents: list[SegmentContents]) -> list[str]:
    return [identifier for segment in contents for batch in segment.predictions for identifier in batch.ids]


def test_a_write_cut_short_by_a_limit_leaves_no_half_record(limited: dict[str, Limited]) -> None:
    run = limited["cut short"]
    assert run.refused
    assert run.acknowledged
    assert _ids(run.contents) == run.acknowledged
    assert not any(segment.corrupt_frames or segment.torn_bytes for segment in run.contents)
    assert not list(run.folder.glob("*.open"))


def test_the_check_sees_the_half_record_of_a_writer_that_does_not_cut_it_off(limited: dict[str, Limited]) -> None:
    assert any(segment.corrupt_frames for segment in limited["broken"].contents)


def test_when_not_even_a_header_fits_all_is_refused_and_nothing_looks_corrupt(limited: dict[str, Limited]) -> None:
    run = limited["no header fits"]
    assert (run.acknowledged, run.refused) == ([], 60)
    assert not any(segment.corrupt_frames or segment.torn_bytes for segment in run.contents)


def test_a_segment_is_sealed_at_its_age_and_not_before(tmp_path: Path, clock: ManualClock) -> None:
    writer = builders.writer(tmp_path, clock, seal_seconds=5)
    writer.append_predictions(builders.batch(), builders.schema())
    clock.advance(4.9)
    writer.seal_if_old()
    assert not _segments(tmp_path)
    clock.advance(0.1)
    writer.seal_if_old()
    assert len(_segments(tmp_path)) == 1


def test_a_segment_is_sealed_at_its_size(tmp_path: Path) -> None:
    writer = builders.writer(tmp_path, seal_bytes=4_096)
    for _ in range(80):
        writer.append_predictions(builders.batch(), builders.schema())
    writer.close()
    contents = _segments(tmp_path)
    assert len(contents) > 2
    assert len(_ids(contents)) == 80
    assert all(1 in segment.schemas for segment in contents), "every segment can be read without the others"


def test_segments_of_a_writer_are_numbered_in_order(tmp_path: Path) -> None:
    writer = builders.writer(tmp_path)
    for _ in range(3):
        writer.append_predictions(builders.batch(), builders.schema())
        writer.close()
    headers = [segment.header for segment in _segments(tmp_path)]
    assert [header.sequence for header in headers if header] == [1, 2, 3]
    assert len({header.writer for header in headers if header}) == 1


@pytest.mark.parametrize("labels", [1, 500])
def test_labels_of_one_call_stay_together(tmp_path: Path, labels: int) -> None:
    writer = builders.writer(tmp_path)
    sent = [builders.label(identifier) for identifier in builders.batch(labels).ids]
    writer.append_labels(sent)
    writer.close()
    assert _segments(tmp_path)[0].labels == sent
