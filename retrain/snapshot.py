"""The snapshot: the labelled rows a retrain learns from, named so exactly that they can be read again.

It is two Delta versions, a time range and a digest of the rows. Rows of windows that were judged `data_quality` are
left out: breakage is not drift, and nothing is learnt from it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from lifecycle.clock import from_datetime
from lifecycle.contract import Contract
from lifecycle.feature_log.table import FEATURE, LogTables
from lifecycle.records import Verdict
from lifecycle.versions import LABEL
from retrain.training import row_digest

AT = "__at__"


@dataclass(frozen=True)
class Snapshot:
    """Which rows: [`start`, `end`) of the feature log at two Delta versions, without the `excluded` windows."""

    predictions_version: int | None
    labels_version: int | None
    start: int
    end: int
    rows: int
    digest: str
    excluded: tuple[tuple[int, int], ...] = ()

    def describe(self) -> dict[str, Any]:
        return {"kind": "feature_log", **asdict(self)}


def take(
    tables: LogTables, contract: Contract, *, start: int, end: int, verdicts: Sequence[Verdict], most_rows: int
) -> tuple[Snapshot, pd.DataFrame]:
    """Freeze the labelled rows of [`start`, `end`), the newest `most_rows` of them, in order of time.

    The frame has the contract's columns in their kinds, LABEL in stored form, and AT (microseconds since 1970).
    """
    versions = tables.versions()
    wanted = ["id", "at", *(FEATURE + name for name in contract.names)]
    found = tables.window(start, end, wanted, labels=True, versions=versions).to_pandas()
    excluded = tuple((item.start, item.end) for item in verdicts if item.state == "data_quality")
    rows = _kept(found, contract, excluded).tail(most_rows).reset_index(drop=True)
    return Snapshot(*versions, start, end, len(rows), row_digest(rows), excluded), rows


def _kept(found: pd.DataFrame, contract: Contract, excluded: Sequence[tuple[int, int]]) -> pd.DataFrame:
    names = list(contract.names)
    if "label" not in found or found.empty:
        return pd.DataFrame({name: [] for name in [*names, LABEL, AT]})
    labelled = found[found["label"].notna()].sort_values(["at", "id"])
    at = np.array([from_datetime(moment) for moment in labelled["at"].dt.to_pydatetime()], dtype=np.int64)
    keep = np.ones(len(at), dtype=bool)
    for first, last in excluded:
        keep &= (at < first) | (at >= last)
    rows = pd.DataFrame({column.name: _values(labelled, column.name, column.kind) for column in contract.columns})
    return rows.assign(**{LABEL: labelled["label"].to_numpy(), AT: at})[keep]


def _values(labelled: pd.DataFrame, name: str, kind: str) -> Any:
    stored = FEATURE + name
    if stored not in labelled:
        return [None] * len(labelled)
    if kind == "datetime":
        return [None if pd.isna(value) else from_datetime(value) for value in labelled[stored]]
    return labelled[stored].to_numpy()
