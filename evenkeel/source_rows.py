"""Rows and labels of a table as a caller of the service would send them, by a contract that exists already.

Values that do not fit the contract are left as they are: refusing them is the service's business.
"""

from typing import Any

import numpy as np
import pandas as pd

from evenkeel.column_types import as_text, id_texts, typed
from lifecycle.clock import to_datetime
from lifecycle.contract import Contract, Kind, label_text
from lifecycle.errors import ProjectInvalid
from retrain.training import columns


def request_rows(contract: Contract, source: pd.DataFrame) -> list[dict[str, Any]]:
    """One JSON object per row of `source` (as `read_source` returns it), in its order, with the contract's fields.

    A field the file lacks is left out of every row. The contract's id and subject columns are sent too, as they are.
    """
    known = [column for column in contract.columns if column.name in source.columns]
    names = [column.name for column in known]
    values = [
        id_texts(source[column.name]).tolist()
        if column.name in contract.pseudonymised
        else _json_values(source[column.name], column.kind)
        for column in known
    ]
    for name in dict.fromkeys(filter(None, [contract.id, contract.subject])):
        if name in source.columns and name not in names:
            names.append(name)
            values.append(id_texts(source[name]).tolist())
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def request_labels(contract: Contract, source: pd.DataFrame) -> list[bool | int | float | str | None]:
    """The label of every row, in JSON's types, None where it is missing. Raises ProjectInvalid without a target column."""
    target = contract.target
    if target.name not in source.columns:
        raise ProjectInvalid(f"the file has no column {target.name!r}, so there are no labels to send; add it")
    if target.is_regression:
        return _numbers(source[target.name])
    native = dict(zip(target.class_texts, target.classes, strict=True))
    texts = [
        None if value is None else label_text(value)
        for value in columns(typed(source[target.name]).to_frame())[target.name]
    ]
    return [None if text is None else native.get(text, text) for text in texts]


def _json_values(series: pd.Series, kind: Kind) -> list[Any]:
    if kind == "categorical":
        return as_text(series).tolist()
    if kind in ("numeric", "integer"):
        return _numbers(series, whole=kind == "integer")
    values = typed(series)
    plain: list[Any] = columns(values.to_frame())[str(series.name)]
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return [None if value is None else to_datetime(int(value.timestamp() * 1e6)).isoformat() for value in plain]
    return plain


def _numbers(series: pd.Series, *, whole: bool = False) -> list[Any]:
    values = columns(series.to_frame())[str(series.name)]
    numbers = pd.to_numeric(pd.Series(values, dtype=object), errors="coerce").to_numpy(
        dtype=np.float64, na_value=np.nan
    )
    return [_number(value, number, whole=whole) for value, number in zip(values, numbers.tolist(), strict=True)]


def _number(value: object, number: float, *, whole: bool) -> object:
    if value is None or not np.isfinite(number):
        return value
    return int(number) if whole and number.is_integer() else float(number)
