"""Which columns are features, and what the contract says of each; the others are set aside with the reason why."""

import numpy as np
import pandas as pd

from evenkeel.column_types import kind_of, stored
from lifecycle.checking import LONGEST_TEXT
from lifecycle.contract import Column, Kind

MOST_CATEGORIES = 200
UNIQUE_SHARE = 0.95
SENTENCE_WORDS = 4
LARGEST_NUMBER = 5e307
"""The sum of two such numbers is still finite; the service takes none from 1e308."""


def describe(values: pd.Series) -> Column:
    """The contract's column for canonical values that are not all missing."""
    kind: Kind = kind_of(values)
    known = values.dropna()
    nullable = len(known) < len(values)
    if kind == "boolean":
        return Column(name=str(values.name), kind=kind, nullable=nullable)
    if kind == "categorical":
        categories = tuple(sorted(str(value) for value in known.unique()))
        return Column(name=str(values.name), kind=kind, nullable=nullable, categories=categories)
    numbers = stored(known, kind)
    return Column(
        name=str(values.name), kind=kind, nullable=nullable, minimum=float(numbers.min()), maximum=float(numbers.max())
    )


def unfit(values: pd.Series) -> str | None:
    """Why canonical `values` cannot be a feature, as the end of a sentence about the column; None when they can."""
    known = values.dropna()
    if known.empty:
        return "is empty in every row, so there is nothing to learn from it"
    distinct = int(known.nunique())
    if distinct == 1 and len(known) == len(values):
        return f"is constant ({str(known.iloc[0])[:40]!r} in every row), so it says nothing about the target"
    kind = kind_of(values)
    if kind == "integer" and len(known) == len(values) and counts_rows(known):
        return "numbers the rows (every value is different, in order), so it looks like an identifier"
    if kind == "numeric" and float(known.abs().max()) > LARGEST_NUMBER:
        return f"holds numbers as large as {float(known.abs().max()):.3g}, which are too large to calculate with"
    return _unfit_text(known, distinct) if kind == "categorical" else None


def _unfit_text(known: pd.Series, distinct: int) -> str | None:
    words = float(known.map(lambda text: len(text.split())).mean())
    if known.str.len().max() > LONGEST_TEXT or (words >= SENTENCE_WORDS and distinct > MOST_CATEGORIES / 4):
        return f"is free text ({words:.0f} words on average), which this kind of model does not read"
    if distinct >= UNIQUE_SHARE * len(known) and distinct > MOST_CATEGORIES / 10:
        return (
            f"is different in nearly every row ({distinct} texts in {len(known)} rows), so it looks like an identifier"
        )
    if distinct > MOST_CATEGORIES:
        return (
            f"has {distinct} different texts, more than the {MOST_CATEGORIES} a category may have; group the rare ones "
            "to make it a feature"
        )
    return None


def counts_rows(known: pd.Series) -> bool:
    """Whether every value is greater than the one before, or every one less."""
    steps = np.diff(known.to_numpy(dtype=np.float64))
    return bool((steps > 0).all() or (steps < 0).all())
