"""What the thresholds promise: the expected false alarms, and for each series the smallest change that would be found."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lifecycle.records import ColumnScore
from monitoring.drift.series import ColumnSeries, Series
from monitoring.rows import Categories, Numbers, Values

STEPS = 14
FEW_NUMBERS = 50
LARGEST_SHIFT = 5.0
"""In standard deviations: who needs more has no use for a threshold."""


def summary(
    series: Sequence[Series], scores: Mapping[str, ColumnScore], expected: float, rows: int, words: str
) -> dict[str, Any]:
    """Plain JSON for people: see `evenkeel status`. `scores` are those of the window of so many `rows` that it is made for."""
    columns = []
    for item in series:
        if item.name in scores and scores[item.name].score is not None:
            shift, unit = smallest_shift(item, scores[item.name].threshold)
            columns.append(
                {
                    "column": item.name,
                    "about": item.about,
                    "method": item.method,
                    "threshold": scores[item.name].threshold,
                    "smallest_shift": shift,
                    "unit": unit,
                }
            )
    return {
        "expected_false_alarms_per_month": expected,
        "window_rows": rows,
        "reference": words,
        "columns": columns,
    }


def smallest_shift(series: Series, threshold: float) -> tuple[float | None, str]:
    """The smallest change whose score, chance aside, reaches `threshold`, and its unit; None when no change does.

    Numbers are moved by a share of their standard deviation ("sd"), categories, and numbers of few kinds, by turning a share of the rows
    that have the commonest into the next ("share"); of other series only the score is known ("score").
    """
    if not isinstance(series, ColumnSeries):
        return threshold, "score"
    numbers = isinstance(series.reference, Numbers) and not _is_coarse(series.reference)
    low, high = 0.0, LARGEST_SHIFT if numbers else 1.0
    if not _reaches(series, high, threshold):
        return None, "sd" if numbers else "share"
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _reaches(series, middle, threshold) else (middle, high)
    return round(high, 3), "sd" if numbers else "share"


def rounded(rows: int) -> int:
    """Row counts that are alike enough to share one summary: the power of two at or below."""
    return int(2 ** (max(rows, 1).bit_length() - 1))


def _reaches(series: ColumnSeries, shift: float, threshold: float) -> bool:
    moved = _moved(series.reference, shift)
    return moved is not None and series.column.score(moved) > threshold


def _is_coarse(values: Numbers) -> bool:
    """Whether there are so few different numbers that the slightest shift would move all rows to others."""
    return len(np.unique(values.floats)) <= FEW_NUMBERS


def _moved(values: Values, shift: float) -> Values | None:
    if isinstance(values, Numbers) and _is_coarse(values):
        known, found = np.unique(values.floats, return_inverse=True)
        swapped = _moved(Categories(found.astype(np.int32), tuple(map(str, range(len(known))))), shift)
        return Numbers(known[swapped.codes]) if isinstance(swapped, Categories) else None
    if isinstance(values, Numbers):
        present = values.floats[np.isfinite(values.floats)]
        spread = float(present.std()) if len(present) else 0.0
        return Numbers(values.floats + shift * spread) if 0 < spread < np.inf else None
    assert isinstance(values, Categories), "values are numbers or categories"
    counts = np.bincount(values.codes[values.codes >= 0], minlength=len(values.names))
    if len(counts) < 2:
        return None
    second, first = np.argsort(counts, kind="stable")[-2:]
    places = np.flatnonzero(values.codes == first)
    codes = values.codes.copy()
    codes[places[: round(shift * len(places))]] = second
    return Categories(codes, values.names)
