"""Rows of the feature log as text: JSON lines, CSV, and cells for a terminal. Moments are ISO 8601 in UTC."""

import math
from collections.abc import Iterable
from datetime import datetime
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
MOMENT_FORM = "%Y-%m-%dT%H:%M:%SZ"
"""Of Arrow, whose seconds have their fraction."""


def json_line(row: dict[str, Any]) -> bytes:
    """One object and a line's end; a number that JSON does not know is null."""
    return orjson.dumps(row, default=str, option=OPTIONS)


def write_json_lines(batches: Iterable[pa.RecordBatch], sink: IO[bytes]) -> int:
    """One object per row; how many."""
    count = 0
    for batch in batches:
        sink.write(b"".join(map(json_line, batch.to_pylist())))
        count += batch.num_rows
    return count


def write_csv(schema: pa.Schema, batches: Iterable[pa.RecordBatch], sink: IO[bytes]) -> int:
    """A header and one line per row, null as nothing; how many rows."""
    count = 0
    wanted = pa.schema([(field.name, pa.string() if _is_written(field.type) else field.type) for field in schema])
    with pyarrow.csv.CSVWriter(sink, wanted) as writer:
        for batch in batches:
            columns = [_text(column) if _is_written(column.type) else column for column in batch.columns]
            writer.write_batch(pa.record_batch(columns, schema=wanted))
            count += batch.num_rows
    return count


def cell(value: object) -> str:
    """A value in few characters, none of which a terminal would obey: callers write what features hold."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    return "".join(character if character.isprintable() else " " for character in str(value))


def _is_written(kind: pa.DataType) -> bool:
    """Whether this module has to write such values, because Arrow's CSV cannot, or writes them in another form."""
    plain = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return not (plain or pa.types.is_string(kind) or pa.types.is_null(kind))


def _text(values: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(values.type):
        return pc.strftime(values, MOMENT_FORM)
    try:
        return values.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return pa.array([None if value is None else str(value) for value in values.to_pylist()], pa.string())
