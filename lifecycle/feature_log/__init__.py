"""The feature log: per-process append-only segments, folded into Delta Lake tables that everything else reads.

`window` is for notebooks and scripts; it loads what reads tables only when it is called.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def window(
    start: datetime | int,
    end: datetime | int,
    columns: Sequence[str] | None = None,
    labels: bool = False,  # noqa: FBT001, FBT002 - written by hand in notebooks, as `labels=True`
    project: Path | str = Path(),
) -> "pa.RecordBatchReader":
    """The predictions of `project` with `start` <= at < `end`, in order of time, as Arrow batches; memory does not grow with them.

    Moments are datetimes (a naive one is UTC) or microseconds since 1970. `columns` are the record's, such as `feature_age`; `id`
    is always there. With `labels`, the latest label of each row is beside it. Raises ConfigInvalid or StoreUnavailable.
    """
    from lifecycle.clock import from_datetime
    from lifecycle.config import load
    from lifecycle.feature_log.table import LogTables

    folder = Path(project).resolve()
    section = load(folder).feature_log
    first, last = (moment if isinstance(moment, int) else from_datetime(moment) for moment in (start, end))
    return LogTables(folder / section.path, url=section.table).window(first, last, columns, labels=labels)
