"""A segment's records as Arrow tables: turned into columns many records at a time, with no object per row.

Speed matters here: every answered row passes once, in the process that also writes and verifies the tables. A record that
is sound by its checksum but is no row of its schema counts as a corrupt frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from lifecycle.feature_log.frames import FIELDS, VERSION, Record, SegmentHeader, read_segment, without_collection
from lifecycle.feature_log.placing import MOMENT
from lifecycle.feature_log.table import FEATURE, PROBABILITY, prediction_schema
from lifecycle.ids import is_uuid7, milliseconds_of
from lifecycle.records import Label, LogSchema

DAY_MICROSECONDS = 86_400_000_000
_LAST_DAY = 2_932_896
"""9999-12-31, in days since 1970: a forged identifier may claim to be of a later one, which no calendar here holds."""
_LONG = 256
"""Rows from which on a record is a table of its own, and its arrays are taken as they are."""
_SHARED = (
    "request_id",
    "at",
    "model",
    "version",
    "generation",
    "protocol",
    "latency_us",
    "key_id",
    "sampling_rate",
)
"""What all rows of a record have in common."""
_EACH = {"id": "ids", "external_id": "external_ids", "subject": "subjects", "prediction": "predictions"}
"""Columns with a value for each row, and the record's field they come from."""
_PLACE = {name: place for place, name in enumerate(FIELDS)}


@dataclass
class SegmentRows:
    """All that could be read of a segment. Each of `predictions` is of one schema, each of `labels` of texts or of numbers."""

    header: SegmentHeader | None = None
    predictions: list[tuple[LogSchema, pa.Table]] = field(default_factory=list)
    labels: list[pa.Table] = field(default_factory=list)
    torn_bytes: int = 0
    sound_bytes: int = 0
    corrupt_frames: int = 0

    @property
    def count(self) -> int:
        return sum(len(table) for table in (*(rows for _, rows in self.predictions), *self.labels))


def decode(data: bytes, *, sealed: bool, size: int | None = None) -> SegmentRows:
    """The rows of a segment, those of one version in the order they were appended; never raises on damaged bytes.

    `sealed` and `size` are those of `read_segment`.
    """
    with without_collection():
        contents = read_segment(data, sealed=sealed, size=size)
        found = SegmentRows(
            header=contents.header,
            labels=label_tables(contents.labels),
            torn_bytes=contents.torn_bytes,
            sound_bytes=contents.sound_bytes,
            corrupt_frames=contents.corrupt_frames,
        )
        for version, records in _by_version(contents.records).items():
            schema = contents.schemas[version]
            tables, wrong = prediction_tables(records, schema)
            found.predictions += [(schema, table) for table in tables]
            found.corrupt_frames += wrong
    return found


def _by_version(records: Sequence[Record]) -> dict[int, list[Record]]:
    found: dict[int, list[Record]] = {}
    for record in records:
        found.setdefault(record[VERSION], []).append(record)
    return found


def prediction_tables(records: Sequence[Record], schema: LogSchema) -> tuple[list[pa.Table], int]:
    """Records of one version as a table, and how many of them are no rows of its schema."""
    short = [record for record in records if len(record[_PLACE["ids"]]) < _LONG]
    groups = [short] if short else []
    groups += [[record] for record in records if len(record[_PLACE["ids"]]) >= _LONG]
    tables, wrong = [], 0
    for group in groups:
        found, failed = _tables(group, schema)
        tables += found
        wrong += failed
    return ([pa.concat_tables(tables).combine_chunks()] if tables else []), wrong


def _tables(records: Sequence[Record], schema: LogSchema) -> tuple[list[pa.Table], int]:
    """One table when all is well; else halves of it, so that one wrong record costs itself alone."""
    try:
        return [_table(records, schema)], 0
    except (ValueError, TypeError, IndexError, AttributeError, OverflowError, pa.ArrowException):
        if len(records) == 1:
            return [], 1
    middle = len(records) // 2
    first, second = _tables(records[:middle], schema), _tables(records[middle:], schema)
    return first[0] + second[0], first[1] + second[1]


def _table(records: Sequence[Record], schema: LogSchema) -> pa.Table:
    wanted = prediction_schema(schema)
    fields = dict(zip(FIELDS, zip(*records, strict=True), strict=True))
    counts = list(map(len, fields["ids"]))
    columns: dict[str, pa.Array] = {}
    for name in _SHARED:
        columns[name] = pa.array(fields[name], wanted.field(name).type)
    columns["day"] = days(columns["at"])
    repeated = sum(counts) != len(counts)
    if repeated:
        places = pa.array(np.repeat(np.arange(len(counts)), counts))
        columns = {name: values.take(places) for name, values in columns.items()}
    for name, source in _EACH.items():
        columns[name] = _column(_filled(fields[source], counts), wanted.field(name).type)
    named = [FEATURE + name for name in schema.kinds]
    for name, parts in zip(named, zip(*fields["columns"], strict=True), strict=True):
        some = [_listed(part) for part in parts] if repeated and len(parts) > 1 else parts  # no array has one row
        columns[name] = _column(some, wanted.field(name).type)
    scored = [PROBABILITY + name for name in schema.classes]
    nothing = [None] * len(scored)
    for name, parts in zip(
        scored, zip(*(found or nothing for found in fields["probabilities"]), strict=True), strict=True
    ):
        columns[name] = _column(_filled(parts, counts), wanted.field(name).type)
    return pa.table([columns[name] for name in wanted.names], schema=wanted)


def _filled(parts: Sequence[Any], counts: Sequence[int]) -> Sequence[Any]:
    """A list of nothings for a part that is missing."""
    if None not in parts:
        return parts
    return [[None] * count if part is None else part for part, count in zip(parts, counts, strict=True)]


def _column(parts: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Lists one after the other; an array's NaN is a missing value."""
    values = parts[0] if len(parts) == 1 else list(chain.from_iterable(parts))
    return pa.array(values, kind, from_pandas=True)


def _listed(part: Any) -> list[Any]:
    return part if type(part) is list else part.tolist()


def days(moments: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The UTC day of each moment as a text; one text is made per different day."""
    return _texts(moments.cast(pa.int64()).to_numpy() // DAY_MICROSECONDS)


def _texts(since_1970: Any) -> pa.Array:
    different, places = np.unique(np.clip(since_1970, 0, _LAST_DAY), return_inverse=True)
    texts = different.astype("datetime64[D]").astype(str).tolist()
    return pa.array(texts, pa.string()).take(pa.array(places))


def label_schema(kind: pa.DataType) -> pa.Schema:
    """The columns of labels whose values are of `kind`, waiting or not."""
    texts = [("id", pa.string()), ("external_id", pa.string()), ("day", pa.string())]
    return pa.schema(
        [*texts, ("label", kind), ("observed_at", MOMENT), ("received_at", MOMENT), ("key_id", pa.string())]
    )


def label_tables(labels: Sequence[Label]) -> list[pa.Table]:
    """Labels as rows, texts and numbers apart. `day` is the prediction's, for a label by external id that of its arrival."""
    kinds = ((pa.string(), True), (pa.float64(), False))
    split = [(kind, [label for label in labels if isinstance(label.label, str) is text]) for kind, text in kinds]
    return [_label_table(rows, label_schema(kind)) for kind, rows in split if rows]


def _label_table(labels: Sequence[Label], wanted: pa.Schema) -> pa.Table:
    columns: dict[str, Any] = {
        name: [getattr(label, name) for label in labels] for name in wanted.names if name != "day"
    }
    columns["day"] = _texts(np.fromiter(map(_day, labels), np.int64, len(labels)))
    return pa.table([pa.array(columns[name], wanted.field(name).type) for name in wanted.names], schema=wanted)


def _day(label: Label) -> int:
    if label.id is None or not is_uuid7(label.id):
        return label.received_at // DAY_MICROSECONDS
    return milliseconds_of(label.id) * 1000 // DAY_MICROSECONDS
