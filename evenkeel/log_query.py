"""`evenkeel log query`: one SELECT over the tables, by the engine that Delta brings along.

The engine believes what it reads, so every page of the tables is verified first. It sees the tables and nothing else: no
file, no way to write.
"""

import itertools
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from deltalake import QueryBuilder

from evenkeel import show
from evenkeel.log_rows import cell, write_csv, write_json_lines
from lifecycle.errors import InputRejected
from lifecycle.feature_log.delta import LogTable
from lifecycle.feature_log.placing import columns_of
from lifecycle.feature_log.table import LogTables
from lifecycle.project import Project

MEMORY = "1G"
LIMITS = "SET datafusion.runtime.memory_limit = '{memory}'", "SET datafusion.runtime.max_temp_directory_size = '0K'"
"""What a query may take. Nothing is put on disk in between: people's rows would lie there, and the engine sometimes waits for ever."""
MOST_SHOWN = 100
LONGEST_SENTENCE = 400
SELECTS = re.compile(r"(?:\s|\(|--[^\r\n]*\r?\n|/\*(?:(?!/\*|\*/).)*\*/)*(?:select|with)\b", re.IGNORECASE | re.DOTALL)
"""How the engine's own parser knows a query; everything else that it takes writes, or changes what it sees.

A comment that others could read in another way, one within another or one that ends with half a line's end, makes it none.
"""
LATEST = """CREATE VIEW latest_labels AS SELECT {names} FROM (
    SELECT *, row_number() OVER (PARTITION BY id ORDER BY {order}) AS place_by_time FROM labels
) WHERE place_by_time = 1"""
EXHAUSTED = "Resources exhausted", "Not enough memory", "during the spilling process"
NO_TABLE = re.compile(r"table 'datafusion\.public\.(.*?)' not found")


def run_query(path: Path, sql: str, *, as_json: bool, as_csv: bool, verified: bool) -> None:
    """Print the rows of `sql`, as CSV where nobody looks. Raises InputRejected when it is no query that can be answered."""
    tables = Project.open(path).tables
    schema, batches = query(tables, sql, verified=verified)
    if as_json:
        write_json_lines(batches, sys.stdout.buffer)
    elif as_csv or not show.console.is_terminal:
        write_csv(schema, batches, sys.stdout.buffer)
    else:
        _show(schema, batches)


def query(
    tables: LogTables, sql: str, *, verified: bool = True, memory: str = MEMORY
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The answer to `sql` in batches, and their schema. Raises InputRejected, also while they are read.

    With `verified`, every page of the tables is read and its checksum compared before the query runs.
    """
    if not SELECTS.match(sql):
        raise InputRejected(
            "only a query is answered, which begins with SELECT or WITH: the tables are the record of what was answered, "
            "and nothing here changes them"
        )
    engine = QueryBuilder()
    there = []
    for table in tables.all:
        opened = table.open()
        if opened is not None:
            engine.register(table.name, opened)
            there.append(table.name)
            if verified:
                _verify(table)
    with _refused(there):
        for limit in LIMITS:
            engine.execute(limit.format(memory=memory)).read_all()
        if tables.labels.name in there:
            engine.execute(_latest(tables.labels.schema().names)).read_all()
            there.append("latest_labels")
        reader = engine.execute(sql)
        schema = pa.schema([_usual(field) for field in pa.schema(reader.schema)])
    if not schema.names:
        raise InputRejected(
            "the query answers with no columns, as SELECT ... INTO does; leave INTO out, or name columns"
        )
    return schema, _batches(reader, schema, there)


def _latest(names: list[str]) -> str:
    """The view of each prediction's label that was received last, in the order in which windows choose it."""
    keys = ["received_at", "observed_at", *columns_of(names, "label")]
    order = ", ".join(f'"{key}" DESC NULLS FIRST' for key in keys)
    return LATEST.format(names=", ".join(f'"{name}"' for name in names), order=order)


def _verify(table: LogTable) -> None:
    for file in table.files():
        with table.reading(file.path):
            table.source(file).verify()


def _batches(reader: object, schema: pa.Schema, there: list[str]) -> Iterator[pa.RecordBatch]:
    found = iter(reader)  # type: ignore[call-overload]  # the engine's reader is not typed
    while True:
        with _refused(there):
            batch = next(found, None)
        if batch is None:
            return
        columns = pa.record_batch(batch).columns
        yield pa.record_batch(
            [column.cast(field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
        )


@contextmanager
def _refused(there: list[str]) -> Iterator[None]:
    """The engine's errors as sentences. It has one type for those of planning, and none for those of running."""
    try:
        yield
    except Exception as error:
        raise InputRejected(f"the query cannot be answered: {_sentence(str(error), there)}") from error


def _sentence(text: str, there: list[str]) -> str:
    if found := NO_TABLE.search(text):
        known = f"there are {', '.join(there)}" if there else "nothing was recorded yet"
        return f"there is no table {found[1]!r}; {known}"
    if any(words in text for words in EXHAUSTED):
        return "it needs more memory than a query may take; ask for fewer rows or columns, or export the rows"
    if "single SQL statement" in text:
        return "it is more than one statement; ask one thing at a time"
    return " ".join(text.split())[:LONGEST_SENTENCE]


def _usual(field: pa.Field) -> pa.Field:
    """The type that others know for the engine's views of texts and bytes."""
    if field.type == pa.string_view():
        return field.with_type(pa.string())
    return field.with_type(pa.binary()) if field.type == pa.binary_view() else field


def _show(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    rows = (row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns), strict=True))
    shown = list(itertools.islice(rows, MOST_SHOWN))
    show.table("", schema.names, [tuple(map(cell, row)) for row in shown])
    if next(rows, None) is not None:
        show.notes.print(f"the first {MOST_SHOWN} rows; --csv or --json prints all of them", markup=False)
