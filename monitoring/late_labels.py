"""Which windows have labels that were not there at the last look, without reading any window again.

Only files that were added to the labels table since the last look are read, and of those only the ids: an id holds the
moment of its prediction. Merged files are read only when they may hold rows that no file seen before did.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from lifecycle.feature_log.data_files import DataFile
from lifecycle.feature_log.table import LogTables
from lifecycle.ids import milliseconds_of

SLACK_MICROSECONDS = 2_000_000
"""An id may be made this much before or after the moment its request is recorded with."""


class LateLabels:
    """Remembers which label files have been looked at."""

    def __init__(self, tables: LogTables) -> None:
        self._table = tables.labels
        self._version: int | None = None
        self._seen: Mapping[str, DataFile] | None = None

    def moments(self) -> npt.NDArray[np.int64] | None:
        """The moments (microseconds, ascending) of predictions labelled since the last look; None means any, at first."""
        state = self._table.state()
        if state is None or state.version == self._version:
            return np.array([], dtype=np.int64)
        files = {file.path: file for file in state.files}
        before, self._seen, self._version = self._seen, files, state.version
        return None if before is None else self._moments(added(before, files))

    def _moments(self, files: Iterable[DataFile]) -> npt.NDArray[np.int64]:
        batches = self._table.scan(files, ["id"])
        found = [milliseconds_of(identifier) * 1000 for batch in batches for identifier in batch["id"].to_pylist()]
        return np.sort(np.array(found, dtype=np.int64))


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


def touches(moments: npt.NDArray[np.int64] | None, start: int, end: int) -> bool:
    """Whether any of `moments` may belong to the window [`start`, `end`)."""
    if moments is None:
        return True
    first = int(np.searchsorted(moments, start - SLACK_MICROSECONDS))
    return first < len(moments) and int(moments[first]) < end + SLACK_MICROSECONDS
