"""What the values of one source column are: numbers, truth values, moments or text.

Canonical forms: `Int64`, float64 with NaN for missing, `boolean`, `datetime64[us, UTC]`, and object columns of text or
None. A column that mixes numbers or dates with text is refused with an example of each. Row numbers in sentences are
the index's, counted from 1.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from evenkeel.amounts import with_comma
from lifecycle.contract import Kind
from lifecycle.errors import ProjectInvalid

MIXED_SHARE = 0.05
MIXED_DATES_SHARE = 0.5
DATE_LIKE = r"^\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})?)?$"
LEADING_ZERO = r"^[+-]?0\d+$"
DIGITS_ONLY = r"^[+-]?\d+$"
NOTATIONS = tuple(
    day + clock
    for day in (
        "%Y/%m/%d",
        "%Y.%m.%d",
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%d.%m.%Y",
        "%d-%m-%Y",
        "%m-%d-%Y",
        "%d %b %Y",
        "%d %B %Y",
    )
    for clock in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
)
TRUTH = {"true": True, "false": False}
MOMENT: Final = "datetime64[us, UTC]"


def typed(series: pd.Series, way_out: str | None = None) -> pd.Series:
    """`series` in its canonical form.

    Raises ProjectInvalid for mixed types and for values no feature can hold; `way_out` ends that sentence.
    """
    way_out = way_out or f"leave the column out with --drop {series.name}"
    if pd.api.types.is_bool_dtype(series.dtype):
        return series.astype("boolean")
    if pd.api.types.is_integer_dtype(series.dtype):
        return _integers(series)
    if pd.api.types.is_float_dtype(series.dtype) or _is_decimal(series):
        return _floats(series)
    if pd.api.types.is_datetime64_any_dtype(series.dtype) or _is_date(series):
        return pd.to_datetime(series.astype(object), utc=True).astype(MOMENT)
    return _from_text(_scalar_texts(series, way_out), way_out)


def as_text(series: pd.Series) -> pd.Series:
    """`series` as text without blanks around it, or None, whatever it holds."""
    missing = series.isna().tolist()
    texts = [None if gone else str(value).strip() or None for value, gone in zip(series.tolist(), missing, strict=True)]
    return _objects(texts, series)


def id_texts(series: pd.Series) -> pd.Series:
    """`series` as the service reads ids: text without blanks around it, whole numbers without a point, or None."""
    values = series.tolist()
    whole = [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
    return as_text(_objects(whole, series))


def moments(series: pd.Series) -> pd.Series:
    """`series` as something that sorts by time: moments (ISO 8601 or another usual notation), or numbers as they are.

    Raises ProjectInvalid with an example when it is neither, or when days and months cannot be told apart.
    """
    if pd.api.types.is_datetime64_any_dtype(series.dtype) or _is_date(series):
        return typed(series)
    texts = as_text(series)
    numbers = pd.to_numeric(texts, errors="coerce")
    if bool((numbers.notna() == texts.notna()).all()):
        return numbers
    found = _read_all(texts, "ISO8601")
    return _in_one_notation(texts) if found is None else found


def moments_where_readable(series: pd.Series) -> pd.Series:
    """`moments`, but a text that is none in the notation of most of them is NaT.

    Raises ProjectInvalid when no notation reads any, or when days and months cannot be told apart.
    """
    texts = as_text(series)
    if pd.api.types.is_datetime64_any_dtype(series.dtype) or _is_date(series) or texts.isna().all():
        return moments(series)
    if bool((pd.to_numeric(texts, errors="coerce").notna() == texts.notna()).all()):
        return moments(series)
    read = [pd.to_datetime(texts, errors="coerce", utc=True, format=form) for form in ("ISO8601", *NOTATIONS)]
    best = max(read, key=lambda found: int(found.notna().sum()))
    return moments(series.where(best.notna())).astype(MOMENT) if bool(best.notna().any()) else moments(series)


def kind_of(values: pd.Series) -> Kind:
    """The contract's kind for a canonical column."""
    if isinstance(values.dtype, pd.BooleanDtype):
        return "boolean"
    if isinstance(values.dtype, pd.Int64Dtype):
        return "integer"
    if pd.api.types.is_float_dtype(values.dtype):
        return "numeric"
    return "datetime" if isinstance(values.dtype, pd.DatetimeTZDtype) else "categorical"


def stored(values: pd.Series, kind: Kind) -> pd.Series:
    """A canonical column as training rows hold it: plain numpy, moments in microseconds since 1970."""
    missing = bool(values.isna().any())
    if kind == "categorical":
        return values.astype(object)
    if kind == "boolean":
        truths = [None if gone else bool(value) for value, gone in zip(values, values.isna(), strict=True)]
        return _objects(truths, values) if missing else values.astype(bool)
    if kind == "datetime":
        ticks = values.astype("int64").astype("float64" if missing else "int64")
        return ticks.where(values.notna(), math.nan) if missing else ticks
    return values.astype("float64" if missing or kind == "numeric" else "int64")


def _read_all(texts: pd.Series, form: str) -> pd.Series | None:
    """Moments for texts that are all in the one notation `form`; None when any is not."""
    found = pd.to_datetime(texts, errors="coerce", utc=True, format=form)
    return found.astype(MOMENT) if bool((found.notna() == texts.notna()).all()) else None


def _in_one_notation(texts: pd.Series) -> pd.Series:
    """Moments in the one other usual notation that reads every text, or, of several, one in which time goes forward."""
    readings = [found for form in NOTATIONS if (found := _read_all(texts, form)) is not None]
    forward = [found for found in readings if found.dropna().is_monotonic_increasing]
    if not forward and len(readings) != 1:
        known = texts[texts.notna()]
        raise ProjectInvalid(
            f"the time column {texts.name!r} cannot be read as dates in one notation (row {_row(known.index[0])} holds "
            f"{known.iloc[0][:60]!r}); write times as 2026-01-31T14:05:00, or leave out --time"
        )
    return (forward or readings)[0]


def _objects(values: Sequence[Any], like: pd.Series) -> pd.Series:
    """An object column: pandas would otherwise turn None into NaN, and text into its own type."""
    return pd.Series(list(values), index=like.index, name=like.name, dtype=object)


def _scalar_texts(series: pd.Series, way_out: str) -> pd.Series:
    known = series[series.notna()]
    odd = next((value for value in known.head(1000) if not isinstance(value, str | int | float | np.generic)), None)
    if odd is not None:
        raise ProjectInvalid(
            f"column {series.name!r} holds {type(odd).__name__} values, which are no numbers, texts or dates; {way_out}"
        )
    return as_text(series)


def _from_text(texts: pd.Series, way_out: str) -> pd.Series:
    known = texts[texts.notna()].astype(str)
    if known.empty:
        return texts
    lower = known.str.lower()
    if lower.isin(list(TRUTH)).all():
        return _objects([TRUTH.get(str(value).lower()) for value in texts], texts).astype("boolean")
    numbers = pd.to_numeric(known, errors="coerce")
    if numbers.notna().all() and not known.str.match(LEADING_ZERO).any():
        return _from_numbers(texts, known)
    if not numbers.notna().all():
        if example := with_comma(known, numbers.notna()):
            raise ProjectInvalid(
                f"column {known.name!r} holds numbers written with a comma ({example}); write them with a decimal point and "
                f"without separators for thousands (such as 1234.5), or {way_out}"
            )
        _refuse_mixed(known, numbers.notna(), "numbers", MIXED_SHARE, way_out)
    dates = known.str.match(DATE_LIKE)
    if dates.all():
        found = _read_all(texts, "ISO8601")
        return texts if found is None else found
    if dates.any():
        _refuse_mixed(known, dates, "dates", MIXED_DATES_SHARE, way_out)
    return texts


def _from_numbers(texts: pd.Series, known: pd.Series) -> pd.Series:
    if known.str.match(DIGITS_ONLY).all():
        try:
            return _objects([None if value is None else int(value) for value in texts], texts).astype("Int64")
        except OverflowError:
            return texts  # longer than 64 bits: a code, not a quantity
    return _floats(pd.to_numeric(texts, errors="coerce"))


def _integers(series: pd.Series) -> pd.Series:
    try:
        return series.astype("Int64")
    except (OverflowError, TypeError, ValueError):
        return series.astype("float64")


def _floats(series: pd.Series) -> pd.Series:
    """Floats with infinities as missing; whole numbers that are floats only because some are missing become integers."""
    numbers = [math.nan if gone else float(value) for value, gone in zip(series, series.isna(), strict=True)]
    values = pd.Series(numbers, index=series.index, name=series.name, dtype="float64")
    values = values.where(np.isfinite(values), np.nan)
    known = values.dropna()
    whole = bool(len(known)) and bool((known == known.round()).all()) and bool((known.abs() < 2**53).all())
    return values.astype("Int64") if whole and len(known) < len(values) else values


def _refuse_mixed(known: pd.Series, is_one: pd.Series, ones: str, share: float, way_out: str) -> None:
    """Refuse a column when at least `share` of its values, but not all, are `ones`."""
    if float(is_one.mean()) < share:
        return
    one, text = known.index[is_one][0], known.index[~is_one][0]
    raise ProjectInvalid(
        f"column {known.name!r} mixes {ones} and text: {known[one][:60]!r} in row {_row(one)} but {known[text][:60]!r} in row "
        f"{_row(text)} ({int(is_one.sum())} of {len(known)} values are {ones}); correct the file (leave a cell empty where "
        f"the value is missing), or {way_out}"
    )


def _is_decimal(series: pd.Series) -> bool:
    return isinstance(series.dtype, pd.ArrowDtype) and str(series.dtype).startswith("decimal")


def _is_date(series: pd.Series) -> bool:
    return isinstance(series.dtype, pd.ArrowDtype) and str(series.dtype).startswith(("date", "timestamp"))


def _row(label: Any) -> int:
    return int(label) + 1
