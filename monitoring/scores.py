"""Drift scores of a window, column by column. A column that cannot be scored becomes a finding and hides no other."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import structlog

from lifecycle.ports import DriftScorer
from lifecycle.records import ColumnScore
from monitoring.columns import Reference, Scored

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Methods:
    """The stat test for numbers (and moments) and the one for categories (and booleans)."""

    numeric: str
    categorical: str

    def of(self, column: Scored) -> str:
        return self.numeric if column.is_numeric else self.categorical


def present(values: pd.Series) -> pd.Series:
    """The values that are there; how many are missing is a question of quality, not of drift."""
    return values[values.notna()]


def score_columns(
    scorer: DriftScorer, methods: Methods, reference: Reference, window: pd.DataFrame, thresholds: Mapping[str, float]
) -> tuple[ColumnScore, ...]:
    """One score per column of the reference, in its order."""
    return tuple(
        _score(scorer, methods.of(column), reference.frame[column.name], window[column.name], thresholds[column.name])
        for column in reference.columns
    )


def _score(scorer: DriftScorer, method: str, reference: pd.Series, current: pd.Series, threshold: float) -> ColumnScore:
    name = str(reference.name)
    try:
        score = scorer.score(present(reference), present(current), method)
    except Exception as error:  # noqa: BLE001 - whatever a stat test raises over one column must not hide the others
        log.warning("column_not_scored", column=name, method=method, error=type(error).__name__)
        return ColumnScore(name, method, None, threshold, f"could not be scored: {error}")
    return ColumnScore(name, method, score, threshold)
