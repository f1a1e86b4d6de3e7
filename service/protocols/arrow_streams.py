"""Arrow streams as columns and back. A stream is hostile until proven harmless: no value is touched before that.

Messages are counted and their sizes added up first, decompressed, so that neither a short body nor a large number in it
makes this process allocate more than MOST_BYTES; then every batch is validated in full. Columns of numbers are not copied.
"""

import struct
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from lifecycle.checking import LONGEST_TEXT
from lifecycle.errors import InputRejected, Problem
from service.exchange import Refused

MOST_MESSAGES = 4_096
MOST_BYTES = 64 * 2**20
LONGEST_TEXT_BYTES = 4 * LONGEST_TEXT
INDEX_COLUMN = "__index_level_"
"""How pandas names an index that it writes as a column."""
TEXT, NUMBER = pa.string(), pa.float64()
ANSWERS: Mapping[type, pa.DataType] = {float: NUMBER, int: pa.int64(), bool: pa.bool_(), str: TEXT}
"""The type of the predictions, by the type of the target's labels."""
_DICTIONARY, _BATCH = 2, 3
_READING = ipc.IpcReadOptions(use_threads=False, ensure_alignment=ipc.Alignment.DataTypeSpecific)
_UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError, struct.error)
"""What pyarrow, or a look at the bytes, raises for a stream that is not one."""


class Stream(NamedTuple):
    """`rows` as columns by name; names that no model has are there without their values."""

    columns: Mapping[str, Any]
    rows: int


def read(body: bytes, names: Collection[str], limit: int) -> Stream:
    """The columns `names`, as far as `body` has them, of at most `limit` rows.

    Raises Refused for what is not a stream of Arrow, or too large, and InputRejected for a column of an unusable type.
    """
    try:
        _survey(body, limit)
        source = pa.BufferReader(pa.py_buffer(body))
        reader = ipc.open_stream(source, options=_READING)
        batches = list(reader)
        for batch in batches:
            batch.validate(full=True)
        found: list[str] = reader.schema.names
    except _UNREADABLE as error:
        message = (
            "the body is not one stream of Arrow record batches, or is damaged; write it with an IPC stream writer"
        )
        raise Refused(400, "malformed_arrow", message) from error
    if source.tell() < len(body):
        raise Refused(400, "malformed_arrow", "something follows the stream; send one stream and nothing else")
    if len(set(found)) < len(found):
        raise Refused(400, "malformed_arrow", "the stream has two columns of one name; send each column once")
    usable = frozenset(names)
    columns = {
        name: _joined(name, [batch.column(index) for batch in batches]) if name in usable else ()
        for index, name in enumerate(found)
        if not name.startswith(INDEX_COLUMN) or name in usable
    }
    return Stream(columns, sum(batch.num_rows for batch in batches))


def write(columns: Mapping[str, tuple[pa.DataType, list[Any]]], facts: Mapping[str, str]) -> bytes:
    """One stream of one batch; `facts` are the schema's metadata."""
    schema = pa.schema([(name, kind) for name, (kind, _) in columns.items()], facts)
    arrays = [pa.array(values, kind) for kind, values in columns.values()]
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    found: bytes = sink.getvalue().to_pybytes()
    return found


def _survey(body: bytes, limit: int) -> None:
    """Raises Refused when the stream says that it is too large, before anything of it is unpacked."""
    messages = rows = size = 0
    for message in ipc.MessageReader.open_stream(pa.py_buffer(body)):
        messages += 1
        if messages > MOST_MESSAGES:
            raise _too_large(f"a stream takes at most {MOST_MESSAGES} messages; write larger batches")
        kind, batch = _batch_of(memoryview(message.metadata))
        if batch is None:
            continue
        if kind == _BATCH:
            rows += batch.integer(0, "<Q")
            if rows > limit:
                raise _too_large(f"a request takes at most {limit} rows; send several")
        size += _unpacked(batch, memoryview(message.body))
        if size > MOST_BYTES:
            raise _too_large(f"a stream takes at most {MOST_BYTES} bytes when it is decompressed; send several")


def _too_large(message: str) -> Refused:
    return Refused(413, "too_large", message)


class _Table(NamedTuple):
    """A table of a flatbuffer, as far as it is needed here: `at` is where it begins in `bytes`."""

    bytes: memoryview
    at: int

    def field(self, number: int) -> int | None:
        """Where the field begins; None when it is not there."""
        table = self.at - _number(self.bytes, self.at, "<i")
        slot = 4 + 2 * number
        offset = _number(self.bytes, table + slot, "<H") if slot + 2 <= _number(self.bytes, table, "<H") else 0
        return self.at + offset if offset else None

    def integer(self, number: int, form: str) -> int:
        """A field that is a number; 0 when it is not there."""
        at = self.field(number)
        return 0 if at is None else _number(self.bytes, at, form)

    def follow(self, number: int) -> "_Table | None":
        """What a field points to."""
        at = self.field(number)
        return None if at is None else _Table(self.bytes, at + _number(self.bytes, at, "<I"))

    def pairs(self, number: int) -> Sequence[tuple[int, int]]:
        """A field that is a vector of pairs of 64-bit integers."""
        vector = self.follow(number)
        if vector is None:
            return ()
        begin = vector.at + 4
        return list(struct.iter_unpack("<qq", self.bytes[begin : begin + 16 * _number(self.bytes, vector.at, "<I")]))


def _number(found: memoryview, at: int, form: str) -> int:
    if at < 0:
        raise ValueError("the message points outside itself")
    number: int = struct.unpack_from(form, found, at)[0]
    return number


def _batch_of(metadata: memoryview) -> tuple[int, _Table | None]:
    """The kind of a message and its record batch, which a dictionary is too; None for a schema. Others are refused."""
    message = _Table(metadata, _number(metadata, 0, "<I"))
    kind = message.integer(1, "<B")
    header = message.follow(2)
    if kind == _DICTIONARY and header is not None:
        return kind, header.follow(1)
    return kind, header if kind == _BATCH else None


def _unpacked(batch: _Table, body: memoryview) -> int:
    """The size of a batch's buffers once they are decompressed, as each of them says in its first eight bytes."""
    if batch.field(3) is None:
        return len(body)
    size = 0
    for offset, length in batch.pairs(2):
        if offset < 0 or length < 0:
            raise ValueError("a buffer lies outside the message")
        if length:
            size += max(struct.unpack_from("<q", body, offset)[0], length)
    return size


def _joined(name: str, arrays: Sequence[pa.Array]) -> Any:
    parts = [_column(name, array) for array in arrays]
    if len(parts) == 1:
        return parts[0]
    if parts and all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return [value for part in parts for value in (part.tolist() if isinstance(part, np.ndarray) else part)]


def _column(name: str, array: pa.Array) -> Any:
    """A numpy array where nothing is missing or NaN and NaT can say so, a list with None otherwise."""
    kind, complete, types = array.type, not array.null_count, pa.types
    if types.is_floating(kind) or types.is_integer(kind):
        if complete:
            return np.from_dlpack(array)
        if types.is_floating(kind) or kind.bit_width <= 32:
            return array.to_numpy(
                zero_copy_only=False
            )  # NaN where there is nothing: doubles hold such integers exactly
        return array.to_pylist()
    if types.is_boolean(kind):
        return array.to_numpy(zero_copy_only=False) if complete else array.to_pylist()
    if types.is_timestamp(kind) or types.is_date(kind):
        return array.to_numpy(zero_copy_only=False)
    if types.is_string(kind) or types.is_large_string(kind):
        return array.to_numpy(zero_copy_only=False).tolist()
    if types.is_string_view(kind):
        return _viewed(name, array)
    if types.is_dictionary(kind) and not types.is_dictionary(kind.value_type):
        return _looked_up(name, array)
    if types.is_null(kind):
        return [None] * len(array)
    wanted = "send numbers, booleans, strings, dates or timestamps"
    problem = Problem(None, name, f"is of the Arrow type {str(kind)[:100]}; {wanted}")
    raise InputRejected(f"field {name!r} {problem.problem}", (problem,))


def _viewed(name: str, array: pa.Array) -> list[Any]:
    """A column of views, of which many can show the same bytes: a short stream may hold gigabytes of text."""
    lengths = np.frombuffer(array.buffers()[1], np.int32, 4 * len(array), 16 * array.offset)[::4]
    if lengths.size and lengths.max() > LONGEST_TEXT_BYTES:
        problem = Problem(int(lengths.argmax()), name, f"must be a text of at most {LONGEST_TEXT} characters")
        raise InputRejected(f"row {problem.row}, field {name!r} {problem.problem}", (problem,))
    found: list[Any] = array.to_numpy(zero_copy_only=False).tolist()
    return found


def _looked_up(name: str, array: pa.Array) -> Any:
    """A column of indices into a dictionary: the rows share its values, however long these are."""
    values = _column(name, array.dictionary)
    if isinstance(values, np.ndarray):
        if not array.null_count:
            return values[array.indices.to_numpy()]
        values = values.tolist()
    return [None if index is None else values[index] for index in array.indices.to_pylist()]
