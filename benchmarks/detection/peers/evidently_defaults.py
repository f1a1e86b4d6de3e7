"""Evidently as it comes: the stat test and threshold it chooses for each column, and its preset's flag of half the columns.

The tests are called one by one, because the preset draws pictures of every column; `differences` shows that the numbers
are the preset's own.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import pandas as pd

from monitoring.references import Reference
from monitoring.rows import Rows

DATA_SET, ANY_COLUMN = "evidently, data set", "evidently, any column"
DRIFT_SHARE = 0.5


class Defaults:
    """Evidently's default verdicts against one reference, by its features."""

    def __init__(self, reference: Reference) -> None:
        os.environ["DO_NOT_TRACK"] = "1"
        from evidently.legacy.core import ColumnType

        kinds = {True: ColumnType.Numerical, False: ColumnType.Categorical}
        self._kinds = {name: kinds[is_numeric] for name, is_numeric in _features(reference).items()}
        self._whole = reference
        self._reference = reference.rows.frame()

    def scores(self, window: pd.DataFrame) -> dict[str, tuple[float, bool]]:
        """Each column's score, and whether it has drifted."""
        results = {
            name: self._tests[name](self._reference[name], window[name], kind, None)
            for name, kind in self._kinds.items()
        }
        return {name: (float(result.drift_score), bool(result.drifted)) for name, result in results.items()}

    def alarms(self, window: Rows) -> dict[str, bool]:
        """Both of Evidently's ways of telling."""
        drifted = [flag for _, flag in self.scores(window.frame()).values()]
        return {DATA_SET: sum(drifted) >= DRIFT_SHARE * len(drifted), ANY_COLUMN: any(drifted)}

    def judged(self, runs: Iterable[Iterable[Rows]]) -> dict[str, list[list[bool]]]:
        """Both on every window of every run."""
        told = [[self.alarms(window) for window in run] for run in runs]
        return {name: [[alarms[name] for alarms in run] for run in told] for name in (DATA_SET, ANY_COLUMN)}

    def differences(self, window: Rows) -> float:
        """How far the scores are from those of Evidently's own report at most."""
        frame = window.frame()
        metrics = report(self._whole)(frame).dict()["metrics"]
        shown = {metric["config"].get("column"): metric["value"] for metric in metrics}
        return max(abs(float(shown[name]) - score) for name, (score, _) in self.scores(frame).items())

    @cached_property
    def _tests(self) -> Mapping[str, Any]:
        """Chosen by the reference alone: all have more than a thousand rows, and numbers more than five values."""
        from evidently.legacy.calculations.stattests import get_stattest

        sides = {name: self._reference[name] for name in self._kinds}
        return {name: get_stattest(side, side, self._kinds[name], None) for name, side in sides.items()}


def report(reference: Reference) -> Callable[[pd.DataFrame], Any]:
    """Evidently's `Report([DataDriftPreset()])` over windows against `reference`; gives its snapshot."""
    os.environ["DO_NOT_TRACK"] = "1"
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    features = _features(reference)
    definition = DataDefinition(
        numerical_columns=[name for name, is_numeric in features.items() if is_numeric],
        categorical_columns=[name for name, is_numeric in features.items() if not is_numeric],
    )

    def data_set(rows: pd.DataFrame) -> Any:
        return Dataset.from_pandas(rows[list(features)], definition)

    before = data_set(reference.rows.frame())
    return lambda window: Report([DataDriftPreset()]).run(data_set(window), before)


def _features(reference: Reference) -> dict[str, bool]:
    """Each feature's name, and whether it is numeric."""
    return {scored.name: scored.is_numeric for scored in reference.columns if scored.about == "feature"}
