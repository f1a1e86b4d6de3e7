"""A feature log with a million rows in one hour, written into its table as the folder writes it."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.monitoring import wide
from lifecycle.clock import MICROSECONDS, to_datetime
from lifecycle.feature_log.placing import MOMENT
from lifecycle.feature_log.table import FEATURE, LogTables
from lifecycle.ids import uuid7s
from monitoring.rows import Categories, Rows, Values

ROWS, COLUMNS = 1_000_000, 50
COMMIT_ROWS = 50_000
START = 1_700_006_400_000_000
HOUR = 3_600 * MICROSECONDS
STEP = HOUR // ROWS
WINDOW = (START, START + HOUR)


def make(folder: Path) -> None:
    """Commit after commit, in order of time."""
    tables = LogTables(folder)
    for first in range(0, ROWS, COMMIT_ROWS):
        tables.predictions.append(_part(first), {})


def _part(first: int) -> pa.Table:
    rows = wide.rows(COMMIT_ROWS, COLUMNS, seed=first + 10)
    at = START + (first + np.arange(COMMIT_ROWS)) * STEP
    ids = pa.array(uuid7s(COMMIT_ROWS, int(at[0]) // 1000))
    columns = {
        "id": ids,
        "request_id": ids,
        "at": pa.array(at, MOMENT),
        "day": pa.repeat(to_datetime(START).date().isoformat(), COMMIT_ROWS),
        "version": pa.repeat(pa.scalar(1, pa.int64()), COMMIT_ROWS),
        "latency_us": pa.repeat(pa.scalar(900, pa.int64()), COMMIT_ROWS),
        "prediction": _arrow(rows.columns["prediction"]),
    }
    return pa.table(columns | _features(rows))


def _features(rows: Rows) -> dict[str, pa.Array]:
    return {FEATURE + name: _arrow(values) for name, values in rows.columns.items() if name != "prediction"}


def _arrow(values: Values) -> pa.Array:
    return pa.array(values.texts()) if isinstance(values, Categories) else pa.array(values.floats)
