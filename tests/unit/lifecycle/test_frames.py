"""Segments: damage is always noticed, never raised, and never read as a record."""

from pathlib import Path

import numpy as np
import pytest

from lifecycle.feature_log import frames
from lifecycle.feature_log.frames import SegmentContents, SegmentHeader, read_segment
from lifecycle.ids import uuid7
from tests import builders

HEADER = SegmentHeader(uuid7(5), 1, builders.START)
BATCHES = [builders.batch(1), builders.batch(2)]
LABELS = [builders.label(BATCHES[0].ids[0])]
PARTS = [
    frames.encode_header(HEADER),
    frames.encode_schema(builders.schema()),
    frames.encode_predictions(BATCHES[0]),
    frames.encode_labels(LABELS),
    frames.encode_predictions(BATCHES[1]),
]
WHOLE = b"".join(PARTS)
BOUNDARIES = {sum(len(part) for part in PARTS[:count]) for count in range(len(PARTS) + 1)} | {len(frames.MAGIC)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "segment"


def _read(path: Path, content: bytes, *, sealed: bool) -> SegmentContents:
    path.write_bytes(content)
    return read_segment(path, sealed=sealed)


def _only_true_records(contents: SegmentContents) -> bool:
    return (
        all(batch in BATCHES for batch in contents.predictions)
        and all(label in LABELS for label in contents.labels)
        and contents.header in (HEADER, None)
        and contents.schemas in ({}, {1: builders.schema()})
    )


@pytest.mark.parametrize("sealed", [True, False])
def test_a_whole_segment_is_read_as_it_was_written(path: Path, sealed: bool) -> None:
    contents = _read(path, WHOLE, sealed=sealed)
    assert contents == SegmentContents(HEADER, {1: builders.schema()}, BATCHES, LABELS)


def test_every_flipped_bit_of_a_sealed_segment_is_noticed(path: Path) -> None:
    for index in range(len(WHOLE)):
        flipped = WHOLE[:index] + bytes([WHOLE[index] ^ (1 << index % 8)]) + WHOLE[index + 1 :]
        contents = _read(path, flipped, sealed=True)
        assert contents.corrupt_frames, index
        assert _only_true_records(contents), index


def test_without_checksums_a_flipped_bit_would_be_read_as_a_record(path: Path) -> None:
    """The check above can fail: a flip whose checksum is made to fit yields a record that was never written."""
    changed = frames.encode_predictions(builders.batch(1, latency_us=901))
    contents = _read(path, b"".join([*PARTS[:2], changed]), sealed=True)
    assert not contents.corrupt_frames
    assert not _only_true_records(contents)


def test_a_segment_cut_anywhere_yields_its_whole_records_and_counts_the_rest(path: Path) -> None:
    for length in range(len(WHOLE)):
        contents = _read(path, WHOLE[:length], sealed=False)
        assert _only_true_records(contents), length
        assert contents.corrupt_frames == 0, length
        assert contents.torn_bytes == length - max(edge for edge in BOUNDARIES if edge <= length), length
        assert contents.predictions == BATCHES[: len(contents.predictions)]


def test_a_sealed_segment_cut_within_a_frame_is_corrupt(path: Path) -> None:
    for length in set(range(len(WHOLE))) - BOUNDARIES:
        assert _read(path, WHOLE[:length], sealed=True).corrupt_frames == 1, length


@pytest.mark.parametrize("sealed", [True, False])
def test_an_empty_file_holds_nothing_and_is_not_damage(path: Path, sealed: bool) -> None:
    assert _read(path, b"", sealed=sealed) == SegmentContents()


def test_predictions_whose_schema_is_damaged_are_counted_not_guessed(path: Path) -> None:
    damaged = bytearray(PARTS[1])
    damaged[-1] ^= 1
    contents = _read(path, b"".join([PARTS[0], bytes(damaged), *PARTS[2:]]), sealed=True)
    assert contents.predictions == []
    assert contents.labels == LABELS
    assert contents.corrupt_frames == 3


def test_arrays_are_kept_as_they_are_and_read_as_lists(path: Path) -> None:
    kinds = {"x": "numeric", "town": "categorical", "y": "numeric", "n": "integer"}
    schema = builders.schema(kinds=kinds)
    numbers = np.array([0.1, -1e-300, np.nan, 1e300])
    columns = {"x": numbers, "town": ["a", None, "b", "c"], "y": numbers[::-1].copy(), "n": np.arange(4)}
    batch = builders.batch(4, columns=columns)
    content = frames.encode_header(HEADER) + frames.encode_schema(schema) + frames.encode_predictions(batch)
    (found,) = _read(path, content, sealed=True).predictions
    assert found.columns == {
        "x": [0.1, -1e-300, None, 1e300],
        "town": ["a", None, "b", "c"],
        "y": [1e300, None, -1e-300, 0.1],
        "n": [0, 1, 2, 3],
    }
    assert found.ids == batch.ids
