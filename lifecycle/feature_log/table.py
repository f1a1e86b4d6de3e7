"""The read side: two Delta tables, predictions and labels, and the window that joins them.

Rows are partitioned by the day of the prediction (UTC), so reading a window touches the days it covers.
"""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from lifecycle.clock import to_datetime
from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log.writer import SEGMENTS
from lifecycle.ids import lower_bound, milliseconds_of
from lifecycle.records import Label, LogSchema, PredictionBatch

FEATURE = "feature_"
PROBABILITY = "probability_"
MOMENT = pa.timestamp("us", tz="UTC")
_ARROW = {
    "numeric": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "categorical": pa.string(),
    "datetime": MOMENT,
}


class LogTables:
    """The folded feature log in `folder`: `predictions/`, `labels/`, beside the `segments/` still to be folded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.predictions = folder / "predictions"
        self.labels = folder / "labels"
        self.segments = folder / SEGMENTS
        self.quarantine = folder / "quarantine"

    def versions(self) -> tuple[int | None, int | None]:
        """The Delta versions of predictions and labels now; None for a table that has no rows yet."""
        tables = (open_table(self.predictions), open_table(self.labels))
        return tables[0].version() if tables[0] else None, tables[1].version() if tables[1] else None

    def row_count(self) -> int:
        """Rows in the predictions table, from its metadata."""
        table = open_table(self.predictions)
        return int(table.count()) if table else 0

    def window(
        self,
        start: int,
        end: int,
        columns: Sequence[str] | None = None,
        *,
        labels: bool = False,
        versions: tuple[int | None, int | None] | None = None,
    ) -> pa.Table:
        """Predictions with `start` <= at < `end` (microseconds since 1970), in order of id.

        `columns` limits the record's columns (see `prediction_schema`; `id` is always there); with `labels`, the latest `label`,
        `observed_at` and `received_at` are joined, null where there is none. `versions` reads the tables as they were
        (see `versions()`). Memory is proportional to the window.
        """
        table = open_table(self.predictions, versions[0] if versions else None)
        if table is None or (versions is not None and versions[0] is None):
            return pa.table({"id": pa.array([], pa.string())})
        at = ds.field("at")
        bounds = (at >= pa.scalar(start, MOMENT)) & (at < pa.scalar(end, MOMENT))
        dataset = table.to_pyarrow_dataset(file_pruning_predicate=[("day", "in", days(start, end))])
        wanted = None
        if columns is not None:
            wanted = [name for name in dict.fromkeys(["id", *columns]) if name in dataset.schema.names]
        rows = dataset.to_table(columns=wanted, filter=bounds).sort_by("id")
        if not labels:
            return rows
        return self._with_labels(rows, self._labels_as_of(versions))

    def record(self, identifier: str) -> pa.Table:
        """The one prediction with this id and its latest label, or no row."""
        table = open_table(self.predictions)
        if table is None:
            return pa.table({"id": pa.array([], pa.string())})
        moment = milliseconds_of(identifier) * 1000
        around = days(moment - 600_000_000, moment + 600_000_000)
        dataset = table.to_pyarrow_dataset(file_pruning_predicate=[("day", "in", around)])
        return self._with_labels(dataset.to_table(filter=ds.field("id") == identifier), open_table(self.labels))

    def _labels_as_of(self, versions: tuple[int | None, int | None] | None) -> DeltaTable | None:
        if versions is None:
            return open_table(self.labels)
        return None if versions[1] is None else open_table(self.labels, versions[1])

    def _with_labels(self, rows: pa.Table, table: DeltaTable | None) -> pa.Table:
        if table is None or not rows.num_rows:
            for name, kind in (("label", pa.null()), ("observed_at", MOMENT), ("received_at", MOMENT)):
                rows = rows.append_column(name, pa.nulls(rows.num_rows, kind))
            return rows
        bounds = pc.min_max(rows["id"]).as_py()
        first, last = milliseconds_of(bounds["min"]), milliseconds_of(bounds["max"]) + 1
        dataset = table.to_pyarrow_dataset(file_pruning_predicate=[("day", "in", days(first * 1000, last * 1000))])
        inside = (ds.field("id") >= lower_bound(first)) & (ds.field("id") < lower_bound(last))
        found = dataset.to_table(columns=["id", "label", "observed_at", "received_at"], filter=inside)
        latest = found.sort_by("received_at").to_pandas().drop_duplicates("id", keep="last")
        joined = pa.Table.from_pandas(latest, schema=found.schema, preserve_index=False)
        return rows.join(joined, "id", join_type="left outer").sort_by("id")


def open_table(path: Path, version: int | None = None) -> DeltaTable | None:
    """The Delta table at `path`, as of `version`; None when nothing was ever written there."""
    try:
        return DeltaTable(str(path), version=version)
    except TableNotFoundError:
        return None
    except (OSError, DeltaError) as error:
        raise StoreUnavailable(
            f"the table {path.name} cannot be read: {error}; check the disk and its rights"
        ) from error


def days(start: int, end: int) -> list[str]:
    """The UTC days that [`start`, `end`) touches, as partition values."""
    first, last = to_datetime(start).date(), to_datetime(max(end - 1, start)).date()
    return [(first + timedelta(days=offset)).isoformat() for offset in range((last - first).days + 1)]


def prediction_schema(schema: LogSchema) -> pa.Schema:
    """The Arrow columns of a prediction record under one version's schema."""
    features = [(FEATURE + name, _ARROW[kind]) for name, kind in schema.kinds.items()]
    answer = pa.string() if schema.classes else pa.float64()
    return pa.schema(
        [
            ("id", pa.string()),
            ("request_id", pa.string()),
            ("at", MOMENT),
            ("day", pa.string()),
            ("model", pa.string()),
            ("version", pa.int64()),
            ("generation", pa.int64()),
            ("protocol", pa.string()),
            ("latency_us", pa.int64()),
            ("key_id", pa.string()),
            *features,
            ("prediction", answer),
            *((PROBABILITY + name, pa.float64()) for name in schema.classes),
        ]
    )


def predictions_table(batches: Sequence[PredictionBatch], schema: LogSchema) -> pa.Table:
    """Batches of one version as rows, in the order given."""
    flat: dict[str, list[object]] = {name: [] for name in prediction_schema(schema).names}
    for batch in batches:
        rows = len(batch.ids)
        day = to_datetime(batch.at).date().isoformat()
        shared = (batch.request_id, batch.at, day, batch.model, batch.version, batch.generation, batch.protocol)
        for name, value in zip(
            ("request_id", "at", "day", "model", "version", "generation", "protocol"), shared, strict=True
        ):
            flat[name] += [value] * rows
        flat["latency_us"] += [batch.latency_us] * rows
        flat["key_id"] += [batch.key_id] * rows
        flat["id"] += batch.ids
        flat["prediction"] += batch.predictions
        for name in schema.kinds:
            flat[FEATURE + name] += batch.columns[name]
        for name in schema.classes:
            flat[PROBABILITY + name] += batch.probabilities.get(name) or [None] * rows
    return pa.table(flat, schema=prediction_schema(schema))


def labels_table(labels: Sequence[Label]) -> pa.Table:
    """Labels as rows; `label` is a number or a text, as the first one is."""
    kind = pa.string() if isinstance(labels[0].label, str) else pa.float64()
    return pa.table(
        {
            "id": pa.array([label.id for label in labels], pa.string()),
            "day": pa.array([to_datetime(milliseconds_of(label.id) * 1000).date().isoformat() for label in labels]),
            "label": pa.array([label.label for label in labels], kind),
            "observed_at": pa.array([label.observed_at for label in labels], MOMENT),
            "received_at": pa.array([label.received_at for label in labels], MOMENT),
            "key_id": pa.array([label.key_id for label in labels], pa.string()),
        }
    )
