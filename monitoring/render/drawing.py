"""Which columns of a verdict can be drawn, and as what: a sample of both sides, plain names, few categories.

What cannot be drawn is said in words and costs the others nothing. Pictures are of samples; their numbers are the verdict's.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from lifecycle.records import ColumnScore, Verdict
from monitoring.references import Reference
from monitoring.render.plain import distinct
from monitoring.rows import Categories, Numbers, Rows, Values

MOST_CATEGORIES = 30
OTHERS, MISSING = "(others)", "(missing)"
LARGEST = 1e100
"""Larger numbers overflow when charts square and add them."""


@dataclass(frozen=True)
class Drawn:
    """One score and what it is of: both sides as float64 or as text, under a name that is plain and no other's."""

    score: ColumnScore
    name: str
    reference: "pd.Series[float] | pd.Series[str]" = field(repr=False)
    current: "pd.Series[float] | pd.Series[str]" = field(repr=False)

    @property
    def is_numeric(self) -> bool:
        return self.reference.dtype == np.float64


@dataclass(frozen=True)
class NotDrawn:
    """A column that no picture shows, and the sentence why."""

    column: str
    sentence: str


def drawable(
    verdict: Verdict, reference: Reference, rows: Rows, most: int
) -> tuple[tuple[Drawn, ...], tuple[NotDrawn, ...]]:
    """The scores of `verdict` that can be drawn, with at most `most` rows of each side, and those that cannot."""
    drawn, left_out = [], []
    for score, name in zip(verdict.scores, distinct(score.column for score in verdict.scores), strict=True):
        try:
            drawn.append(_drawn(score, name, reference, rows, most))
        except ValueError as error:
            left_out.append(NotDrawn(score.column, str(error)))
    return tuple(drawn), tuple(left_out)


def _drawn(score: ColumnScore, name: str, reference: Reference, rows: Rows, most: int) -> Drawn:
    if score.score is None:
        raise ValueError(score.finding or "has no score")
    before, now = (_thinned(side, most) for side in _sides(score, reference, rows))
    if isinstance(before, Numbers) and isinstance(now, Numbers):
        return Drawn(score, name, _numbers(before, "reference"), _numbers(now, "window"))
    if isinstance(before, Categories) and isinstance(now, Categories):
        texts = before.texts(), now.texts()
        shown = _shown([*texts[0], *texts[1]])
        return Drawn(score, name, *(pd.Series([shown[text] for text in side], dtype=object) for side in texts))
    raise ValueError("holds numbers on one side and categories on the other")


def _sides(score: ColumnScore, reference: Reference, rows: Rows) -> tuple[Values, Values]:
    """The reference's and the window's. Raises ValueError where there is no column to draw."""
    if score.about == "label":
        before, now = (reference.rows if reference.holdout is None else reference.holdout).labels, rows.labels
        if before is None or now is None:
            raise ValueError("has no labels on both sides")
        return before.taken(~before.missing), now.taken(~now.missing)
    scored = next((item for item in reference.columns if (item.name, item.about) == (score.column, score.about)), None)
    if scored is None or score.column not in rows.columns:
        raise ValueError("is not of one column, so there is no picture of it")
    return reference.against(scored), rows.columns[score.column]


def _thinned(values: Values, most: int) -> Values:
    return Rows({"": values}).thinned(most).columns[""]


def _numbers(values: Numbers, side: str) -> "pd.Series[float]":
    finite = values.floats[np.isfinite(values.floats)]
    if not len(finite):
        raise ValueError(f"has no number in the rows of the {side} that are drawn")
    if np.abs(finite).max() > LARGEST:
        raise ValueError(f"holds {np.abs(finite).max():.3g} in the {side}, too large to draw")
    return pd.Series(finite)


def _shown(texts: Sequence[str | None]) -> dict[str | None, str]:
    """What each category is called in the picture: the commonest by name, the others together, and what is missing."""
    present = Counter(text for text in texts if text is not None)
    commonest = [text for text, _ in present.most_common(MOST_CATEGORIES)]
    if not commonest:
        raise ValueError("has no value in the rows that are drawn")
    shown: dict[str | None, str] = {None: MISSING, **dict.fromkeys(present, OTHERS)}
    shown.update(zip(commonest, distinct([OTHERS, MISSING, *commonest])[2:], strict=True))
    return shown
