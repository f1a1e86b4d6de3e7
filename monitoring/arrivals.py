"""Which windows have rows or labels that were not there at the last look, without reading any window again.

Only files that were added to a table since the last look are read, and of those only the moments: that of a label is in its
prediction's id. Merged files are read only when they may hold rows that no file seen before did.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lifecycle.feature_log.data_files import DataFile
from lifecycle.feature_log.delta import LogTable
from lifecycle.feature_log.table import LogTables
from lifecycle.ids import milliseconds_of
from monitoring.windows import NEVER, Moments

SLACK_MICROSECONDS = 2_000_000
"""An id may be made this much before or after the moment its request is recorded with."""
NONE: tuple[int, ...] = ()


class Arrivals:
    """Remembers which files of a table have been looked at; the moments of its rows are in the column `at`, or in `id`."""

    def __init__(self, table: LogTable, column: str) -> None:
        self._table = table
        self._column = column
        self._version: int | None = None
        self._seen: Mapping[str, DataFile] | None = None

    def moments(self, before: int = NEVER) -> Moments | None:
        """The moments of what came since the last look, as far as they are before `before`; None means any, at first."""
        state = self._table.state()
        if state is None:
            self._seen = self._seen or {}
            return np.array(NONE, dtype=np.int64)
        if state.version == self._version:
            return np.array(NONE, dtype=np.int64)
        files = {file.path: file for file in state.files}
        known = self._seen
        found = None if known is None else self._moments(added(known, files), before)
        self._seen, self._version = files, state.version  # only now: what could not be read is looked at again
        return found

    def _moments(self, files: Iterable[DataFile], before: int) -> Moments:
        batches = self._table.scan([file for file in files if file.first_at < before], [self._column])
        found = np.concatenate([np.array(NONE, dtype=np.int64), *map(self._read, batches)])
        return np.sort(found[found < before])

    def _read(self, rows: pa.RecordBatch) -> Moments:
        if self._column == "at":
            return moments_of(rows)
        return np.array([milliseconds_of(identifier) * 1000 for identifier in rows["id"].to_pylist()], dtype=np.int64)


class LogMoments:
    """When the rows of the feature log were answered, and of which moments there is something new."""

    def __init__(self, tables: LogTables) -> None:
        self._tables = tables
        self._rows = Arrivals(tables.predictions, "at")
        self._labels = Arrivals(tables.labels, "id")

    def answered(self, start: int, end: int) -> Iterator[Moments]:
        """The moments of all rows in [`start`, `end`), in order, a few at a time. Raises StoreUnavailable."""
        return (moments_of(rows) for rows in self._tables.window(start, end, ["at"]) if rows.num_rows)

    def most(self, start: int, end: int) -> int:
        """How many rows the files have that may have some of [`start`, `end`)."""
        return sum(file.rows for file in self._tables.predictions.files(start, end))

    def new_rows(self, before: int) -> Moments | None:
        """The moments before `before` of rows that came since the last look; None means any, at first."""
        return self._rows.moments(before)

    def new_labels(self) -> Moments | None:
        """The moments of predictions labelled since the last look, to within SLACK_MICROSECONDS; None means any, at first."""
        return self._labels.moments()


def moments_of(rows: pa.RecordBatch) -> Moments:
    """The column `at`, as numbers."""
    found: Moments = pc.cast(pc.cast(rows["at"], pa.timestamp("us")), pa.int64()).to_numpy(zero_copy_only=False)
    return found


def added(before: Mapping[str, DataFile], now: Mapping[str, DataFile]) -> list[DataFile]:
    """The files with rows that were not there before.

    A day's merged files hold nothing new when they have exactly as many rows as the files that went.
    """
    new = [file for path, file in now.items() if path not in before]
    gone = Counter[str]()
    for path, file in before.items():
        if path not in now:
            gone[file.day] += file.rows
    merged = Counter[str]()
    for file in new:
        merged[file.day] += file.rows if file.is_merged else 0
    return [file for file in new if not file.is_merged or merged[file.day] != gone[file.day]]


def touched(moments: Moments, windows: Iterable[tuple[int, int]], slack: int = 0) -> set[int]:
    """The starts of those of `windows`, [start, end), that some of `moments` (ascending) may belong to, give or take `slack`."""
    bounds = np.array(list(windows), dtype=np.int64).reshape(-1, 2)
    first = np.searchsorted(moments, bounds[:, 0] - slack)
    last = np.searchsorted(moments, bounds[:, 1] + slack)
    return set(bounds[first < last, 0].tolist())
