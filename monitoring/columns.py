"""Columns as they are scored: one float64 or text column per feature, and the prediction, alike on both sides.

Datetimes become seconds since 1970 and booleans text; a missing value is NaN or None. Reference and window go through
the same conversion, so a difference between them is a difference in the world.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lifecycle.contract import Contract, Kind
from lifecycle.feature_log.placing import column_of
from lifecycle.feature_log.table import FEATURE
from lifecycle.versions import PREDICTION

SMALLEST_SPREAD = 0.001
"""Evidently divides a distance by the reference's standard deviation, but never by less than this."""


@dataclass(frozen=True)
class Scored:
    """One scored column: its name, its kind, and the power of ten its numbers are multiplied by."""

    name: str
    kind: Kind
    factor: float = 1.0

    @property
    def is_numeric(self) -> bool:
        return self.kind in ("numeric", "integer", "datetime")


@dataclass(frozen=True)
class Reference:
    """A version's reference window, prepared: `frame` has one column per entry of `columns`, in order."""

    version: int
    contract: Contract
    columns: tuple[Scored, ...]
    frame: pd.DataFrame
    in_time_order: bool


def prediction_name(contract: Contract) -> str:
    """What the prediction is called among the columns; in brackets when a feature has the plain name."""
    name = "prediction"
    while name in contract.names:
        name = f"({name})"
    return name


def prepare_reference(version: int, contract: Contract, rows: pd.DataFrame) -> Reference:
    """The reference rows of a version (contract columns and its predictions) as they are scored.

    Without the features that the feature log does not keep: there is nothing to score them against.
    """
    kept = [column for column in contract.columns if column.name not in contract.dropped]
    kinds: list[tuple[str, Kind, str]] = [(column.name, column.kind, column.name) for column in kept]
    kinds.append((prediction_name(contract), _answer_kind(contract), PREDICTION))
    frame = pd.DataFrame({name: _from_pandas(rows[source], kind) for name, kind, source in kinds})
    columns = tuple(Scored(name, kind, _factor(frame[name], kind)) for name, kind, _ in kinds)
    for column in columns:
        if column.factor != 1.0:
            frame[column.name] *= column.factor
    return Reference(version, contract, columns, frame, contract.time is not None)


def prepare_window(reference: Reference, rows: pa.Table) -> pd.DataFrame:
    """Rows of the feature log as they are scored against `reference`; an absent column is all missing."""
    answer = prediction_name(reference.contract)
    frame = {}
    for column in reference.columns:
        name = "prediction" if column.name == answer else FEATURE + column.name
        values = _from_arrow(rows, column_of(rows.schema, name, column.kind), column.kind)
        frame[column.name] = values * column.factor if column.is_numeric else values
    return pd.DataFrame(frame)


def thinned(rows: pa.Table, most: int) -> pa.Table:
    """At most `most` rows, evenly spread, in order."""
    if len(rows) <= most:
        return rows
    return rows.take(np.linspace(0, len(rows) - 1, most).astype(int))


def _answer_kind(contract: Contract) -> Kind:
    return "numeric" if contract.target.is_regression else "categorical"


def _factor(values: pd.Series, kind: Kind) -> float:
    """Raises tiny units (metres of rain, say) above Evidently's floor, so that their drift is not hidden by it."""
    spread = float(values.std()) if kind in ("numeric", "integer") else 1.0
    if not 0 < spread < SMALLEST_SPREAD:
        return 1.0
    return float(10.0 ** np.ceil(-np.log10(spread)))


def _from_pandas(values: pd.Series, kind: Kind) -> pd.Series:
    if kind in ("categorical", "boolean"):
        return _texts(values.tolist())
    if pd.api.types.is_datetime64_any_dtype(values):
        moments = pd.to_datetime(values, utc=True).dt.tz_localize(None)
        return pd.Series((moments - pd.Timestamp(0)).dt.total_seconds().to_numpy(np.float64))
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return pd.Series(numbers / 1e6 if kind == "datetime" else numbers)


def _from_arrow(rows: pa.Table, source: str | None, kind: Kind) -> pd.Series:
    if source is None:
        missing: Any = np.nan if kind in ("numeric", "integer", "datetime") else None
        return pd.Series([missing] * len(rows), dtype=np.float64 if missing is not None else object)
    values = rows[source]
    if kind in ("categorical", "boolean"):
        return _texts(values.to_pylist())
    if pa.types.is_timestamp(values.type):
        moments = pc.cast(pc.cast(values, pa.timestamp("us")), pa.int64())
        values = pc.divide(pc.cast(moments, pa.float64(), safe=False), 1e6)
    return pd.Series(pc.cast(values, pa.float64(), safe=False).to_numpy())


def _texts(values: Sequence[Any]) -> pd.Series:
    texts: list[str | None] = []
    for value in values:
        if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
            texts.append(None)
        elif isinstance(value, bool | np.bool_):
            texts.append("true" if value else "false")
        else:
            texts.append(str(value))
    return pd.Series(texts, dtype=object)
