"""The read side: the tables of predictions and labels, and the window that joins them.

A window costs what it holds: days, files and row groups that lie outside are not read, and rows come in batches.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lifecycle.clock import to_datetime
from lifecycle.errors import InputRejected, StoreUnavailable
from lifecycle.feature_log import commits
from lifecycle.feature_log.data_files import DataFile, State, pruned
from lifecycle.feature_log.delta import LogTable
from lifecycle.feature_log.files import FileSystem, LocalFiles
from lifecycle.feature_log.naming import SEGMENTS
from lifecycle.feature_log.placing import ARROW, MOMENT, columns_of
from lifecycle.feature_log.storage import LocalStorage, plain, storage_of
from lifecycle.ids import milliseconds_of
from lifecycle.records import LogSchema

if TYPE_CHECKING:
    from lifecycle.feature_log.traces import Traces

FEATURE = "feature_"
PROBABILITY = "probability_"
LABEL_COLUMNS = ("label", "observed_at", "received_at")
EARLIEST, LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999, in microseconds: what a datetime can be."""
NO_ROWS = pa.schema([("id", pa.string())])
PREDICTION_KEYS, LABEL_KEYS, PARKED_KEYS = ("at", "id"), ("id", "received_at"), ("received_at", "external_id")
PARKED_ROWS = 100_000
"""Labels that wait are read a whole file at a time, so files of them stay small."""


class LogTables:
    """The folded feature log: `predictions`, `labels`, and `parked` labels, which wait for their prediction.

    They are in `folder`, or under `url` when that is given; the `segments` still to be folded are always in `folder`.
    """

    def __init__(self, folder: Path, *, url: str = "", files: FileSystem | None = None) -> None:
        self.folder = folder
        access = files or LocalFiles()
        self.predictions = LogTable("predictions", storage_of(folder, url, "predictions", access), PREDICTION_KEYS)
        self.labels = LogTable("labels", storage_of(folder, url, "labels", access), LABEL_KEYS)
        self.parked = LogTable("parked", storage_of(folder, url, "parked", access), PARKED_KEYS, file_rows=PARKED_ROWS)
        self.segments = folder / SEGMENTS
        self.quarantine = folder / "quarantine"

    @property
    def all(self) -> tuple[LogTable, ...]:
        return self.predictions, self.labels, self.parked

    def row_count(self) -> int:
        """Rows in the predictions table, from its metadata."""
        return self.predictions.row_count()

    def versions(self) -> tuple[int | None, int | None]:
        """Numbers that change whenever predictions or labels do; None for a table that has no rows yet."""
        return self.predictions.version(), self.labels.version()

    def columns(self, asked: Sequence[str]) -> list[str]:
        """The names in the table of columns or features. Raises InputRejected for one that it does not have.

        Before anything was recorded, every name is taken as it is.
        """
        if isinstance(asked, str):
            raise InputRejected(f"columns are a list of names, and {asked!r} is a text; write [{asked!r}]")
        names = self.predictions.schema().names
        return [_known(names, name) for name in asked] if names else list(asked)

    def window(
        self,
        start: int,
        end: int,
        columns: Sequence[str] | None = None,
        *,
        labels: bool = False,
        until: int | None = None,
    ) -> pa.RecordBatchReader:
        """Predictions with `start` <= at < `end` (microseconds since 1970) in order of `at`, in batches.

        `columns` limits the record's columns (see `prediction_schema`; `id` is always there, and a feature's name stands for every
        column that holds it, see `placing.py`). With `labels`, the latest `label`, `observed_at` and `received_at` are joined, null
        where there is none; `until` leaves out labels received then or later. Memory does not grow with the window.
        Raises StoreUnavailable, also while it is read.
        """
        state = self.predictions.state()
        if state is None or not state.schema.names:
            return pa.RecordBatchReader.from_batches(NO_ROWS, iter(()))
        wanted = _selected(state.schema, columns)
        read = pa.schema([state.schema.field(name) for name in dict.fromkeys([*wanted.names, "at"])])
        joined = _Labels(self.labels, self.labels.state(), until) if labels else None
        result = pa.schema([*wanted, *joined.schema]) if joined else wanted
        rows = self._between(state, start, end, read)
        tables = (joined.beside(table).select(result.names) if joined else table.select(wanted.names) for table in rows)
        return pa.RecordBatchReader.from_batches(result, (batch for table in tables for batch in table.to_batches()))

    def rows(
        self,
        start: int,
        end: int,
        columns: Sequence[str] | None = None,
        *,
        labels: bool = False,
        until: int | None = None,
    ) -> pa.Table:
        """All of a window at once, in order of id."""
        return self.window(start, end, columns, labels=labels, until=until).read_all().sort_by("id")

    def record(self, identifier: str) -> pa.Table:
        """The one prediction with this id and its latest label, or no row."""
        state = self.predictions.state()
        if state is None or not state.schema.names:
            return NO_ROWS.empty_table()
        found = _with_ids(self.predictions, state.files, identifier, identifier, state.schema)
        joined = _Labels(self.labels, self.labels.state(), None)
        return joined.beside(found if found.num_rows else state.schema.empty_table())

    def verify(self) -> list[str]:
        """What is wrong with the tables' files, one sentence each: every page of every file is read."""
        return [problem for table in self.all for problem in _problems(table)]

    def search(self, token: str, *, until: int) -> "Traces":
        """Look for `token` in all that the tables have in an object store; local folders are searched as folders."""
        from lifecycle.feature_log.traces import Traces, search_storage

        found = Traces()
        for table in self.all:
            if not isinstance(table.storage, LocalStorage):
                found += search_storage(table.storage, token, until=until)
        return found

    def _between(self, state: State, start: int, end: int, schema: pa.Schema) -> Iterator[pa.Table]:
        at = pc.field("at")
        first, last = (pa.scalar(min(max(moment, EARLIEST), LATEST), MOMENT) for moment in (start, end))
        groups = []
        for file in pruned(state.files, start, end):
            with self.predictions.reading(file.path):
                groups += [
                    group
                    for group in self.predictions.source(file).groups("at")
                    if group.low is None or (group.high >= first.as_py() and group.low < last.as_py())
                ]
        yield from self.predictions.merged(groups, schema, (at >= first) & (at < last))


@dataclass(frozen=True)
class _Labels:
    """The latest label of each prediction, to be put beside its row."""

    table: LogTable
    state: State | None
    until: int | None

    @property
    def names(self) -> list[str]:
        """The columns of a label; `label` first, whatever kinds it has had."""
        if self.state is None or not self.state.schema.names:
            return list(LABEL_COLUMNS)
        return [name for wanted in LABEL_COLUMNS for name in columns_of(self.state.schema.names, wanted)]

    @property
    def schema(self) -> pa.Schema:
        if self.state is None or not self.state.schema.names:
            return pa.schema([("label", pa.null()), ("observed_at", MOMENT), ("received_at", MOMENT)])
        return pa.schema([self.state.schema.field(name) for name in self.names])

    def beside(self, rows: pa.Table) -> pa.Table:
        """`rows` with the columns of their labels."""
        found = self._latest(rows["id"]) if self.state is not None and rows.num_rows else None
        places = pc.index_in(rows["id"], value_set=found["id"].combine_chunks()) if found else None
        for column in self.schema:
            values = found[column.name].take(places) if found else pa.nulls(rows.num_rows, column.type)
            rows = rows.append_column(column, values)
        return rows

    def _latest(self, ids: pa.ChunkedArray) -> pa.Table:
        assert self.state is not None, "there is a table of labels"
        bounds = pc.min_max(ids).as_py()
        schema = pa.schema([self.state.schema.field(name) for name in ["id", *self.names]])
        found = _with_ids(self.table, self.state.files, bounds["min"], bounds["max"], schema)
        if self.until is not None:
            found = found.filter(pc.less(found["received_at"], pa.scalar(self.until, MOMENT)))
        keys = ["id", "received_at", "observed_at", *columns_of(schema.names, "label")]
        ordered = found.sort_by([(key, "ascending") for key in keys]).combine_chunks()
        return ordered.filter(_last_of_each(ordered["id"])) if ordered.num_rows else ordered


def _last_of_each(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which of sorted ids is followed by another one, or by none."""
    changes = pc.not_equal(ids.slice(0, len(ids) - 1), ids.slice(1))
    return pa.chunked_array([*changes.chunks, pa.array([True])])


def _with_ids(table: LogTable, files: Sequence[DataFile], first: str, last: str, schema: pa.Schema) -> pa.Table:
    """The rows with `first` <= id <= `last`."""
    keep = (pc.field("id") >= first) & (pc.field("id") <= last)
    days = set(days_of(first, last))
    found = [schema.empty_table()]
    for file in files:
        if file.last_id < first or file.first_id > last or (table.name == "labels" and file.day not in days):
            continue
        with table.reading(file.path):
            found += [
                group.source.read(group.index, schema).filter(keep)
                for group in table.source(file).groups("id")
                if group.low is None or (group.low <= last and group.high >= first)
            ]
    return pa.concat_tables(found)


def _problems(table: LogTable) -> Iterator[str]:
    try:
        state = table.state()
        there = set(table.storage.paths())
        damaged = commits.problems(table.storage)
    except StoreUnavailable as error:
        yield str(error)
        return
    for entry, wrong in sorted(damaged.items()):
        yield f"{entry} in the log of the table {table.name} {wrong}; restore it from a backup"
    for file in state.files if state else ():
        name = f"the file {file.path} of the table {table.name}"
        if file.path not in there:
            yield f"{name} is missing, with {file.rows} rows; restore it from a backup"
            continue
        try:
            rows = table.source(file).verify()
        except (OSError, pa.ArrowException) as error:
            yield f"{name} is damaged ({plain(error)}), with {file.rows} rows; restore it from a backup"
            continue
        if rows != file.rows:
            yield f"{name} has {rows} rows where {file.rows} were committed; restore it from a backup"


def days_of(first: str, last: str) -> list[str]:
    """The UTC days in which ids from `first` to `last` were made."""
    return days(milliseconds_of(first) * 1000, milliseconds_of(last) * 1000 + 1000)


def days(start: int, end: int) -> list[str]:
    """The UTC days that [`start`, `end`) touches, as partition values."""
    first, last = to_datetime(start).date(), to_datetime(max(end - 1, start)).date()
    return [(first + timedelta(days=offset)).isoformat() for offset in range((last - first).days + 1)]


def _known(names: Sequence[str], asked: str) -> str:
    found = next((place for place in (asked, FEATURE + asked) if columns_of(names, place)), None)
    if found is None:
        short = [name.removeprefix(FEATURE) for name in names]
        near = get_close_matches(asked, dict.fromkeys([*short, *names]), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise InputRejected(f"the feature log has no column {asked!r}{hint}; it has {', '.join(names)}")
    return found


def _selected(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    if columns is None:
        return schema
    names = [found for name in ["id", *columns] for found in columns_of(schema.names, name)]
    return pa.schema([schema.field(name) for name in dict.fromkeys(names)])


def prediction_schema(schema: LogSchema) -> pa.Schema:
    """The Arrow columns of a prediction record under one version's schema."""
    features = [(FEATURE + name, ARROW[kind]) for name, kind in schema.kinds.items()]
    answer = pa.string() if schema.classes else pa.float64()
    return pa.schema(
        [
            ("id", pa.string()),
            ("external_id", pa.string()),
            ("subject", pa.string()),
            ("request_id", pa.string()),
            ("at", MOMENT),
            ("day", pa.string()),
            ("model", pa.string()),
            ("version", pa.int64()),
            ("generation", pa.int64()),
            ("protocol", pa.string()),
            ("latency_us", pa.int64()),
            ("key_id", pa.string()),
            ("sampling_rate", pa.float64()),
            *features,
            ("prediction", answer),
            *((PROBABILITY + name, pa.float64()) for name in schema.classes),
        ]
    )


def label_schema(kind: pa.DataType) -> pa.Schema:
    """The Arrow columns of a label whose value is a text or a number. `day` is that of its prediction, where that is known."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("external_id", pa.string()),
            ("day", pa.string()),
            ("label", kind),
            ("observed_at", MOMENT),
            ("received_at", MOMENT),
            ("key_id", pa.string()),
        ]
    )
