"""Our verdicts on windows one after another, by the code that decides them in the product."""

from collections.abc import Iterable

from benchmarks.detection.traffic import HOUR
from lifecycle.clock import ManualClock
from lifecycle.config import MonitoringSection
from lifecycle.records import Calibration, Verdict, VerdictState
from monitoring.drift.budget import MINUTES_PER_MONTH
from monitoring.drift.scoring import DriftScores
from monitoring.evidently_adapter import EvidentlyScorer
from monitoring.performance import Estimates, measure
from monitoring.quality import WindowFacts, findings
from monitoring.references import Reference
from monitoring.rows import Rows
from monitoring.verdicts import Evidence, decide, with_streaks

SEED = 0
REMEMBERED = 20
"""Verdicts that later ones look back at."""


class Calibrations:
    """A ledger of calibrations in memory."""

    def __init__(self) -> None:
        self._known: dict[str, Calibration] = {}

    def save_calibration(self, calibration: Calibration) -> None:
        self._known[calibration.key] = calibration

    def calibration(self, key: str) -> Calibration | None:
        return self._known.get(key)

    def calibrations(self, version: int) -> list[Calibration]:
        return [known for known in self._known.values() if known.version == version]


class Verdicts:
    """Verdicts on windows of an hour (or `settings.window_minutes`)."""

    def __init__(self, settings: MonitoringSection) -> None:
        self._settings = settings
        self._monthly = MINUTES_PER_MONTH / settings.window_minutes
        self._scores = DriftScores(Calibrations(), ManualClock(), settings, SEED, EvidentlyScorer())
        self._estimates = Estimates()

    def states(self, windows: Iterable[tuple[Reference, Rows]], *, whole: bool) -> list[VerdictState]:
        """One for each window, against its reference; the first has nothing before it.

        With `whole`, also by findings, labels and estimates; without, by drift alone, as if no label had come.
        """
        earlier: list[Verdict] = []
        found = []
        for reference, rows in windows:
            verdict = self._verdict(reference, rows, earlier, whole=whole)
            earlier = [verdict, *earlier[: REMEMBERED - 1]]
            found.append(verdict.state)
        return found

    def _verdict(self, reference: Reference, rows: Rows, earlier: list[Verdict], *, whole: bool) -> Verdict:
        number = reference.version.number
        seen = rows if whole else _without_labels(rows)
        scores = with_streaks(self._scores.of(reference, seen, self._monthly), earlier, number)
        evidence = Evidence(len(rows), number, scores)
        if whole:
            evidence = self._with_all(evidence, reference, rows, earlier)
        decision = decide(evidence, self._settings)
        start, end = _bounds(rows, self._settings)
        return Verdict(start, end, len(rows), decision.state, number, scores, decision.reasons, decision.drifting)

    def _with_all(self, evidence: Evidence, reference: Reference, rows: Rows, earlier: list[Verdict]) -> Evidence:
        level = self._scores.level(reference, self._monthly)
        facts = WindowFacts(*_bounds(rows, self._settings), len(rows), tuple(verdict.rows for verdict in earlier))
        return Evidence(
            evidence.rows,
            evidence.version,
            evidence.scores,
            findings(reference, rows, facts, self._settings),
            measure(reference, rows, self._settings, level),
            self._estimates.of(reference, rows, self._settings, level),
        )


def _without_labels(rows: Rows) -> Rows:
    return Rows(rows.columns, rows.at, rows.weights, probabilities=rows.probabilities)


def _bounds(rows: Rows, settings: MonitoringSection) -> tuple[int, int]:
    assert rows.at is not None, "generated rows know when they were"
    length = int(settings.window_minutes * HOUR / 60)
    start = int(rows.at[0]) // length * length
    return start, start + length
