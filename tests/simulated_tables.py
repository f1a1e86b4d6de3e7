"""Tables of the feature log on the simulated disk, as small as the folder lets them be.

They keep the order of the real ones: rows are on disk before a commit names them, a commit counts once it is on disk itself,
and one that a loss of power left half-written never was.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from lifecycle.feature_log.data_files import DAY, DataFile
from lifecycle.feature_log.naming import SEGMENTS
from tests.simulated import SimulatedDisk

FOLDER = Path("/log")
COMMIT = ".json"


Care = Literal["full", "once", "none"]
"""Whether a commit is known to be on disk before it is relied upon; synced only by who made it; or left to the disk."""


class SimulatedTable:
    """Commits as JSON, rows as Arrow files. With less than full `care` for commits it is broken."""

    def __init__(self, name: str, disk: SimulatedDisk, keys: Sequence[str], *, care: Care) -> None:
        self.name = name
        self.keys = tuple(keys)
        self._disk = disk
        self._care = care
        self._commits = FOLDER / name / "commits"
        self._rows: dict[str, pa.Table] = {}
        self._unsettled: Path | None = None
        self._recover()

    def transaction(self, writer: str) -> int:
        return self.transactions([writer])[writer]

    def transactions(self, writers: Iterable[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for commit in self._history():
            found |= commit["numbers"]
        return {writer: found.get(writer, 0) for writer in writers}

    def files(self) -> list[DataFile]:
        live: dict[str, DataFile] = {}
        for commit in self._history():
            for path in commit["removed"]:
                del live[path]
            for path in commit["added"]:
                live[path] = self._described(path)
        return list(live.values())

    def row_count(self) -> int:
        return sum(file.rows for file in self.files())

    def schema(self, columns: Sequence[str] | None = None) -> pa.Schema:
        whole = pa.unify_schemas([pa.schema([]), *(self._table(file.path).schema for file in self.files())])
        return whole if columns is None else pa.schema([whole.field(name) for name in columns if name in whole.names])

    def scan(
        self,
        files: Iterable[DataFile],
        columns: Sequence[str] | None = None,
        filter: Any = None,  # noqa: A002 - as the real one has it
    ) -> Iterator[pa.RecordBatch]:
        wanted = self.schema(columns)
        for file in files:
            rows = pa.concat_tables([wanted.empty_table(), self._table(file.path)], promote_options="default")
            rows = rows.select(wanted.names)
            yield from (rows if filter is None else rows.filter(filter)).to_batches()

    def append(self, rows: pa.Table | Sequence[pa.Table], transactions: Mapping[str, int]) -> list[DataFile]:
        tables = [rows] if isinstance(rows, pa.Table) else list(rows)
        return self._commit([pa.concat_tables(tables, promote_options="default")], (), transactions)

    def replace(
        self, removed: Sequence[DataFile], added: Iterable[pa.Table], transactions: Mapping[str, int] | None = None
    ) -> list[DataFile]:
        return self._commit(added, removed, transactions or {})

    def _commit(
        self, tables: Iterable[pa.Table], removed: Sequence[DataFile], numbers: Mapping[str, int]
    ) -> list[DataFile]:
        number = len(self._history())
        paths = []
        for place, rows in enumerate(tables):
            path = f"{number:06d}-{place}.arrow"
            order = [(key, "ascending") for key in (DAY, *self.keys)]
            self._disk.write(FOLDER / self.name / path, [_written(rows.sort_by(order))])
            paths.append(path)
        commit = {"added": paths, "removed": [file.path for file in removed], "numbers": dict(numbers)}
        self._put(self._commits / f"{number:06d}{COMMIT}", json.dumps(commit).encode())
        return [self._described(path) for path in paths]

    def _put(self, path: Path, commit: bytes) -> None:
        """Have a commit seen, as the engine does, and then see to it that it is on disk."""
        staged = path.with_suffix(f".{len(self._disk.names(path.parent))}")
        file = self._disk.create(staged)
        try:
            file.append(commit)
            self._disk.rename(staged, path)
            if self._care == "none":
                return
            self._unsettled = path if self._care == "full" else None
            file.sync()
            self._disk.sync_folder(path.parent)
            self._unsettled = None
        finally:
            file.close()

    def _settle(self) -> None:
        """What is seen is not yet on disk when an earlier process has ended, or its sync has failed, just then.

        A file whose sync failed would be taken for synced, so it is written anew.
        """
        if self._unsettled is not None:
            self._disk.write(self._unsettled, [self._disk.read(self._unsettled)])
            self._unsettled = None

    def _names(self) -> list[str]:
        return [name for name in self._disk.names(self._commits) if name.endswith(COMMIT)]

    def _history(self) -> list[dict[str, Any]]:
        self._settle()
        return [json.loads(self._disk.read(self._commits / name)) for name in self._names()]

    def _recover(self) -> None:
        for name in self._names():
            path = self._commits / name
            try:
                json.loads(self._disk.read(path))
            except ValueError:
                self._disk.remove(path)
            else:
                self._unsettled = path if self._care == "full" else None

    def _table(self, path: str) -> pa.Table:
        if path not in self._rows:
            self._rows[path] = pa.ipc.open_file(self._disk.read(FOLDER / self.name / path)).read_all()
        return self._rows[path]

    def _described(self, path: str) -> DataFile:
        rows = self._table(path)
        bounds = pc.min_max(rows["id"]).as_py()
        return DataFile(path, "", rows.num_rows, 0, 0, 0, bounds["min"] or "", bounds["max"] or "")


class SimulatedTables:
    """What the folder asks of `LogTables`."""

    def __init__(self, disk: SimulatedDisk, *, care: Care = "full") -> None:
        self.folder = FOLDER
        self.segments, self.quarantine = FOLDER / SEGMENTS, FOLDER / "quarantine"
        self.predictions = SimulatedTable("predictions", disk, ("at", "id"), care=care)
        self.labels = SimulatedTable("labels", disk, ("id", "received_at"), care=care)
        self.parked = SimulatedTable("parked", disk, ("received_at", "external_id"), care=care)

    def row_count(self) -> int:
        return self.predictions.row_count()


def _written(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    content: bytes = sink.getvalue().to_pybytes()
    return content
