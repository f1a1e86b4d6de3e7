"""What a segment holds, byte by byte: a magic line, then frames of length, CRC-32C, sequence and payload.

A payload is one kind byte and JSON, for bulk followed by arrays of numbers. The first frame is the header; a schema frame precedes the first batch that needs
it, so a segment can be read without anything else, and a batch need not name its columns again. The checksum covers the sequence too, which counts the frames of
the file, so one that was lost, doubled or moved shows. Reading never raises on damaged bytes: it counts them, and goes on at the next sound frame.
"""

import gc
import hashlib
import math
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import google_crc32c
import numpy as np
import numpy.typing as npt
import orjson

from lifecycle.records import Label, LogSchema, PredictionBatch

MAGIC: Final = b"evenkeel-segment-3\n"
_PREFIX, _NUMBER = struct.Struct("<III"), struct.Struct("<I")
_AFTER_CHECKSUM = 8
"""From where on a frame's checksum covers it."""
_WINDOW = 2**16
"""How far to look at once for the next sound frame."""
FIELDS: Final = (
    "request_id",
    "at",
    "model",
    "version",
    "generation",
    "protocol",
    "ids",
    "columns",
    "predictions",
    "probabilities",
    "latency_us",
    "key_id",
    "external_ids",
    "subjects",
    "sampling_rate",
)
"""What a record of predictions is made of, in order; columns and probabilities are lists in the order of its schema."""
VERSION: Final = FIELDS.index("version")
COLUMNS: Final = FIELDS.index("columns")
Record = list[Any]


@dataclass(frozen=True)
class SegmentHeader:
    """Who wrote a segment, which one of theirs it is, and when it was opened (microseconds since 1970).

    `boot` names the run of the machine's kernel, empty where there is none; `schema` is the digest of the schema of the
    first predictions, None when labels came first.
    """

    writer: str
    sequence: int
    opened_at: int
    boot: str = ""
    pid: int = 0
    schema: str | None = None


@dataclass
class SegmentContents:
    """All that could be read of a segment, and how much could not.

    `records` are predictions as they were written, each a list of `FIELDS` whose columns may be arrays of float64 with NaN for
    what is missing, and whose schema is in `schemas`. `torn_bytes` at the end are what a crash leaves of frames, and what
    precedes them are `sound_bytes`; `corrupt_frames` counts frames that are damaged, missing or not in their place, and an
    unreadable rest of a segment that had been sealed.
    """

    header: SegmentHeader | None = None
    schemas: dict[int, LogSchema] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list, repr=False)
    labels: list[Label] = field(default_factory=list)
    torn_bytes: int = 0
    sound_bytes: int = 0
    corrupt_frames: int = 0

    @property
    def predictions(self) -> list[PredictionBatch]:
        """The records as they were appended; for few, since a list of numbers is made of each column."""
        return [_batch(record, self.schemas[record[VERSION]]) for record in self.records]


def header_payload(header: SegmentHeader) -> bytes:
    return b"h" + orjson.dumps(header)


def schema_payload(schema: LogSchema) -> bytes:
    return b"s" + orjson.dumps(asdict(schema))


def schema_digest(schema: LogSchema) -> str:
    """The same for two schemas only if they are the same."""
    return hashlib.sha256(schema_payload(schema)).hexdigest()


def labels_payload(labels: list[Label]) -> bytes:
    return b"l" + orjson.dumps(
        [
            (label.id, label.label, label.observed_at, label.received_at, label.key_id, label.external_id)
            for label in labels
        ]
    )


def predictions_payload(batch: PredictionBatch) -> bytes:
    """The batch as a list: columns and probabilities without names, in the order of its schema.

    Arrays of float64 follow the JSON as they are, and have a length in it: numbers in text cost more than all the rest.
    """
    columns = list(batch.columns.values())
    arrays: list[bytes] = []
    if len(batch.ids) > 1:
        for index, values in enumerate(columns):
            if type(values) is np.ndarray and values.dtype == np.float64:
                columns[index] = len(values)
                arrays.append(values.tobytes())
    text = orjson.dumps(
        (
            batch.request_id,
            batch.at,
            batch.model,
            batch.version,
            batch.generation,
            batch.protocol,
            batch.ids,
            columns,
            batch.predictions,
            list(batch.probabilities.values()),
            batch.latency_us,
            batch.key_id,
            batch.external_ids,
            batch.subjects,
            batch.sampling_rate,
        ),
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    if not arrays:
        return b"p" + text
    return b"".join([b"a", _NUMBER.pack(len(text)), text, *arrays])


def framed(payloads: Sequence[bytes], sequence: int) -> bytes:
    """Frames of a file that has `sequence` frames already."""
    parts: list[bytes] = []
    for number, payload in enumerate(payloads, sequence):
        checksum = google_crc32c.extend(google_crc32c.value(_NUMBER.pack(number)), payload)
        parts += (_PREFIX.pack(len(payload), checksum, number), payload)
    return b"".join(parts)


def read_segment(data: bytes, *, sealed: bool, size: int | None = None) -> SegmentContents:
    """Decode a segment. `sealed` says whether its writer closed it: only an unsealed one may end in a torn frame.

    `size` are the bytes it was sealed with, where that is known: frames that are whole may still not be all there were.
    """
    contents = SegmentContents(sound_bytes=len(data))
    reading = _Reading(data)
    with without_collection():
        for payload in reading.payloads():
            try:
                _take(contents, payload)
            except (ValueError, TypeError, KeyError, IndexError, struct.error):
                reading.corrupt_frames += 1  # sound bytes that nothing of ours has written
    if reading.end < len(data):
        if sealed:
            reading.corrupt_frames += 1
        else:
            contents.torn_bytes = len(data) - reading.end
            contents.sound_bytes = reading.end
    if size not in (None, len(data)):
        reading.corrupt_frames = max(reading.corrupt_frames, 1)
    contents.corrupt_frames = reading.corrupt_frames
    return contents


def read_header(data: bytes) -> SegmentHeader | None:
    """The header alone, when it is sound: cheap for a segment of any size, or its first bytes."""
    if not data.startswith(MAGIC) or (end := _end_of_frame(data, len(MAGIC))) is None:
        return None
    contents = read_segment(data[:end], sealed=True)
    return contents.header


@contextmanager
def without_collection() -> Iterator[None]:
    """Looking for cycles among hundreds of thousands of new lists, which have none, takes three times as long as making them."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class _Reading:
    """One pass over the frames of a file. `end` is that of the last sound frame seen.

    Each sound frame is given once, wherever it is; what is counted is each that is missing where it belongs, each that is there again,
    and each stretch that holds none.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._most = len(data) // _PREFIX.size
        self._expected = 0
        self._missing: set[int] = set()
        self.end = 0
        self.corrupt_frames = 0

    def payloads(self) -> Iterator[bytes]:
        """Of the sound frames, in order."""
        data, at, damaged = self._data, 0, True
        if data.startswith(MAGIC):
            at = self.end = len(MAGIC)
            damaged = False
        while at < len(data):
            end = _end_of_frame(data, at)
            if end is None:
                found = _next_frame(data, at + 1, self._most)
                if found is None:
                    return
                at, damaged = found, True
                continue
            sequence: int = _PREFIX.unpack_from(data, at)[2]
            if sequence == self._expected and not damaged:
                self._expected += 1
                yield data[at + _PREFIX.size : end]
            elif self._is_new(sequence, damaged=damaged):
                yield data[at + _PREFIX.size : end]
            at = self.end = end
            damaged = False

    def _is_new(self, sequence: int, *, damaged: bool) -> bool:
        """Whether a frame that follows damage, or is not the expected one, was not given before."""
        missing = range(self._expected, sequence)
        if len(missing) > self._most:
            self.corrupt_frames += 1
            return False
        self._missing.update(missing)
        late = sequence in self._missing
        again = sequence < self._expected and not late
        self.corrupt_frames += max(len(missing), int(damaged or again))
        self._missing.discard(sequence)
        self._expected = max(self._expected, sequence + 1)
        return not again


def _end_of_frame(data: bytes, at: int) -> int | None:
    """Where the frame at `at` ends; None when there is no sound one."""
    begin = at + _PREFIX.size
    if begin > len(data):
        return None
    length, checksum, _ = _PREFIX.unpack_from(data, at)
    end: int = begin + length
    if not 0 < length <= len(data) - begin or google_crc32c.value(data[at + _AFTER_CHECKSUM : end]) != checksum:
        return None
    return end


def _next_frame(data: bytes, begin: int, most: int) -> int | None:
    """Where the next sound frame begins, at `begin` or later, in a file that has at most `most`."""
    last = len(data) - _PREFIX.size
    for start in range(begin, last, _WINDOW):
        count = min(_WINDOW, last - start)
        # The numbers at every byte of the window, as if a frame began there.
        lengths: npt.NDArray[np.uint32] = np.ndarray((count,), "<u4", data, start, (1,))
        sequences: npt.NDArray[np.uint32] = np.ndarray((count,), "<u4", data, start + _AFTER_CHECKSUM, (1,))
        room = last - start - np.arange(count)
        for offset in np.flatnonzero((lengths > 0) & (lengths <= room) & (sequences <= most)).tolist():
            if _end_of_frame(data, start + offset) is not None:
                return start + int(offset)
    return None


def _take(contents: SegmentContents, payload: bytes) -> None:
    kind = payload[:1]
    if kind in (b"p", b"a"):
        record: Record = orjson.loads(payload[1:]) if kind == b"p" else _with_arrays(payload)
        if len(record) != len(FIELDS) or record[VERSION] not in contents.schemas:
            raise ValueError("the columns of a record have no names, as when its schema's frame is damaged")
        contents.records.append(record)
    elif kind == b"l":
        contents.labels += [Label(*label) for label in orjson.loads(payload[1:])]
    elif kind == b"s":
        found = orjson.loads(payload[1:])
        schema = LogSchema(found["version"], found["kinds"], tuple(found["classes"]))
        contents.schemas[schema.version] = schema
    elif kind == b"h":
        contents.header = SegmentHeader(**orjson.loads(payload[1:]))
    else:
        raise ValueError("no frame is of this kind")


def _with_arrays(payload: bytes) -> Record:
    """The record of a frame of kind `a`, with the arrays that follow it in their columns."""
    (length,) = _NUMBER.unpack_from(payload, 1)
    at = 1 + _NUMBER.size + length
    record: Record = orjson.loads(payload[at - length : at])
    columns = record[COLUMNS]
    for index, count in enumerate(columns):
        if isinstance(count, int):
            columns[index] = np.frombuffer(payload, np.float64, count, at).copy()  # aligned, unlike where it was
            at += columns[index].nbytes
    return record


def _batch(record: Record, schema: LogSchema) -> PredictionBatch:
    fields = dict(zip(FIELDS, record, strict=True))
    fields["columns"] = dict(zip(schema.kinds, map(_listed, fields["columns"]), strict=True))
    scores = fields["probabilities"]
    fields["probabilities"] = dict(zip(schema.classes, scores, strict=True)) if scores else {}
    return PredictionBatch(**fields)


def _listed(values: Any) -> list[Any]:
    if isinstance(values, list):
        return values
    return [None if math.isnan(number) else number for number in values.tolist()]
