"""Segments: damage is always noticed, never raised, and never read as a record; a bad frame costs no other."""

import random
from dataclasses import replace

import numpy as np
import pytest

from lifecycle.feature_log import frames
from lifecycle.feature_log.frames import SegmentContents, SegmentHeader, read_header, read_segment
from lifecycle.ids import uuid7
from lifecycle.records import Label
from tests import builders

HEADER = SegmentHeader(uuid7(5), 1, builders.START, "boot", 7, frames.schema_digest(builders.schema()))
BATCHES = [
    builders.batch(1),
    builders.batch(2, external_ids=["A-1", None], subjects=[None, "p_1"], sampling_rate=0.5),
    builders.batch(2, columns={"a": [0.5, None], "town": [None, "Ghent"]}),
]
LABELS = [
    builders.label(BATCHES[0].ids[0]),
    Label(None, 0.5, builders.START, builders.START, "key", external_id="A-1"),
]
PAYLOADS = [
    frames.header_payload(HEADER),
    frames.schema_payload(builders.schema()),
    frames.predictions_payload(BATCHES[0]),
    frames.labels_payload(LABELS),
    frames.predictions_payload(BATCHES[1]),
    frames.predictions_payload(BATCHES[2]),
]
FRAMES = [frames.framed([payload], number) for number, payload in enumerate(PAYLOADS)]
WHOLE = frames.MAGIC + b"".join(FRAMES)
BOUNDARIES = {len(frames.MAGIC) + sum(map(len, FRAMES[:count])) for count in range(len(FRAMES) + 1)} | {0}


def _segment(*parts: bytes) -> bytes:
    return frames.MAGIC + b"".join(parts)


def _read(content: bytes, *, sealed: bool = True) -> SegmentContents:
    return read_segment(content, sealed=sealed)


def _only_true_records(contents: SegmentContents) -> bool:
    ids = [batch.request_id for batch in contents.predictions]
    return (
        all(batch in BATCHES for batch in contents.predictions)
        and len(ids) == len(set(ids))
        and contents.labels in (LABELS, [])
        and contents.header in (HEADER, None)
        and contents.schemas in ({}, {1: builders.schema()})
    )


def _flipped(content: bytes, index: int) -> bytes:
    return content[:index] + bytes([content[index] ^ (1 << index % 8)]) + content[index + 1 :]


@pytest.mark.parametrize("sealed", [True, False])
def test_a_whole_segment_is_read_as_it_was_written(sealed: bool) -> None:
    contents = _read(WHOLE, sealed=sealed)
    assert (contents.header, contents.schemas) == (HEADER, {1: builders.schema()})
    assert (contents.predictions, contents.labels) == (BATCHES, LABELS)
    assert (contents.corrupt_frames, contents.torn_bytes, contents.sound_bytes) == (0, 0, len(WHOLE))


def test_frames_written_together_are_those_written_one_by_one() -> None:
    assert frames.framed(PAYLOADS, 0) == b"".join(FRAMES)


def test_every_flipped_bit_of_a_sealed_segment_is_noticed_and_costs_one_frame() -> None:
    for index in range(len(WHOLE)):
        contents = _read(_flipped(WHOLE, index))
        assert contents.corrupt_frames, index
        assert _only_true_records(contents), index
        lost = len(BATCHES) - len(contents.predictions)
        assert lost <= (1 if contents.schemas else len(BATCHES)), index
        assert contents.header or contents.schemas, index


def test_without_checksums_a_flipped_bit_would_be_read_as_a_record() -> None:
    """The check above can fail: a flip whose checksum is made to fit yields a record that was never written."""
    changed = frames.framed([frames.predictions_payload(builders.batch(1, latency_us=901))], 2)
    contents = _read(_segment(*FRAMES[:2], changed))
    assert not contents.corrupt_frames
    assert not _only_true_records(contents)


def test_a_segment_cut_anywhere_yields_its_whole_records_and_counts_the_rest() -> None:
    for length in range(len(WHOLE)):
        contents = _read(WHOLE[:length], sealed=False)
        assert _only_true_records(contents), length
        assert contents.corrupt_frames == 0, length
        assert contents.sound_bytes == max(edge for edge in BOUNDARIES if edge <= length), length
        assert contents.torn_bytes == length - contents.sound_bytes, length
        assert contents.predictions == BATCHES[: len(contents.predictions)]


def test_what_is_left_after_cutting_off_a_torn_end_is_whole() -> None:
    for length in range(len(WHOLE)):
        cut = WHOLE[: _read(WHOLE[:length], sealed=False).sound_bytes]
        contents = _read(cut)
        assert (contents.corrupt_frames, contents.torn_bytes) == (0, 0), length


def test_a_sealed_segment_cut_within_a_frame_is_corrupt() -> None:
    for length in set(range(len(WHOLE))) - BOUNDARIES:
        assert _read(WHOLE[:length]).corrupt_frames == 1, length


@pytest.mark.parametrize("sealed", [True, False])
def test_an_empty_file_holds_nothing_and_is_not_damage(sealed: bool) -> None:
    assert _read(b"", sealed=sealed) == SegmentContents()


MIDDLES = {
    "bytes of zero": bytes(500),
    "a frame twice": FRAMES[2],
    "a frame of before": FRAMES[1],
    "junk": random.Random(1).randbytes(3_000),
    "a long stretch of junk": random.Random(2).randbytes(200_000),
    "a frame cut short": FRAMES[2][:-1],
}


@pytest.mark.parametrize("middle", MIDDLES)
@pytest.mark.parametrize("sealed", [True, False])
def test_what_does_not_belong_between_two_frames_is_counted_and_costs_neither(middle: str, sealed: bool) -> None:
    contents = _read(_segment(*FRAMES[:3], MIDDLES[middle], *FRAMES[3:]), sealed=sealed)
    assert (contents.predictions, contents.labels) == (BATCHES, LABELS)
    assert contents.corrupt_frames == 1
    assert contents.torn_bytes == 0, "an unsealed segment too is corrupt when sound frames follow the damage"


def test_frames_that_are_missing_are_counted_one_by_one() -> None:
    contents = _read(_segment(*FRAMES[:3], *FRAMES[5:]))
    assert contents.corrupt_frames == 2
    assert contents.predictions == [BATCHES[0], BATCHES[2]]


def test_frames_in_another_order_are_read_once_each_and_show() -> None:
    contents = _read(_segment(*FRAMES[:2], FRAMES[4], FRAMES[3], FRAMES[2], FRAMES[5]))
    assert contents.predictions == [BATCHES[1], BATCHES[0], BATCHES[2]]
    assert contents.labels == LABELS
    assert contents.corrupt_frames == 2


def test_a_frame_that_came_from_elsewhere_costs_none_of_those_that_belong_here() -> None:
    contents = _read(_segment(*FRAMES[:2], frames.framed([PAYLOADS[2]], 30), *FRAMES[3:]))
    assert contents.predictions == BATCHES
    assert contents.corrupt_frames == 28


def test_a_sequence_that_no_file_of_this_size_reaches_is_one_bad_frame() -> None:
    contents = _read(_segment(*FRAMES[:2], frames.framed([PAYLOADS[2]], 2**32 - 1), *FRAMES[3:]))
    assert contents.predictions == BATCHES[1:]
    assert contents.corrupt_frames == 2, "it, and the one that is missing"


def test_many_bad_frames_in_a_large_segment_cost_only_themselves() -> None:
    batches = [builders.batch(1, latency_us=number) for number in range(400)]
    made = [frames.framed([frames.predictions_payload(batch)], 2 + at) for at, batch in enumerate(batches)]
    bad = set(range(0, 400, 7))
    content = _segment(*FRAMES[:2], *(_flipped(frame, 20) if at in bad else frame for at, frame in enumerate(made)))
    contents = _read(content)
    assert contents.predictions == [batch for at, batch in enumerate(batches) if at not in bad]
    assert contents.corrupt_frames == len(bad)


def test_predictions_whose_schema_is_damaged_are_counted_not_guessed() -> None:
    contents = _read(_segment(FRAMES[0], _flipped(FRAMES[1], len(FRAMES[1]) - 1), *FRAMES[2:]))
    assert contents.predictions == []
    assert contents.labels == LABELS
    assert contents.corrupt_frames == 1 + len(BATCHES)


STRANGE = {
    "no kind": b"x{}",
    "no JSON": b"p{",
    "too few fields": b"p[1,2]",
    "not a list": b"p7",
    "labels that are none": b"l[[1]]",
    "a schema without a version": b"s{}",
    "a header of another shape": b'h{"author":"ann"}',
    "arrays that are not there": b"a\xff\xff\x00\x00[]",
    "arrays without a length": b"a",
}


@pytest.mark.parametrize("payload", STRANGE)
def test_a_sound_frame_that_makes_no_sense_is_counted_and_not_raised(payload: str) -> None:
    contents = _read(_segment(*FRAMES[:2], frames.framed([STRANGE[payload]], 2), *FRAMES[3:]))
    assert contents.predictions == BATCHES[1:]
    assert contents.corrupt_frames == 1


def test_the_header_can_be_read_alone_from_the_first_bytes() -> None:
    first = len(frames.MAGIC) + len(FRAMES[0])
    assert read_header(WHOLE) == read_header(WHOLE[:first]) == HEADER
    assert read_header(WHOLE[: first - 1]) is None
    assert read_header(_flipped(WHOLE, 40)) is None
    assert read_header(b"") is None
    assert read_header(_segment(FRAMES[1])) is None


def test_schemas_have_the_same_digest_only_when_they_are_the_same() -> None:
    schema = builders.schema()
    others = [
        replace(schema, version=2),
        replace(schema, classes=("yes", "no")),
        replace(schema, kinds={"town": "categorical", "a": "numeric"}),
    ]
    assert frames.schema_digest(builders.schema()) == frames.schema_digest(schema)
    assert len({frames.schema_digest(each) for each in [schema, *others]}) == 4


def test_arrays_are_kept_as_they_are_and_read_as_lists() -> None:
    kinds = {"x": "numeric", "town": "categorical", "y": "numeric", "n": "integer"}
    schema = builders.schema(kinds=kinds)
    numbers = np.array([0.1, -1e-300, np.nan, 1e300])
    columns = {"x": numbers, "town": ["a", None, "b", "c"], "y": numbers[::-1].copy(), "n": np.arange(4)}
    batch = builders.batch(4, columns=columns)
    payloads = [frames.header_payload(HEADER), frames.schema_payload(schema), frames.predictions_payload(batch)]
    contents = _read(_segment(frames.framed(payloads, 0)))
    (record,), (found,) = contents.records, contents.predictions
    assert np.array_equal(record[frames.COLUMNS][0], numbers, equal_nan=True)
    assert found.columns == {
        "x": [0.1, -1e-300, None, 1e300],
        "town": ["a", None, "b", "c"],
        "y": [1e300, None, -1e-300, 0.1],
        "n": [0, 1, 2, 3],
    }
    assert found.ids == batch.ids


def test_a_segment_that_is_not_as_long_as_when_it_was_sealed_is_damaged_though_its_frames_are_whole() -> None:
    content = frames.MAGIC + frames.framed([frames.labels_payload([builders.label("x")])] * 2, 0)
    shorter = content[: len(frames.MAGIC) + (len(content) - len(frames.MAGIC)) // 2]
    assert read_segment(shorter, sealed=True).corrupt_frames == 0
    assert read_segment(shorter, sealed=True, size=len(content)).corrupt_frames == 1
    assert read_segment(b"", sealed=True, size=len(content)).corrupt_frames == 1
    assert read_segment(content, sealed=True, size=len(content)).corrupt_frames == 0
