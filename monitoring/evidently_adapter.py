"""The only file that knows Evidently: scores of single columns, and the HTML report over the same rows and methods.

Importing Evidently takes seconds and much memory, so it happens at the first call, and with its telemetry off. The
page it writes is made safe here: no value of a row can become markup or script.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lifecycle.records import ColumnScore

NUMERIC_METHODS = frozenset({"wasserstein"})
_EMBEDDED = re.compile(r"^\s*var (?:additional_graphs_)?metric_[0-9a-f]+ = .*$", re.MULTILINE)


class _Evidently(NamedTuple):
    """The parts of Evidently in use."""

    get_stattest: Any
    column_type: Any
    report: Any
    dataset: Any
    definition: Any
    drift_preset: Any


@cache
def _evidently() -> _Evidently:
    os.environ["DO_NOT_TRACK"] = "1"
    from evidently import DataDefinition, Dataset, Report
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType
    from evidently.presets import DataDriftPreset

    return _Evidently(get_stattest, ColumnType, Report, Dataset, DataDefinition, DataDriftPreset)


class EvidentlyScorer:
    """Drift scores from Evidently's registry of stat tests."""

    def warm_up(self) -> None:
        """Import Evidently now rather than at the first score."""
        _evidently()

    def score(self, reference: pd.Series, current: pd.Series, method: str) -> float:
        """The stat test's distance. Raises ValueError when either side is empty or the distance is not a number."""
        if reference.empty or current.empty:
            raise ValueError(f"has no values in the {'reference' if reference.empty else 'current'} window")
        library = _evidently()
        kind = library.column_type.Numerical if method in NUMERIC_METHODS else library.column_type.Categorical
        test = library.get_stattest(reference, current, kind, method)
        score = float(test(reference, current, kind, None).drift_score)
        if not math.isfinite(score):
            raise ValueError(f"gives no finite {method} distance")
        return score


def write_report(
    reference: pd.DataFrame, current: pd.DataFrame, scores: Sequence[ColumnScore], drift_share: float, path: Path
) -> dict[str, float]:
    """Write the drift report of the scored columns to `path`; returns the score the report shows for each.

    Both frames hold the prepared columns that were scored, so the report's numbers are the verdict's numbers.
    """
    library = _evidently()
    scored = [score for score in scores if score.score is not None]
    names = [score.column for score in scored]
    numeric = [score.column for score in scored if score.method in NUMERIC_METHODS]
    definition = library.definition(
        numerical_columns=numeric, categorical_columns=[name for name in names if name not in numeric]
    )
    preset = library.drift_preset(
        columns=names,
        drift_share=drift_share,
        per_column_method={score.column: score.method for score in scored},
        per_column_threshold={score.column: score.threshold for score in scored},
    )
    sides = [library.dataset.from_pandas(frame[names], definition) for frame in (current, reference)]
    snapshot = library.report([preset]).run(*sides)
    snapshot.save_html(str(path))
    path.write_text(without_markup(path.read_text(encoding="utf-8")), encoding="utf-8")
    return _shown(snapshot.dict())


def without_markup(page: str) -> str:
    """The page with every `<` of its embedded JSON escaped, so that a category's text cannot end the script.

    Raises ValueError when the page is not built as expected: it must not be shown then.
    """
    safe, count = _EMBEDDED.subn(lambda line: line.group().replace("<", "\\u003c"), page)
    if count != 2:
        raise ValueError(f"the report page holds {count} embedded objects where 2 were expected; it is not published")
    return safe


def _shown(snapshot: Mapping[str, Any]) -> dict[str, float]:
    metrics = [(metric["config"].get("column"), metric["value"]) for metric in snapshot["metrics"]]
    return {name: float(value) for name, value in metrics if name is not None}
