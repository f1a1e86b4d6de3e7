"""What a segment holds, byte by byte: a magic line, then frames of length, CRC-32C and payload.

A payload is one kind byte and JSON, for bulk followed by arrays of numbers. The first frame is the header; a schema frame precedes the first batch that needs
it, so a segment can be read without anything else, and a batch need not name its columns again. Reading never raises on
damaged bytes: it counts them.
"""

import math
import struct
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import google_crc32c
import numpy as np
import orjson

from lifecycle.records import Label, LogSchema, PredictionBatch

MAGIC = b"evenkeel-segment-2\n"
_PREFIX, _LENGTH = struct.Struct("<II"), struct.Struct("<I")
COLUMNS = 7
"""Where a batch has its columns."""
FrameKind = Literal[b"h", b"s", b"p", b"a", b"l"]


@dataclass(frozen=True)
class SegmentHeader:
    """Who wrote a segment, which one of theirs it is, and when it was opened (microseconds since 1970)."""

    writer: str
    sequence: int
    opened_at: int


@dataclass
class SegmentContents:
    """All that could be read of a segment, and how much could not.

    `torn_bytes` is an incomplete last frame, as a crash leaves it; `corrupt_frames` counts frames that are there but
    fail their checksum, and an unreadable rest of a segment that had been sealed.
    """

    header: SegmentHeader | None = None
    schemas: dict[int, LogSchema] = field(default_factory=dict)
    predictions: list[PredictionBatch] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    torn_bytes: int = 0
    corrupt_frames: int = 0


def encode(kind: FrameKind, record: object) -> bytes:
    """One frame: length, checksum, kind, JSON."""
    return _frame(kind + orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY))


def _frame(payload: bytes) -> bytes:
    return _PREFIX.pack(len(payload), google_crc32c.value(payload)) + payload


def encode_header(header: SegmentHeader) -> bytes:
    return MAGIC + encode(b"h", asdict(header))


def encode_schema(schema: LogSchema) -> bytes:
    return encode(b"s", asdict(schema))


def encode_predictions(batch: PredictionBatch) -> bytes:
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
    record = (
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
    )
    if not arrays:
        return encode(b"p", record)
    text = orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY)
    return _frame(b"".join([b"a", _LENGTH.pack(len(text)), text, *arrays]))


def _with_arrays(payload: bytes) -> list[Any]:
    """The record of a frame of kind `a`, its arrays as lists, with None for what is missing."""
    (length,) = _LENGTH.unpack_from(payload, 1)
    at = 1 + _LENGTH.size + length
    record: list[Any] = orjson.loads(payload[at - length : at])
    columns = record[COLUMNS]
    for index, count in enumerate(columns):
        if isinstance(count, int):
            numbers = np.frombuffer(payload, np.float64, count, at)
            columns[index] = [None if math.isnan(number) else number for number in numbers.tolist()]
            at += numbers.nbytes
    return record


def _batch(record: list[Any], schemas: dict[int, LogSchema]) -> PredictionBatch | None:
    """What `encode_predictions` wrote; None when the schema that names its columns is not known."""
    request_id, at, model, version, generation, protocol, ids, columns, predictions, scores, latency_us, key_id = record
    schema = schemas.get(version)
    if schema is None:
        return None
    return PredictionBatch(
        request_id=request_id,
        at=at,
        model=model,
        version=version,
        generation=generation,
        protocol=protocol,
        ids=ids,
        columns=dict(zip(schema.kinds, columns, strict=True)),
        predictions=predictions,
        probabilities=dict(zip(schema.classes, scores, strict=True)) if scores else {},
        latency_us=latency_us,
        key_id=key_id,
    )


def encode_labels(labels: list[Label]) -> bytes:
    return encode(b"l", labels)


def read_segment(path: Path, *, sealed: bool) -> SegmentContents:
    """Decode a segment. `sealed` says whether its writer closed it: only an unsealed one may end in a torn frame."""
    contents = SegmentContents()
    data = memoryview(path.read_bytes())
    if not data:
        return contents  # its writer ended, or its disk was full, before the first byte
    if bytes(data[: len(MAGIC)]) != MAGIC:
        _unreadable(contents, len(data), sealed=sealed)
        return contents
    at = len(MAGIC)
    while at < len(data):
        payload = _payload(data, at)
        if payload is None:
            _unreadable(contents, len(data) - at, sealed=sealed)
            break
        at += _PREFIX.size + len(payload)
        checksum = _PREFIX.unpack_from(data, at - _PREFIX.size - len(payload))[1]
        if google_crc32c.value(bytes(payload)) != checksum:
            if at == len(data) and not sealed:
                contents.torn_bytes += _PREFIX.size + len(payload)
            else:
                contents.corrupt_frames += 1
            continue
        _take(contents, bytes(payload[:1]), bytes(payload))
    return contents


def _payload(data: memoryview, at: int) -> memoryview | None:
    if at + _PREFIX.size > len(data):
        return None
    length, _ = _PREFIX.unpack_from(data, at)
    start = at + _PREFIX.size
    return data[start : start + length] if 0 < length <= len(data) - start else None


def _unreadable(contents: SegmentContents, size: int, *, sealed: bool) -> None:
    if sealed:
        contents.corrupt_frames += 1
    else:
        contents.torn_bytes += size


def _take(contents: SegmentContents, kind: bytes, payload: bytes) -> None:
    record: Any = _with_arrays(payload) if kind == b"a" else orjson.loads(payload[1:])
    if kind in (b"a", b"p"):
        batch = _batch(record, contents.schemas)
        if batch is None:
            contents.corrupt_frames += 1  # its schema frame was damaged, so its columns have no names
        else:
            contents.predictions.append(batch)
    elif kind == b"l":
        contents.labels.extend(Label(**label) for label in record)
    elif kind == b"s":
        schema = LogSchema(record["version"], record["kinds"], tuple(record["classes"]))
        contents.schemas[schema.version] = schema
    elif kind == b"h":
        contents.header = SegmentHeader(**record)
