"""`evenkeel log export`: a window of the feature log as one file, whole or not there at all, however large it is."""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from evenkeel.log_rows import write_csv, write_json_lines
from lifecycle.clock import from_datetime
from lifecycle.errors import InputRejected, ProjectInvalid
from lifecycle.feature_log.table import LogTables

GROUP_ROWS = 2**16
BEGINNING, END = 0, from_datetime(datetime.max.replace(tzinfo=UTC))


@dataclass(frozen=True)
class ExportOptions:
    """Which rows and columns: [`start`, `end`) in microseconds since 1970, and columns or features by name, None for all."""

    start: int = BEGINNING
    end: int = END
    columns: Sequence[str] | None = None
    labels: bool = False
    force: bool = False


def export(tables: LogTables, file: Path, options: ExportOptions) -> int:
    """Write the window to `file`, as its name says: .parquet, .csv or .jsonl. How many rows.

    Raises InputRejected for a column that there is not, ProjectInvalid for a file that cannot be written; then there is none.
    """
    write = FORMATS.get(file.suffix.lower())
    if write is None:
        raise ProjectInvalid(f"{file.name} says no format; end its name in {', '.join(FORMATS)}")
    if file.exists() and not options.force:
        raise ProjectInvalid(f"{file} is there already; name another file, or say --force to replace it")
    columns = None if options.columns is None else tables.columns(options.columns)
    window = tables.window(options.start, options.end, columns, labels=options.labels)
    made = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with made.open("xb") as sink:
            count = write(window.schema, _large(window, window.schema), sink)
            sink.flush()
            os.fsync(sink.fileno())
        made.replace(file)
    except OSError as error:
        raise ProjectInvalid(f"{file} could not be written ({error.strerror}); choose a place with room") from error
    finally:
        made.unlink(missing_ok=True)
    return count


def moment(text: str) -> int:
    """Microseconds since 1970 for ISO 8601; without an offset it is UTC. Raises InputRejected."""
    try:
        return from_datetime(datetime.fromisoformat(text))
    except (ValueError, OverflowError) as error:
        raise InputRejected(
            f"{text[:60]!r} is no moment; write a day or a time as 2026-01-31 or 2026-01-31T14:05:00Z"
        ) from error


def _large(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of at least GROUP_ROWS, the last one aside."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        if count >= GROUP_ROWS:
            yield _together(waiting, schema)
            waiting, count = [], 0
    if count:
        yield _together(waiting, schema)


def _together(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    return pa.Table.from_batches(batches, schema).combine_chunks().to_batches()[0]


def _write_parquet(schema: pa.Schema, batches: Iterable[pa.RecordBatch], sink: IO[bytes]) -> int:
    count = 0
    with pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True) as writer:
        for batch in batches:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def _write_jsonl(_schema: pa.Schema, batches: Iterable[pa.RecordBatch], sink: IO[bytes]) -> int:
    return write_json_lines(batches, sink)


FORMATS: dict[str, Callable[[pa.Schema, Iterable[pa.RecordBatch], IO[bytes]], int]] = {
    ".parquet": _write_parquet,
    ".csv": write_csv,
    ".jsonl": _write_jsonl,
}
