"""One Delta table: the engine keeps its log, and the data files are ours (`parquet.py`), durable before a commit names them.

Reading may happen anywhere; writing happens in the one process that holds the fold's lease. A commit says of a file how many
rows it has and the bounds of `id` and `at`, and no other value: nothing about a person gets where erasing cannot reach it.
"""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from lifecycle.errors import Conflict, StoreUnavailable
from lifecycle.feature_log import commits
from lifecycle.feature_log.data_files import (
    BOUNDED,
    DAY,
    MERGED,
    Bounds,
    DataFile,
    State,
    data_file,
    pruned,
    schema_of,
    state_of,
)
from lifecycle.feature_log.parquet import GROUP_ROWS, Group, Source, checked_fragment, encoded, ordered
from lifecycle.feature_log.placing import placed
from lifecycle.feature_log.storage import CHECKPOINT, LAST_CHECKPOINT, Storage, plain
from lifecycle.ids import uuid7

SETTINGS: Mapping[str, str | None] = {
    "delta.logRetentionDuration": "interval 1 hours",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
    "delta.enableExpiredLogCleanup": "false",  # `clean_up` does it, once the checkpoint is on disk
}
NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
ABSENT_SECONDS = 1.0
"""How long a table that was not there is not looked for again where every look is several requests to an object store."""
PANIC = "PanicException"
"""What the engine raises when damage surprises it; its class can be had by no other name, and it is no Exception."""


class LogTable:
    """A table of the feature log, sorted by `keys` within each file and partitioned by day.

    A file of `file_rows` or more is not merged with others; `monotonic` tells seconds.
    """

    def __init__(
        self,
        name: str,
        storage: Storage,
        keys: Sequence[str],
        *,
        file_rows: int = 2**62,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.storage = storage
        self.keys = tuple(keys)
        self.file_rows = file_rows
        self._monotonic = monotonic
        self._absent_until = float("-inf")
        self._settled: int | None = None
        self._lock = threading.RLock()
        self._kept: DeltaTable | None = None
        self._state: State | None = None

    # reading

    def open(self) -> DeltaTable | None:
        """The table as it is now, a snapshot of the caller's own; None when nothing was ever written there."""
        with self._reached():
            try:
                return DeltaTable(self.storage.url, storage_options=self.storage.options)
            except TableNotFoundError:
                return None

    def state(self) -> State | None:
        """Version, schema and files as they are now; None when nothing was ever written."""
        with self._lock:
            table = self._now()
            if table is None:
                return None
            return self._described(table)

    def row_count(self) -> int:
        """How many rows it has, by its log alone."""
        state = self.state()
        return state.rows if state else 0

    def version(self) -> int | None:
        """A number that grows with every commit; None before the first."""
        with self._lock:
            table = self._now()
            return table.version() if table else None

    def _described(self, table: DeltaTable) -> State:
        """What `table` says; of the one that is kept open, worked out once per commit."""
        if table is not self._kept:
            return state_of(table)
        if self._state is None or self._state.version != table.version():
            self._state = state_of(table)
        return self._state

    def _now(self) -> DeltaTable | None:
        """The one table that is kept open, with all commits there are: reading those since the last look is enough."""
        if self._known_absent:
            return None
        kept, self._kept = self._kept, None
        if kept is not None and self.storage.has_commit(kept.version()):
            with self._reached():
                kept.update_incremental()
            self._kept = kept
        else:
            self._kept, self._state = self.open(), None
            if self._kept is None and self.storage.buffered:
                self._absent_until = self._monotonic() + ABSENT_SECONDS
        return self._kept

    @property
    def _known_absent(self) -> bool:
        return self._monotonic() < self._absent_until

    def files(self, start: int | None = None, end: int | None = None) -> list[DataFile]:
        """The data files, by path; only those that may have rows of [`start`, `end`) where that is given."""
        state = self.state()
        return pruned(state.files, start, end) if state else []

    def source(self, file: DataFile) -> Source:
        """`file`, to be read row group by row group."""
        return Source(file.path, file.day, lambda: self._opened(file.path), self.storage.buffered)

    def scan(
        self,
        files: Iterable[DataFile],
        columns: Sequence[str] | None = None,
        filter: pc.Expression | None = None,  # noqa: A002 - as Arrow calls it
    ) -> Iterator[pa.RecordBatch]:
        """The rows of `files` as they stand in them, in batches; columns that a file does not have are null.

        Row groups that `filter` cannot hold for are not read. Raises StoreUnavailable when a page is damaged.
        """
        schema = self.schema()
        names = schema.names if columns is None else [name for name in columns if name in schema.names]
        for file in files:
            with self.reading(file.path):
                self.source(file).groups(self.keys[0])  # verifies the footer
                fragment = checked_fragment(self.storage.filesystem, file.path, pc.field(DAY) == file.day)
                yield from fragment.to_batches(
                    schema, columns=names, filter=filter, batch_size=GROUP_ROWS, batch_readahead=1, fragment_readahead=1
                )

    def merged(
        self, groups: Iterable[Group], schema: pa.Schema, keep: pc.Expression | None = None
    ) -> Iterator[pa.Table]:
        """The rows of `groups` in the table's order; see `ordered`."""
        with self.reading("to be merged"):
            yield from ordered(groups, [key for key in self.keys if key in schema.names], schema, keep)

    def schema(self, columns: Sequence[str] | None = None) -> pa.Schema:
        """The table's columns, or those of `columns` that it has; none before the first commit."""
        state = self.state()
        whole = state.schema if state else pa.schema([])
        return whole if columns is None else pa.schema([whole.field(name) for name in columns if name in whole.names])

    # writing

    def transaction(self, writer: str) -> int:
        """The last number that the table remembers for `writer`; 0 when it has none."""
        return self.transactions([writer])[writer]

    def transactions(self, writers: Iterable[str]) -> dict[str, int]:
        """`transaction` of each, all by one look."""
        table = self._open_to_write()
        return {writer: (table.transaction_version(writer) or 0) if table else 0 for writer in writers}

    def append(self, rows: pa.Table | Sequence[pa.Table], transactions: Mapping[str, int]) -> list[DataFile]:
        """One commit with all of `rows`, durable when this returns; the files that hold them.

        Tables may differ in their columns and in the kind of a column of one name (see `placed`). The numbers in `transactions` are
        remembered by the same commit.
        """
        tables = [rows] if isinstance(rows, pa.Table) else list(rows)
        table, stored = self._with_columns(tables)
        names = [placed(stored, part.schema) for part in tables]
        parts = [
            part.rename_columns([to[name] for name in part.column_names])
            for part, to in zip(tables, names, strict=True)
        ]
        together = _conformed(pa.concat_tables(parts, promote_options="default"), stored)
        added = [
            self._write(day, [self._sorted(together.filter(pc.equal(together[DAY], day)))], stored)
            for day in sorted(pc.unique(together[DAY]).to_pylist())
        ]
        self._commit(table, added, (), transactions)
        return [data_file(action) for action in added]

    def replace(
        self,
        removed: Sequence[DataFile],
        added: Iterable[pa.Table],
        transactions: Mapping[str, int] | None = None,
        *,
        data_change: bool = True,
    ) -> list[DataFile]:
        """One commit that takes files away and puts rows in their place; the files that hold those.

        Rows are written as they come, so memory is that of one table of `added`; each run of a day is a file. `data_change` is False
        when the rows are the same. The replaced files stay on disk until `vacuum` or `remove_now`. Raises Conflict, and commits
        nothing, when the table does not name one of `removed` any more.
        """
        table = self._open_to_write()
        if table is None:
            raise StoreUnavailable(f"the table {self.name} was to be rewritten, but it is not there; check the disk")
        stored = schema_of(table)
        runs = itertools.groupby(_by_day(added), key=lambda part: part[0])
        prefix = "" if data_change else MERGED
        written = [
            self._write(day, (rows for _, rows in parts), stored, prefix=prefix, data_change=data_change)
            for day, parts in runs
        ]
        self._commit(table, written, removed, transactions or {}, data_change=data_change)
        return [data_file(action) for action in written]

    def drop_days(self, before: str) -> int:
        """Takes all days before `before` (a date) out of the table, in one commit, and deletes their files; how many rows."""
        gone = [file for file in self.files() if file.day < before]
        if gone:
            self.replace(gone, ())
            self.remove_now(file.path for file in gone)
        return sum(file.rows for file in gone)

    def remove_now(self, paths: Iterable[str]) -> None:
        """Deletes files that the table does not name any more. Raises ValueError for one that it does."""
        live = {file.path for file in self.files()}
        for path in paths:
            if path in live:
                raise ValueError(f"{path} belongs to the table {self.name}; take it out of it before deleting it")
            self.storage.remove(path)

    def unnamed(self) -> list[str]:
        """Data files on disk that the table does not name: replaced, or of a commit that never was."""
        there = self.storage.paths()  # looked at before the table, so that a file committed since is not among them
        live = {file.path for file in self.files()}
        return [path for path in there if path not in live]

    def remove_unreferenced(self) -> None:
        """Deletes everything that the table does not name, at once, whoever still reads it."""
        for path in self.unnamed():
            self.storage.remove(path)

    def checkpoint(self) -> int | None:
        """Makes a checkpoint of all commits, so that the table opens by it; the version it is of."""
        table = self._open_to_write()
        if table is None:
            return None
        with self._reached():
            table.create_checkpoint()
        self.storage.settle_checkpoint()
        commits.note_checkpoint(self.storage)
        return table.version()

    def clean_up(self) -> None:
        """Deletes commits older than an hour that the last checkpoint holds."""
        table = self._open_to_write()
        if table is not None:
            with self._reached():
                table.cleanup_metadata()

    def checkpointed(self) -> int:
        """The version of the last checkpoint; 0 when there is none."""
        names = self.storage.log_names()
        marks = [_version(name) for name in names if name.endswith(CHECKPOINT)]
        return max(marks, default=0)

    def _open_to_write(self) -> DeltaTable | None:
        """The table as it is now, every commit of it on disk: whoever relies on one deletes what it was made of."""
        with self._lock:
            if self._settled is None and not self._known_absent:
                self.recover()
            table = self._now()
            if table is not None:
                self._settle(table.version())
            return table

    def _settle(self, version: int) -> None:
        if self._settled is None:  # a process before this one may have ended between a commit and its sync
            self.storage.settle(-1)
            self.storage.settle_checkpoint()
        elif version > self._settled:
            self.storage.settle(self._settled)
        self._settled = version

    def _committed(self) -> DeltaTable:
        """The table, with the commit that was just made."""
        table = self._open_to_write()
        assert table is not None, "a table that was just written can be opened"
        return table

    def recover(self) -> None:
        """Takes out of the engine's log what a loss of power left half-written: nothing that was ever relied upon.

        A commit counts once it is on disk, and commits are deleted once a checkpoint of them is. Raises StoreUnavailable for other
        damage: going on from it could lose rows or double them.
        """
        found = commits.problems(self.storage)
        names = self.storage.log_names()
        entries = [name for name in names if commits.is_commit(name)]
        checkpoints = [name for name in names if name.endswith(CHECKPOINT)]
        if entries and entries[-1] in found and commits.is_torn(self.storage.read_log(entries[-1])):
            self.storage.remove_log(entries[-1])
            del found[entries[-1]]
        if checkpoints and self._is_unneeded(checkpoints, set(entries), found):
            self.storage.remove_log(checkpoints[-1])
            found.pop(checkpoints[-1], None)
        if LAST_CHECKPOINT in names and not _marks_one(
            self.storage.read_log(LAST_CHECKPOINT), self.storage.log_names()
        ):
            self.storage.remove_log(LAST_CHECKPOINT)
        for name, wrong in found.items():
            if wrong != commits.NONE:
                raise StoreUnavailable(
                    f"the table {self.name} cannot be written, for {name} in its log {wrong}; restore it from a backup"
                )

    def _is_unneeded(self, checkpoints: Sequence[str], entries: set[str], found: Mapping[str, str]) -> bool:
        """Whether the newest checkpoint is damaged and every commit since the one before it is still there."""
        name = checkpoints[-1]
        if name not in found and _is_parquet(self.storage.read_log(name)):
            return False
        first = _version(checkpoints[-2]) if len(checkpoints) > 1 else 0
        return all(f"{version:020d}.json" in entries for version in range(first, _version(name) + 1))

    def _with_columns(self, tables: Sequence[pa.Table]) -> tuple[DeltaTable, pa.Schema]:
        """The table, made or widened to hold all columns of `tables`."""
        table = self._open_to_write()
        stored = schema_of(table) if table else pa.schema([])
        fields = list(stored)
        for part in tables:
            names = placed(pa.schema(fields), part.schema)
            known = {column.name for column in fields}
            fields += [
                pa.field(names[column.name], column.type) for column in part.schema if names[column.name] not in known
            ]
        wanted = pa.schema(fields)
        if table is None:
            return self._created(wanted), wanted
        if new := fields[len(stored) :]:
            with self._reached():
                table.alter.add_columns(
                    Schema.from_arrow(pa.schema(new)).fields,
                    commit_properties=commits.of_columns(wanted, [DAY], table.metadata().configuration),
                    post_commithook_properties=NO_HOOKS,
                )
            return self._committed(), wanted
        return table, stored

    def _created(self, schema: pa.Schema) -> DeltaTable:
        with self._reached():
            DeltaTable.create(
                self.storage.url,
                Schema.from_arrow(schema),
                partition_by=[DAY],
                configuration=SETTINGS,
                storage_options=self.storage.options,
                commit_properties=commits.of_columns(schema, [DAY], SETTINGS),
                post_commithook_properties=NO_HOOKS,
            )
        self._settled = None  # the folders that lead to it are new as well
        self._absent_until = float("-inf")
        return self._committed()

    def _sorted(self, rows: pa.Table) -> pa.Table:
        return rows.sort_by([(key, "ascending") for key in self.keys])

    def _write(
        self, day: str, tables: Iterable[pa.Table], stored: pa.Schema, *, prefix: str = "", data_change: bool = True
    ) -> AddAction:
        bounds = Bounds()
        schema = stored.remove(stored.get_field_index(DAY))
        path = f"{DAY}={day}/{prefix}{uuid7()}.parquet"
        rows = bounds.passing(table.select(schema.names) for table in tables)
        size = self.storage.write(path, encoded(rows, schema, (*BOUNDED, *self.keys)))
        return AddAction(path, size, {DAY: day}, time.time_ns() // 1_000_000, data_change, bounds.text())

    def _commit(
        self,
        table: DeltaTable,
        added: Sequence[AddAction],
        removed: Sequence[DataFile],
        transactions: Mapping[str, int],
        *,
        data_change: bool = True,
    ) -> None:
        now = time.time_ns() // 1_000_000
        gone = [RemoveAction(file.path, data_change, now, file.bytes, {DAY: file.day}) for file in removed]
        numbers = [Transaction(writer, number) for writer, number in transactions.items()]
        with self._lock:  # what is looked at is what is committed on: no other thread moves it on in between
            self._refuse_late(table, removed, transactions)
            with self._reached():
                table.create_write_transaction(
                    [*added, *gone],
                    "append",
                    table.schema(),
                    [DAY],
                    commit_properties=commits.of_files(added, gone, numbers),
                    post_commithook_properties=NO_HOOKS,
                )
            self._committed()

    def _refuse_late(self, table: DeltaTable, removed: Sequence[DataFile], transactions: Mapping[str, int]) -> None:
        """Raise Conflict when another process has done what is about to be committed on `table`, or a part of it.

        What another commits after this look is found by the engine: a commit on an older version fails.
        """
        for writer, number in transactions.items():
            if (table.transaction_version(writer) or 0) >= number:
                raise Conflict(
                    f"another process has written number {number} of {writer} to the table {self.name}; look again"
                )
        if not removed:
            return
        live = {file.path for file in self._described(table).files}
        for file in removed:
            if file.path not in live:
                raise Conflict(
                    f"the file {file.path} was to be replaced in the table {self.name}, but another process has taken it out; "
                    "look again"
                )

    def _opened(self, path: str) -> pa.NativeFile:
        return self.storage.read(path)

    @contextmanager
    def reading(self, path: str) -> Iterator[None]:
        """Says in words what is wrong with a file that cannot be read."""
        try:
            yield
        except FileNotFoundError as error:
            raise StoreUnavailable(
                f"a file of the table {self.name} is not there any more ({error}); read again, and if it stays away run "
                "`evenkeel doctor --verify`"
            ) from error
        except (OSError, pa.ArrowException) as error:
            raise StoreUnavailable(
                f"the file {path} of the table {self.name} cannot be read: {plain(error)}; run `evenkeel doctor --verify`"
            ) from error

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except TableNotFoundError:
            raise
        except (OSError, DeltaError) as error:
            raise StoreUnavailable(
                f"the table {self.name} cannot be read or written: {plain(error)}; check the disk and its rights, or the object store"
            ) from error
        except BaseException as error:
            if type(error).__name__ != PANIC:
                raise
            raise StoreUnavailable(
                f"the log of the table {self.name} is damaged: {plain(error)}; run `evenkeel doctor --verify`"
            ) from error


def _conformed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        rows[column.name].cast(column.type) if column.name in rows.column_names else pa.nulls(len(rows), column.type)
        for column in schema
    ]
    return pa.table(columns, schema=schema)


def _by_day(tables: Iterable[pa.Table]) -> Iterator[tuple[str, pa.Table]]:
    for table in tables:
        for day in pc.unique(table[DAY]).to_pylist():
            yield day, table.filter(pc.equal(table[DAY], day))


def _version(name: str) -> int:
    return int(name.split(".", 1)[0])


def _is_parquet(content: bytes) -> bool:
    import pyarrow.parquet as pq

    try:
        pq.read_table(pa.BufferReader(content))
    except (OSError, pa.ArrowException):
        return False
    return True


def _marks_one(mark: bytes, names: Sequence[str]) -> bool:
    try:
        version = json.loads(mark)["version"]
    except (ValueError, KeyError, TypeError):
        return False
    return f"{version:020d}{CHECKPOINT}" in names
