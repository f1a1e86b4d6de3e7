"""The snapshot: the labelled rows a retrain learns from, named so exactly that they can be read again.

It is a range of time, a moment up to which labels count, and a digest of the rows: the log only grows behind its watermark, so
the same three name the same rows, and the digest says so if an erasure or retention took some away. Rows of windows that were
judged `data_quality` are left out: breakage is not drift, and nothing is learnt from it. So are those that were answered by
versions with other columns.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lifecycle.clock import from_datetime
from lifecycle.contract import Contract
from lifecycle.feature_log.placing import MOMENT, column_of
from lifecycle.feature_log.table import FEATURE, LogTables
from lifecycle.records import Verdict
from lifecycle.versions import AT, LABEL, SUBJECT
from retrain.training import row_digest


@dataclass(frozen=True)
class Snapshot:
    """Which rows: [`start`, `end`) of the feature log without the `excluded` windows, with labels received before `until`.

    None was answered by a version in `others`. `digest` is that of the newest `rows` of them.
    """

    start: int
    end: int
    until: int
    rows: int
    digest: str
    excluded: tuple[tuple[int, int], ...] = ()
    others: tuple[int, ...] = ()

    def describe(self) -> dict[str, Any]:
        return {"kind": "feature_log", **asdict(self)}


def take(
    tables: LogTables,
    contract: Contract,
    *,
    start: int,
    end: int,
    verdicts: Sequence[Verdict],
    most_rows: int,
    watermark: int | None = None,
    others: tuple[int, ...] = (),
) -> tuple[Snapshot, pd.DataFrame]:
    """Freeze the labelled rows of [`start`, `end`), the newest `most_rows` of them, in order of time.

    Nothing from after `watermark` is taken: before it, all that was recorded is in the tables (see FoldStatus). The frame has the
    contract's columns in their kinds, LABEL in stored form, AT (microseconds since 1970), and SUBJECT if it is known of any row.
    Memory is that of `most_rows`.
    """
    until = end if watermark is None else watermark
    last = max(start, min(end, until))
    wanted = ["id", "at", "subject", "version", *(FEATURE + name for name in contract.names)]
    excluded = tuple((item.start, item.end) for item in verdicts if item.state == "data_quality")
    window = tables.window(start, last, wanted, labels=True, until=until)
    rows = _frame(_newest(_labelled(window, contract, excluded, others), most_rows), contract, most_rows)
    return Snapshot(start, last, until, len(rows), row_digest(rows), excluded, others), rows


def _labelled(
    window: pa.RecordBatchReader, contract: Contract, excluded: Sequence[tuple[int, int]], others: Sequence[int]
) -> Iterator[pa.RecordBatch]:
    """The rows of each batch that have a label of the contract's kind, lie in no excluded window and are no other version's."""
    strangers = pa.array(others, pa.int64())
    label = column_of(window.schema, "label", _label_kind(contract))
    for batch in window if label else ():
        keep = pc.and_not(pc.is_valid(batch[label]), pc.is_in(batch["version"], strangers))
        for first, last in excluded:
            inside = pc.and_(
                pc.greater_equal(batch["at"], pa.scalar(first, MOMENT)), pc.less(batch["at"], pa.scalar(last, MOMENT))
            )
            keep = pc.and_not(keep, inside)
        yield batch.filter(keep)


def _newest(batches: Iterator[pa.RecordBatch], most_rows: int) -> list[pa.RecordBatch]:
    """The last batches, which come in order of time, that hold `most_rows` together."""
    kept: deque[pa.RecordBatch] = deque()
    count = 0
    for batch in batches:
        kept.append(batch)
        count += batch.num_rows
        while count - kept[0].num_rows >= most_rows:
            count -= kept.popleft().num_rows
    return [batch for batch in kept if batch.num_rows]


def _frame(batches: list[pa.RecordBatch], contract: Contract, most_rows: int) -> pd.DataFrame:
    if not batches:
        return pd.DataFrame({name: [] for name in [*contract.names, LABEL, AT]})
    found = pa.Table.from_batches(batches)
    label = column_of(found.schema, "label", _label_kind(contract))
    assert label is not None, "rows were kept for their label"
    stored = {column.name: column_of(found.schema, FEATURE + column.name, column.kind) for column in contract.columns}
    labelled = found.slice(max(0, found.num_rows - most_rows)).to_pandas()
    at = np.array([from_datetime(moment) for moment in labelled["at"].dt.to_pydatetime()], dtype=np.int64)
    columns = {column.name: _values(labelled, stored[column.name], column.kind) for column in contract.columns}
    rows = pd.DataFrame(columns).assign(**{LABEL: labelled[label].to_numpy(), AT: at})
    if "subject" in labelled and labelled["subject"].notna().any():
        rows[SUBJECT] = labelled["subject"].to_numpy()
    return rows


def _label_kind(contract: Contract) -> str:
    return "numeric" if contract.target.is_regression else "categorical"


def _values(labelled: pd.DataFrame, stored: str | None, kind: str) -> Any:
    if stored is None:
        return [None] * len(labelled)
    if kind == "datetime":
        return [None if pd.isna(value) else from_datetime(value) for value in labelled[stored]]
    return labelled[stored].to_numpy()
