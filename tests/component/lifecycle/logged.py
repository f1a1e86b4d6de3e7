"""Rows as they are appended to the tables, made from records, for tests that need no segments."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from lifecycle.clock import to_datetime
from lifecycle.feature_log.rows import label_tables
from lifecycle.feature_log.table import FEATURE, PROBABILITY, LogTables, prediction_schema
from lifecycle.records import LogSchema, PredictionBatch
from tests import builders

DAY = 86_400_000_000
START = builders.START
MIDNIGHT = START // DAY * DAY
EVER = (START - 10 * DAY, START + 10 * DAY)


def rows_of(batch: PredictionBatch, schema: LogSchema) -> pa.Table:
    count = len(batch.ids)
    columns: dict[str, Any] = {
        "id": batch.ids,
        "external_id": batch.external_ids or [None] * count,
        "subject": batch.subjects or [None] * count,
        "day": [to_datetime(batch.at).date().isoformat()] * count,
        "prediction": batch.predictions,
    }
    columns |= {FEATURE + name: batch.columns[name] for name in schema.kinds}
    nothing: list[Any] = [None] * count
    columns |= {PROBABILITY + name: batch.probabilities.get(name) or nothing for name in schema.classes}
    wanted = prediction_schema(schema)
    shared = set(wanted.names) - set(columns)
    return pa.table(columns | {name: [getattr(batch, name)] * count for name in shared}, schema=wanted)


class Log:
    """Tables that are appended to directly, one commit per call."""

    def __init__(self, tables: LogTables) -> None:
        self.tables = tables

    def predict(self, at: int = START, rows: int = 1, **changes: Any) -> str:
        """The first id of a new batch under `builders.schema()`."""
        batch = builders.batch(rows, at=at, **changes)
        self.tables.predictions.append(rows_of(batch, builders.schema(batch.version)), {})
        return batch.ids[0]

    def label(self, identifier: str, value: float | str, *, received_at: int = START) -> None:
        self.tables.labels.append(label_tables([builders.label(identifier, value, received_at=received_at)]), {})

    def ids(self) -> Sequence[str]:
        found: list[str] = self.tables.rows(*EVER)["id"].to_pylist()
        return found
