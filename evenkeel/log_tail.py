"""`evenkeel log tail`: the newest rows, also those that are still in segments. Memory is that of the rows shown."""

import heapq
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from evenkeel.log_rows import cell
from lifecycle.clock import MICROSECONDS, from_datetime
from lifecycle.feature_log.data_files import DataFile
from lifecycle.feature_log.files import LOCAL_FILES, FileSystem
from lifecycle.feature_log.naming import is_segment
from lifecycle.feature_log.placing import MOMENT
from lifecycle.feature_log.rows import decode
from lifecycle.feature_log.table import FEATURE, PROBABILITY, LogTables

LOOK_SECONDS = 0.5
LATE_MICROSECONDS = 30 * MICROSECONDS
"""A row may be seen this much later than a newer one: a slow answer, another worker's segment."""
SPANS = (60 * MICROSECONDS, 3_600 * MICROSECONDS)
"""How much of the end of a file is looked at first, in time."""
Row = dict[str, Any]
_Key = tuple[int, str]


def newest(tables: LogTables, count: int, files: FileSystem = LOCAL_FILES) -> list[Row]:
    """The `count` newest rows by `at`, oldest first."""
    found = _Newest(count)
    for table in segment_rows(tables, files):  # first, so that what is folded meanwhile is in the tables then
        found.offer(table)
    for file in sorted(tables.predictions.files(), key=lambda file: file.last_at, reverse=True):
        if found.floor is not None and file.last_at < found.floor:
            break
        _offer(tables, file, found)
    return found.rows()


def follow(tables: LogTables, count: int, stop: threading.Event, files: FileSystem = LOCAL_FILES) -> Iterator[Row]:
    """`newest`, and then each row as it comes, until `stop` is set."""
    seen: dict[str, int] = {}
    last = 0
    rows: Iterable[Row] = newest(tables, count, files)
    while True:
        for row in rows:
            at = _at(row)
            if row["id"] not in seen:
                seen[row["id"]] = at
                yield row
            last = max(last, at)
        seen = {identifier: at for identifier, at in seen.items() if at >= last - 2 * LATE_MICROSECONDS}
        if stop.wait(LOOK_SECONDS):
            return
        rows = _since(tables, last - LATE_MICROSECONDS if seen else 0, files)


def segment_rows(tables: LogTables, files: FileSystem) -> Iterator[pa.Table]:
    """What can be read of the segments that are there, sealed or not."""
    for name in files.names(tables.segments):
        if not is_segment(name):
            continue
        try:
            data = files.read(tables.segments / name)
        except FileNotFoundError:
            continue  # folded, or sealed, this moment
        yield from (table for _, table in decode(data, sealed=False).predictions)


def line(row: Row) -> str:
    """A row as one line for people: when, which version, what was answered, for what."""
    scores = [value for name, value in row.items() if name.startswith(PROBABILITY) and value is not None]
    answer = cell(row.get("prediction"))
    features = " ".join(
        f"{name.split(FEATURE, 1)[1]}={cell(value)}" for name, value in row.items() if _is_told(name, value)
    )
    score = f" ({max(scores):.3f})" if scores else ""
    return f"{cell(row['at'])}  v{row['version']}  {answer}{score}  {features}  {row['id']}"


def _since(tables: LogTables, moment: int, files: FileSystem) -> list[Row]:
    keep = pc.field("at") >= pa.scalar(moment, MOMENT)
    found: dict[str, Row] = {}
    for table in segment_rows(tables, files):
        found |= {row["id"]: _known(row) for row in table.filter(keep).to_pylist()}
    for batch in tables.predictions.scan(tables.predictions.files(moment), filter=keep):
        found |= {row["id"]: _known(row) for row in batch.to_pylist()}
    return sorted(found.values(), key=lambda row: (row["at"], row["id"]))


def _offer(tables: LogTables, file: DataFile, found: "_Newest") -> None:
    """The end of a file first, and more of it only while that is too little: row groups before are not read."""
    for span in (*SPANS, file.last_at - file.first_at):
        first = max(file.last_at - span, found.floor or file.first_at)
        keep = pc.field("at") >= pa.scalar(first, MOMENT)
        for batch in tables.predictions.scan([file], filter=keep):
            found.offer(pa.Table.from_batches([batch]))
        if found.floor is not None and found.floor >= first:
            return


class _Newest:
    """The rows with the greatest `at` of all that were offered; a row that is offered twice counts once."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._heap: list[_Key] = []
        self._rows: dict[str, Row] = {}

    @property
    def floor(self) -> int | None:
        """Older rows are not among them any more."""
        return self._heap[0][0] if len(self._heap) >= self._count else None

    def offer(self, table: pa.Table) -> None:
        best = table.take(
            pc.select_k_unstable(table, k=self._count, sort_keys=[("at", "descending"), ("id", "descending")])
        )
        for row in best.to_pylist():
            if row["id"] in self._rows:
                continue
            heapq.heappush(self._heap, (_at(row), row["id"]))
            self._rows[row["id"]] = _known(row)
            if len(self._heap) > self._count:
                del self._rows[heapq.heappop(self._heap)[1]]

    def rows(self) -> list[Row]:
        return [self._rows[identifier] for _, identifier in sorted(self._heap)]


def _at(row: Row) -> int:
    return from_datetime(row["at"])


def _known(row: Row) -> Row:
    """The columns that have a value."""
    return {name: value for name, value in row.items() if value is not None and name != "day"}


def _is_told(name: str, value: object) -> bool:
    return value is not None and FEATURE in name
