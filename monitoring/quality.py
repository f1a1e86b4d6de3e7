"""Signs that a window is broken rather than changed: each finding is a sentence with its evidence.

Only what ordinary drift does not do counts: many values missing that were there, categories never seen, numbers more
than a full span outside the reference's range, a measured number that is stuck, one row repeated over and over.
A season, growth or a moved sensor stays drift.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lifecycle.config import MonitoringSection
from monitoring.columns import Reference, Scored
from monitoring.scores import present

MANY_VALUES = 20
ORDINARY_REPEAT = 0.1
STUCK_REPEAT = 0.5


def findings(reference: Reference, window: pd.DataFrame, settings: MonitoringSection) -> tuple[str, ...]:
    """Every finding, column by column; empty when the window is sound. The prediction is an answer, not an input."""
    found: list[str] = []
    for column in reference.columns[:-1]:
        before, now = reference.frame[column.name], window[column.name]
        found += _missing(column, before, now, settings.null_surge)
        if column.kind == "categorical":
            found += _unseen(reference, column, before, now, settings.novelty_surge)
        if column.kind in ("numeric", "integer"):
            found += _far_outside(reference, column, before, now, settings.novelty_surge)
            found += _stuck(reference, column, before, now)
    return (*found, *_repeated(reference, window))


def _missing(column: Scored, before: pd.Series, now: pd.Series, surge: float) -> Iterator[str]:
    usual, share = float(before.isna().mean()), float(now.isna().mean())
    if share - usual > surge:
        yield f"{column.name}: {share:.0%} of the values are missing, against {usual:.1%} in the reference"


def _unseen(reference: Reference, column: Scored, before: pd.Series, now: pd.Series, surge: float) -> Iterator[str]:
    values = present(now)
    if values.empty:
        return
    declared = next(entry.categories for entry in reference.contract.columns if entry.name == column.name)
    unseen = values[~values.isin(set(before.dropna()) | set(declared))]
    counts = before.value_counts()
    # Good and Turing (1953): the share of values seen once estimates the share of values still to be seen.
    expected = float((counts == 1).sum()) / max(len(before), 1)
    share = len(unseen) / len(values)
    if share - expected > surge:
        yield (
            f"{column.name}: {share:.0%} of the values are categories that the reference does not hold "
            f"({unseen.nunique()} of them), where {expected:.1%} would be usual"
        )


def _far_outside(
    reference: Reference, column: Scored, before: pd.Series, now: pd.Series, surge: float
) -> Iterator[str]:
    """Against all that was ever seen as ordinary: a reference of two summer months must not make winter a breakage."""
    known, values = present(before), present(now)
    if known.empty or values.empty:
        return
    declared = next(entry for entry in reference.contract.columns if entry.name == column.name)
    ends = [end * column.factor for end in (declared.minimum, declared.maximum) if end is not None]
    low, high = min([float(known.min()), *ends]), max([float(known.max()), *ends])
    span = high - low
    if span == 0:
        return  # a constant that moves is drift: it has no range to be far outside of
    share = float(((values < low - span) | (values > high + span)).mean())
    if share > surge:
        low, high = low / column.factor, high / column.factor
        yield f"{column.name}: {share:.0%} of the numbers are more than a full span outside [{low:.4g}, {high:.4g}]"


def _stuck(reference: Reference, column: Scored, before: pd.Series, now: pd.Series) -> Iterator[str]:
    values, known = present(now), present(before)
    if len(values) < 2 or values.min() != values.max() or known.nunique() <= MANY_VALUES:
        return
    if known.value_counts(normalize=True).iloc[0] > STUCK_REPEAT:
        return
    if reference.in_time_order and _has_constant_block(before.to_numpy(), len(now)):
        return
    stuck = float(values.iloc[0]) / column.factor
    yield f"{column.name}: all {len(values)} values are {stuck:.4g}, where the reference holds {known.nunique()} different ones"


def _has_constant_block(values: np.ndarray[tuple[int], np.dtype[np.float64]], size: int) -> bool:
    blocks = [values[start : start + size] for start in range(0, max(len(values) - size + 1, 1), max(size // 2, 1))]
    return any(np.nanmax(block) == np.nanmin(block) for block in blocks if np.isfinite(block).any())


def _repeated(reference: Reference, window: pd.DataFrame) -> Iterator[str]:
    features = [column.name for column in reference.columns[:-1]]
    if not features:
        return
    usual, share = (_top_share(frame[features]) for frame in (reference.frame, window))
    if share > STUCK_REPEAT and usual < ORDINARY_REPEAT:
        yield f"one and the same row makes up {share:.0%} of the window, against at most {usual:.1%} in the reference"


def _top_share(rows: pd.DataFrame) -> float:
    hashes = pd.util.hash_pandas_object(rows, index=False)
    return float(hashes.value_counts(normalize=True).iloc[0])
