"""The scores of a window, each against the threshold that the budget of false alarms gives its series.

What thresholds are derived from depends on the reference alone; it is kept in the ledger with the version, and made anew
for every version that is promoted.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from lifecycle.config import MonitoringSection
from lifecycle.ports import CalibrationLedger, Clock, DriftScorer
from lifecycle.records import Calibration, ColumnScore
from monitoring.drift import budget, power
from monitoring.drift.nulls import Null, block_size, null
from monitoring.drift.series import ColumnSeries, ForeignSeries, Series, effective, series_of
from monitoring.references import Reference
from monitoring.rows import Rows

KEPT = 3
FEWEST_ROWS = 20
PERFORMANCE_SERIES = 2
"""Realised and estimated performance draw on the same budget."""
log = structlog.get_logger(__name__)


@dataclass
class _Known:
    """A reference's series, and the nulls that are known of them, by series and size."""

    series: tuple[Series, ...]
    nulls: dict[str, Null]
    summary: dict[str, Any]
    calibration: str


class DriftScores:
    """Scores windows against references; equal rows, reference, settings and seed give equal scores and thresholds."""

    def __init__(
        self, ledger: CalibrationLedger, clock: Clock, settings: MonitoringSection, seed: int, foreign: DriftScorer
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._settings = settings
        self._seed = seed
        self._foreign = foreign
        self._references: dict[str, _Known] = {}

    def of(self, reference: Reference, rows: Rows, windows_per_month: float) -> tuple[ColumnScore, ...]:
        """One score per series that `rows` can say something of, in the order of `series_of`."""
        known = self._known(reference)
        scores = [
            self._score(known, reference, series, rows, windows_per_month)
            for series in known.series
            if series.about not in ("label", "calibration") or self._has_labels(rows)
        ]
        self._summarise(known, reference, rows, windows_per_month, scores)
        return tuple(scores)

    def within(
        self, whole: Reference, part: Reference, rows: Rows, windows_per_month: float, series: int
    ) -> list[ColumnScore]:
        """The features' scores in a part of the rows against the same part of the reference.

        Thresholds are carried over from the whole's nulls; the budget is spread over `series` more of them.
        """
        known = self._known(whole)
        scores = []
        for item in known.series:
            if isinstance(item, ColumnSeries) and item.about == "feature":
                narrow = ColumnSeries(item.name, item.about, item.method, part.rows.columns[item.name])
                threshold = self._carried_over(known, whole, item, narrow, rows, windows_per_month, series)
                scores.append(self._scored(narrow, rows, threshold, None))
        return scores

    def _carried_over(
        self,
        known: _Known,
        whole: Reference,
        item: Series,
        narrow: Series,
        rows: Rows,
        windows_per_month: float,
        series: int,
    ) -> Callable[[], float]:
        def threshold() -> float:
            spread = self._null(known, whole, item, effective(rows))
            return self._threshold(narrow, spread, rows, windows_per_month, len(known.series) + series)

        return threshold

    def level(self, reference: Reference, windows_per_month: float) -> float:
        """How often a series that alarms at once, without persistence, may do so in one window."""
        return self._rate(len(self._known(reference).series), windows_per_month)

    def _rate(self, series: int, windows_per_month: float) -> float:
        alarms = self._settings.false_alarms_per_month
        return budget.rate_per_window(alarms, windows_per_month, series + PERFORMANCE_SERIES)

    def _has_labels(self, rows: Rows) -> bool:
        labelled = len(rows.labelled())
        enough = labelled >= self._settings.minimum_coverage * len(rows)
        return enough and labelled >= self._settings.minimum_labels

    def _score(
        self, known: _Known, reference: Reference, series: Series, rows: Rows, windows_per_month: float
    ) -> ColumnScore:
        weight = reference.importance.get(series.name) if series.about == "feature" else None

        def threshold() -> float:
            fixed = self._settings.thresholds.get(series.name)
            if fixed is not None:
                return fixed
            if isinstance(series, ForeignSeries) and series.is_level:
                rate = self._rate(len(known.series), windows_per_month)
                return 1 - budget.level(rate, self._settings.persistence, 1 - self._settings.window_step)
            spread = self._null(known, reference, series, series.rows_of(rows))
            return self._threshold(series, spread, rows, windows_per_month, len(known.series))

        return self._scored(series, rows, threshold, weight)

    def _scored(self, series: Series, rows: Rows, threshold: Callable[[], float], weight: float | None) -> ColumnScore:
        """A series that cannot be scored becomes a finding, and hides no other."""
        try:
            if series.reference_rows < FEWEST_ROWS:
                raise ValueError(
                    f"has {series.reference_rows} rows in the reference, and a threshold needs {FEWEST_ROWS}"
                )
            limit, found = threshold(), series.score(rows)
        except Exception as error:  # noqa: BLE001 - whatever a stat test raises over one column must not hide the others
            log.warning("column_not_scored", column=series.name, method=series.method, error=type(error).__name__)
            words = f"could not be scored: {error}"
            return ColumnScore(series.name, series.method, None, self._settings.minimum_effect, words, series.about)
        note = found.note if found.score > limit else None
        return ColumnScore(series.name, series.method, found.score, limit, note, series.about, weight)

    def _threshold(self, series: Series, spread: Null, rows: Rows, windows_per_month: float, count: int) -> float:
        taking, against = series.rows_of(rows), series.reference_rows
        alike = self._likeness(spread, taking, against)
        level = budget.level(self._rate(count, windows_per_month), self._settings.persistence, alike)
        found, effect = spread.threshold(taking, against, level), self._settings.minimum_effect
        return max(found**2, 8 * effect**2) if series.is_squared else max(found, effect)

    def _likeness(self, spread: Null, rows: float, against: float) -> float:
        """The correlation of neighbouring windows: by the reference that they share, by traffic's memory, by rows in both."""
        return budget.together(rows / max(rows + against, 1), spread.neighbours(rows), 1 - self._settings.window_step)

    def _expected(
        self, known: _Known, reference: Reference, rows: Rows, monthly: float, scores: Mapping[str, ColumnScore]
    ) -> float:
        """False alarms a month by the thresholds that are in use, whether they were derived or fixed."""
        share = PERFORMANCE_SERIES * self._rate(len(known.series), monthly)
        for series in known.series:
            score = scores.get(series.name)
            if score is not None and score.score is not None:
                share += self._runs(known, reference, series, rows, score.threshold)
        return min(share, 1.0) * monthly

    def _runs(self, known: _Known, reference: Reference, series: Series, rows: Rows, threshold: float) -> float:
        """How often a quiet series is over `threshold` for so many windows in a row as make an alarm."""
        persistence = self._settings.persistence
        if isinstance(series, ForeignSeries) and series.is_level:
            return budget.runs(max(1 - threshold, 1e-300), persistence, 1 - self._settings.window_step)
        taking, against = series.rows_of(rows), series.reference_rows
        spread = self._null(known, reference, series, taking)
        level = spread.level(threshold**0.5 if series.is_squared else threshold, taking, against)
        return budget.runs(min(max(level, 1e-300), 1.0), persistence, self._likeness(spread, taking, against))

    def _null(self, known: _Known, reference: Reference, series: Series, rows: float) -> Null:
        size = block_size(rows, series.reference_rows, in_blocks=reference.in_time_order)
        key = f"{series.about}:{series.name}:{size}"
        if key not in known.nulls:
            known.nulls[key] = null(
                (lambda places: series.draw(places) ** 0.5) if series.is_squared else series.draw,
                series.reference_rows,
                size,
                in_blocks=reference.in_time_order,
                seed=self._seed,
                draws=series.draws,
                deviates=series.deviates() if reference.in_time_order else None,
            )
            known.summary = {}
        return known.nulls[key]

    def _known(self, reference: Reference) -> _Known:
        if reference.key not in self._references:
            while len(self._references) >= KEPT:
                del self._references[next(iter(self._references))]
            self._references[reference.key] = self._opened(reference)
        return self._references[reference.key]

    def _opened(self, reference: Reference) -> _Known:
        series = series_of(reference, self._settings, self._foreign)
        methods = json.dumps([self._seed, *([item.name, item.method, item.reference_rows] for item in series)])
        key = f"{reference.key}|{hashlib.sha256(methods.encode()).hexdigest()[:16]}"
        kept = self._ledger.calibration(key)
        content = kept.content if kept else {}
        nulls = {name: Null(**values) for name, values in content.get("nulls", {}).items()}
        return _Known(series, nulls, content.get("summary", {}), key)

    def _summarise(
        self,
        known: _Known,
        reference: Reference,
        rows: Rows,
        windows_per_month: float,
        scores: Sequence[ColumnScore],
    ) -> None:
        """Keep what thresholds are derived from, once for each reference, size of window and budget."""
        made_for = {
            "false_alarms_per_month": self._settings.false_alarms_per_month,
            "windows_per_month": round(windows_per_month, 1),
            "window_rows": power.rounded(len(rows)),
            "persistence": self._settings.persistence,
            "minimum_effect": self._settings.minimum_effect,
            "thresholds": dict(self._settings.thresholds),
        }
        if self._settings.reference == "previous" or known.summary.get("made_for") == made_for:
            return
        by_name = {score.column: score for score in scores}
        expected = self._expected(known, reference, rows, windows_per_month, by_name)
        told = power.summary(known.series, by_name, expected, len(rows), reference.words)
        known.summary = {"made_for": made_for} | told
        content = {"nulls": {name: item.describe() for name, item in known.nulls.items()}, "summary": known.summary}
        calibration = Calibration(known.calibration, reference.version.number, self._clock.now(), content)
        self._ledger.save_calibration(calibration)
        log.info("thresholds_derived", version=reference.version.number, rows=len(rows))
