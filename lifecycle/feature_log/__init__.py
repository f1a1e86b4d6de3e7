"""The feature log: per-process append-only segments, folded into Delta Lake tables that everything else reads.

`window` is for notebooks and scripts; it loads what reads tables only when it is called.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def window(
    start: date | int,
    end: date | int,
    columns: Sequence[str] | None = None,
    labels: bool = False,  # noqa: FBT001, FBT002 - written by hand in notebooks, as `labels=True`
    project: Path | str = Path(),
) -> "pa.RecordBatchReader":
    """The predictions of `project` with `start` <= at < `end`, in order of time, as Arrow batches; memory does not grow with them.

    Moments are datetimes (a naive one is UTC), dates (their midnight in UTC) or microseconds since 1970. `columns` are the record's
    or features, such as `version` and `age`; `id` is always there. With `labels`, the latest label of each row is beside it.
    Raises TypeError for another moment, InputRejected for a column that there is not, ConfigInvalid or StoreUnavailable.
    """
    from lifecycle.config import load
    from lifecycle.feature_log.table import LogTables

    first, last = _moment(start), _moment(end)
    folder = Path(project).resolve()
    section = load(folder).feature_log
    tables = LogTables(folder / section.path, url=section.table)
    chosen = None if columns is None else tables.columns(columns)
    return tables.window(first, last, chosen, labels=labels)


def _moment(moment: object) -> int:
    from lifecycle.clock import from_datetime

    if isinstance(moment, datetime):
        return from_datetime(moment)
    if isinstance(moment, date):
        return from_datetime(datetime.combine(moment, time(), UTC))
    if not isinstance(moment, bool) and isinstance(moment, Integral):
        return int(moment)
    raise TypeError(f"{moment!r} is no moment; give a datetime, a date, or whole microseconds since 1970")
