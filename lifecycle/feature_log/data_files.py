"""The data files of a table, as its commits describe them: how many rows, and the bounds of `id` and `at`, which a window is found by."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from lifecycle.clock import from_datetime

DAY = "day"
MERGED = "merged-"
"""How the name of a file begins whose rows were in others before."""
BOUNDED = ("id", "at")
"""Columns whose bounds a commit holds."""
LAST = 2**63 - 1


@dataclass(frozen=True)
class DataFile:
    """A data file of the table, as its commit describes it; moments are microseconds since 1970.

    Where a bound is not known, it is the widest.
    """

    path: str
    day: str
    rows: int
    bytes: int
    first_at: int
    last_at: int
    first_id: str
    last_id: str

    @property
    def is_merged(self) -> bool:
        """Whether its rows were in other files before."""
        return self.path.rsplit("/", 1)[-1].startswith(MERGED)


@dataclass(frozen=True)
class State:
    """A table as one commit left it."""

    version: int
    schema: pa.Schema
    files: tuple[DataFile, ...]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)


@dataclass
class Bounds:
    """What a commit says of a file, gathered while its rows pass by."""

    rows: int = 0
    low: dict[str, Any] = field(default_factory=dict)
    high: dict[str, Any] = field(default_factory=dict)

    def passing(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        for table in tables:
            self.rows += table.num_rows
            for name in BOUNDED:
                if name in table.column_names:
                    self._take(name, pc.min_max(table[name]).as_py())
            yield table

    def _take(self, name: str, found: Mapping[str, Any]) -> None:
        if found["min"] is not None:
            self.low[name] = min(found["min"], self.low.get(name, found["min"]))
            self.high[name] = max(found["max"], self.high.get(name, found["max"]))

    def text(self) -> str:
        low, high = ({name: _text(value) for name, value in side.items()} for side in (self.low, self.high))
        return json.dumps({"numRecords": self.rows, "minValues": low, "maxValues": high, "nullCount": {}})


def pruned(files: Iterable[DataFile], start: int | None, end: int | None) -> list[DataFile]:
    """Those that may have rows of [`start`, `end`); None is no bound."""
    first, last = -LAST if start is None else start, LAST if end is None else end
    return [file for file in files if file.last_at >= first and file.first_at < last]


def state_of(table: DeltaTable) -> State:
    actions = pa.table(table.get_add_actions(flatten=True))
    kept = [name for name in actions.column_names if name in _ACTION_COLUMNS]
    files = sorted((_described(row) for row in actions.select(kept).to_pylist()), key=lambda file: file.path)
    return State(table.version(), schema_of(table), tuple(files))


_ACTION_COLUMNS = frozenset(
    ("path", "size_bytes", "num_records", "min.id", "max.id", "min.at", "max.at", f"partition.{DAY}")
)


def _described(row: Mapping[str, Any]) -> DataFile:
    day = row[f"partition.{DAY}"]
    first, last = row.get("min.at"), row.get("max.at")
    return DataFile(
        path=row["path"],
        day=day,
        rows=row["num_records"] or 0,
        bytes=row["size_bytes"],
        first_at=from_datetime(first) if first else -LAST,
        last_at=from_datetime(last) if last else LAST,
        first_id=row.get("min.id") or "",
        last_id=row.get("max.id") or "\U0010ffff",
    )


def data_file(action: AddAction) -> DataFile:
    stats = json.loads(action.stats)
    low, high = stats["minValues"], stats["maxValues"]
    return DataFile(
        path=action.path,
        day=str(action.partition_values[DAY]),
        rows=stats["numRecords"],
        bytes=action.size,
        first_at=_moment(low["at"]) if "at" in low else -LAST,
        last_at=_moment(high["at"]) if "at" in high else LAST,
        first_id=low.get("id", ""),
        last_id=high.get("id", "\U0010ffff"),
    )


def schema_of(table: DeltaTable) -> pa.Schema:
    return pa.schema(table.schema().to_arrow())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _moment(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text))
