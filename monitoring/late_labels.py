"""Which windows have labels that were not there at the last look, without reading any window again.

Only files that were added to the labels table since the last look are read, and of those only the ids: an id holds the
moment of its prediction.
"""

import numpy as np
import numpy.typing as npt
import pyarrow.dataset as ds

from lifecycle.feature_log.table import LogTables, open_table
from lifecycle.ids import milliseconds_of

SLACK_MICROSECONDS = 2_000_000
"""An id may be made this much before or after the moment its request is recorded with."""


class LateLabels:
    """Remembers which label files have been looked at."""

    def __init__(self, tables: LogTables) -> None:
        self._tables = tables
        self._version: int | None = None
        self._seen: frozenset[str] | None = None

    def moments(self) -> npt.NDArray[np.int64] | None:
        """The moments (microseconds, ascending) of predictions labelled since the last look; None means any, at first."""
        table = open_table(self._tables.labels)
        if table is None or table.version() == self._version:
            return np.array([], dtype=np.int64)
        files = frozenset(table.file_uris())
        added = sorted(files - self._seen) if self._seen is not None else None
        self._version, self._seen = table.version(), files
        return None if added is None else _moments(added)


def touches(moments: npt.NDArray[np.int64] | None, start: int, end: int) -> bool:
    """Whether any of `moments` may belong to the window [`start`, `end`)."""
    if moments is None:
        return True
    first = int(np.searchsorted(moments, start - SLACK_MICROSECONDS))
    return first < len(moments) and int(moments[first]) < end + SLACK_MICROSECONDS


def _moments(files: list[str]) -> npt.NDArray[np.int64]:
    if not files:
        return np.array([], dtype=np.int64)
    ids = ds.dataset(files, format="parquet").to_table(columns=["id"])["id"].to_pylist()
    return np.sort(np.array([milliseconds_of(identifier) * 1000 for identifier in ids], dtype=np.int64))
