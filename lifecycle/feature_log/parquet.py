"""Parquet files as the tables hold them: sorted, with checksums, which every read verifies.

The format has one for every page, but none for the footer and the pages' headers, so ours stand right before the footer, where no
reader looks: that of the footer is verified by every read too, that of the whole file by `Source.verify`. Files are written and merged row group by row group, so that memory does not grow with their size.
"""

import io
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import google_crc32c
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem

GROUP_ROWS = 65_536
GROUP_BYTES = 32 * 2**20
"""A row group has at most so many rows, and about so many bytes in memory."""
CHUNK_ROWS = 65_536
"""Rows that are merged at once, unless more of them overlap."""
SEAL = struct.Struct("<4sII")
"""What stands before the footer: a mark, and the CRC-32C of all before it and of all after it."""
MARK = b"EKF1"
TAIL = struct.Struct("<I4s")
"""What a Parquet file ends with: the length of its footer, and the format's own mark."""
READ_BYTES = 2**22
GUESS = 2**16
"""Bytes that are read from the end at once; a larger footer takes a second read."""
UNIQUE = frozenset(("id", "external_id", "request_id"))
"""Columns whose values hardly repeat: a dictionary of them is only work."""


@dataclass(frozen=True)
class Group:
    """A row group, and between which values of the table's first sort key it lies (None when that is not known)."""

    source: "Source"
    index: int
    rows: int
    low: Any
    high: Any


@dataclass
class Source:
    """A data file to read. `day` is in its path only; `opened` gives the file anew, since few are held open."""

    path: str
    day: str
    opened: Callable[[], pa.NativeFile]
    buffered: bool = False
    _metadata: pq.FileMetaData | None = field(default=None, repr=False)

    def groups(self, key: str) -> list[Group]:
        """Its row groups with their bounds of the column `key`."""
        if self._metadata is None:
            with self.opened() as file:
                self._metadata = sealed_metadata(file)
        metadata = self._metadata
        column = metadata.schema.to_arrow_schema().get_field_index(key)
        found = []
        for index in range(metadata.num_row_groups):
            group = metadata.row_group(index)
            bounds = group.column(column).statistics if column >= 0 else None
            low, high = (bounds.min, bounds.max) if bounds is not None and bounds.has_min_max else (None, None)
            found.append(Group(self, index, group.num_rows, low, high))
        return found

    def check(self) -> None:
        """Read every byte. Raises OSError when they are not as they were written."""
        with self.opened() as file:
            before, length = _sealed(file)[1:]
            file.seek(0)
            found, left = 0, length
            while left and (part := file.read(min(left, READ_BYTES))):
                found, left = google_crc32c.extend(found, part), left - len(part)
        if found != before:
            raise OSError("it fails its checksum")

    def verify(self) -> int:
        """Read every byte and every page; how many rows there are. Raises OSError or ArrowException when anything is amiss."""
        self.check()
        rows = 0
        for group in self.groups(""):
            with self.opened() as file:
                reader = pq.ParquetFile(file, metadata=self._metadata, page_checksum_verification=True)
                rows += reader.read_row_group(group.index).num_rows
        return rows

    def read(self, group: int, schema: pa.Schema) -> pa.Table:
        """The columns of `schema`; one that the file does not have is null."""
        with self.opened() as file:
            reader = pq.ParquetFile(
                file, metadata=self._metadata, pre_buffer=self.buffered, page_checksum_verification=True
            )
            present = set(reader.schema_arrow.names)
            rows = reader.read_row_group(group, [name for name in schema.names if name in present])
        return self._conformed(rows, reader.metadata.row_group(group).num_rows, schema)

    def _conformed(self, rows: pa.Table, count: int, schema: pa.Schema) -> pa.Table:
        columns = []
        for column in schema:
            if column.name in rows.column_names:
                columns.append(rows[column.name].cast(column.type))
            elif column.name == "day":
                columns.append(pa.chunked_array([pa.repeat(pa.scalar(self.day, column.type), count)]))
            else:
                columns.append(pa.chunked_array([pa.nulls(count, column.type)]))
        return pa.table(columns, schema=schema)


def checked_fragment(filesystem: FileSystem, path: str, partition: pc.Expression) -> ds.ParquetFileFragment:
    """A data file for Arrow's scanner, its checksums verified; `partition` says what its folder does."""
    options = ds.ParquetFragmentScanOptions(pre_buffer=False, page_checksum_verification=True)
    return ds.ParquetFileFormat(default_fragment_scan_options=options).make_fragment(path, filesystem, partition)


def encoded(tables: Iterable[pa.Table], schema: pa.Schema, bounded: Sequence[str]) -> Iterator[bytes]:
    """The bytes of a file with all rows of `tables`, in their order, with bounds of the columns in `bounded`."""
    sink = _Parts()
    content = 0
    dictionaries = [
        column.name
        for column in schema
        if column.name not in UNIQUE and (pa.types.is_string(column.type) or pa.types.is_integer(column.type))
    ]
    with pq.ParquetWriter(
        pa.PythonFile(sink, "w"),
        schema,
        compression="zstd",
        use_dictionary=dictionaries,
        write_statistics=[name for name in bounded if name in schema.names],
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        for rows in _grouped(tables):
            writer.write_table(rows, row_group_size=max(rows.num_rows, 1))
            pages = b"".join(sink.taken())
            content = google_crc32c.extend(content, pages)
            yield pages
    footer = b"".join(sink.taken())
    yield SEAL.pack(MARK, content, google_crc32c.value(footer)) + footer


def sealed_metadata(file: pa.NativeFile) -> pq.FileMetaData:
    """The footer, decoded. Raises OSError when it is not as it was written, or of a file that is not ours."""
    return pq.read_metadata(pa.BufferReader(_sealed(file)[0]))


def _sealed(file: pa.NativeFile) -> tuple[bytes, int, int]:
    """The footer, and the checksum and the length of what is before the seal."""
    size = file.size()
    end = _from_end(file, size, GUESS)
    length = TAIL.unpack(end[-TAIL.size :])[0] + TAIL.size if len(end) >= TAIL.size else 0
    if length + SEAL.size > len(end):
        end = _from_end(file, size, length + SEAL.size)
    footer = end[len(end) - length :]
    if not length or length + SEAL.size > len(end):
        raise OSError("its end is not that of a whole file")
    mark, before, after = SEAL.unpack_from(end, len(end) - length - SEAL.size)
    if mark != MARK or after != google_crc32c.value(footer):
        raise OSError("its footer fails its checksum")
    return footer, before, size - length - SEAL.size


def _from_end(file: pa.NativeFile, size: int, count: int) -> bytes:
    content: bytes = file.read_at(min(size, count), max(0, size - count))
    return content


def ordered(
    groups: Iterable[Group], keys: Sequence[str], schema: pa.Schema, keep: pc.Expression | None = None
) -> Iterator[pa.Table]:
    """The rows of all groups in the order of `keys`, in tables of about CHUNK_ROWS; each group is read once.

    Only rows that `keep` holds for are given. Memory is that of a table and of the groups that overlap at one place.
    """
    first = keys[0]
    order = [(key, "ascending") for key in keys]
    waiting: list[pa.Table] = []
    for group in sorted(groups, key=lambda group: (group.low is not None, group.low)):
        if group.low is not None and sum(map(len, waiting)) >= CHUNK_ROWS:
            rows = pa.concat_tables(waiting)
            before = pc.less(rows[first], pa.scalar(group.low, schema.field(first).type))
            waiting = [rows.filter(pc.invert(before))]
            rows = rows.filter(before).sort_by(order)  # of what is read, nothing else is held while these are used
            if rows.num_rows:
                yield rows
        rows = group.source.read(group.index, schema)
        waiting.append(rows if keep is None else rows.filter(keep))
    rows = pa.concat_tables(waiting) if waiting else schema.empty_table()
    waiting.clear()
    if rows.num_rows:
        yield rows.sort_by(order)


def _grouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of a row group each."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        rows = pa.concat_tables(waiting)
        size = group_rows(rows)
        whole = rows.num_rows // size * size
        for at in range(0, whole, size):
            yield rows.slice(at, size)
        waiting = [rows.slice(whole)] if whole < rows.num_rows else []
    if waiting:
        yield pa.concat_tables(waiting)


def group_rows(rows: pa.Table) -> int:
    """How many rows like these make a row group."""
    fitting: int = GROUP_BYTES * rows.num_rows // max(rows.nbytes, 1)
    return max(1024, min(GROUP_ROWS, fitting))


class _Parts(io.RawIOBase):
    """Takes what is written, and hands it on in parts."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._parts.append(bytes(content))
        return len(content)

    def taken(self) -> list[bytes]:
        parts, self._parts = self._parts, []
        return parts
