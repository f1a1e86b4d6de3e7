"""Puts records into the tables for tests, without the care that a folder takes."""

from collections.abc import Sequence

import pyarrow.compute as pc

from lifecycle.clock import ManualClock
from lifecycle.feature_log.rows import decode
from lifecycle.feature_log.table import LogTables
from lifecycle.records import Label, PredictionBatch
from tests import builders


def write(tables: LogTables, *batches: PredictionBatch, labels: Sequence[Label] = ()) -> None:
    """One sealed segment."""
    writer = builders.writer(tables.segments, ManualClock(batches[0].at if batches else builders.START))
    for batch in batches:
        writer.append_predictions(batch, builders.schema())
    if labels:
        writer.append_labels(list(labels))
    writer.close()


def fold(tables: LogTables) -> None:
    """Every segment into the tables; labels without a prediction's id wait in `parked`."""
    for path in sorted(tables.segments.iterdir()):
        found = decode(path.read_bytes(), sealed=True)
        if found.predictions:
            tables.predictions.append([rows for _, rows in found.predictions], {})
        for labels in found.labels:
            known = labels["id"].is_valid()
            for table, part in (
                (tables.labels, labels.filter(known)),
                (tables.parked, labels.filter(pc.invert(known))),
            ):
                if part.num_rows:
                    table.append(part, {})
        path.unlink()


def fill(tables: LogTables, *batches: PredictionBatch, labels: Sequence[Label] = ()) -> None:
    """Both."""
    write(tables, *batches, labels=labels)
    fold(tables)
