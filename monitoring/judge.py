"""One window, end to end: rows, reference, scores, findings, performance, segments, verdict. It writes nothing but thresholds.

A window's rows are those of the version that answered most of them. A window that cannot be compared still gets a verdict
that says why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from lifecycle.clock import MICROSECONDS
from lifecycle.config import MonitoringSection
from lifecycle.errors import ModelUnavailable
from lifecycle.feature_log.table import LogTables
from lifecycle.ports import Clock
from lifecycle.records import ColumnScore, SegmentScore, Verdict
from monitoring import fairness
from monitoring.drift.budget import MINUTES_PER_MONTH
from monitoring.drift.scoring import DriftScores
from monitoring.performance import Estimates, measure
from monitoring.quality import WindowFacts, findings
from monitoring.references import Reference, References
from monitoring.rows import Rows, counts_by_version, logged_rows
from monitoring.segments import segments
from monitoring.verdicts import NOT_FOLDED, Evidence, decide, judged, with_streaks
from monitoring.windows import Window

MOST_LENGTHS = 20


class Judge:
    """Judges windows; `judge` twice over the same rows and earlier verdicts gives the same verdict."""

    def __init__(
        self,
        tables: LogTables,
        references: References,
        scores: DriftScores,
        clock: Clock,
        settings: MonitoringSection,
    ) -> None:
        self._tables = tables
        self._references = references
        self._scores = scores
        self._clock = clock
        self._settings = settings
        self._estimates = Estimates()

    def judge(self, window: Window, earlier: Sequence[Verdict]) -> Verdict:
        """The verdict on `window`; `earlier` are the verdicts before it, newest first."""
        counts = counts_by_version(self._tables, window.start, window.end)
        total = sum(counts.values())
        evidence = self._evidence(window, counts, earlier) if total else _nothing(window)
        decision = decide(evidence, self._settings)
        return Verdict(
            start=window.start,
            end=window.end,
            rows=total,
            state=decision.state,
            version=evidence.version,
            scores=evidence.scores,
            reasons=(*(() if window.complete else (NOT_FOLDED,)), *decision.reasons),
            drifting=decision.drifting,
            performance=evidence.performance,
            scored_at=self._clock.now(),
            reference=evidence.reference,
            findings=evidence.findings,
            estimate=evidence.estimate,
            segments=evidence.segments,
            fairness=evidence.fairness,
        )

    def relabel(self, verdict: Verdict, earlier: Sequence[Verdict]) -> Verdict | None:
        """`verdict` with the labels there are now; None when that changes nothing.

        Rows that are gone since, by retention or an erasure, take nothing back of what was said when they were there.
        """
        if verdict.version is None:
            return None
        complete = NOT_FOLDED not in verdict.reasons
        found = self.judge(Window(verdict.start, verdict.end, complete), earlier)
        if found.rows < verdict.rows:
            return None
        kept = replace(found, scored_at=verdict.scored_at, report=verdict.report, retrain=verdict.retrain)
        return None if kept == verdict else replace(kept, scored_at=found.scored_at)

    def _evidence(self, window: Window, counts: Mapping[int, int], earlier: Sequence[Verdict]) -> Evidence:
        number = max(counts, key=lambda version: (counts[version], version))
        count, total = counts[number], sum(counts.values())
        notes = self._notes(number, counts)
        if count < self._settings.minimum_rows:
            return Evidence(count, number, notes=notes)
        try:
            reference = self._references.of(number, window.start, window.end, _before(earlier, number))
        except ModelUnavailable as error:
            return Evidence(count, number, notes=notes, obstacle=f"the window could not be compared: {error}")
        rows = logged_rows(
            self._tables,
            reference.contract,
            window.start,
            window.end,
            version=number,
            most=self._settings.sample_rows,
        )
        facts = WindowFacts(window.start, window.end, total, _rows_of_others(window, earlier))
        return self._compared(count, reference, rows, facts, earlier, notes)

    def _compared(
        self,
        count: int,
        reference: Reference,
        rows: Rows,
        facts: WindowFacts,
        earlier: Sequence[Verdict],
        notes: tuple[str, ...],
    ) -> Evidence:
        monthly = self._windows_per_month(earlier)
        level = self._scores.level(reference, monthly)
        only_against = reference.words if reference.moves else None
        scores = self._scores.of(reference, rows, monthly)
        return Evidence(
            rows=count,
            version=reference.version.number,
            scores=with_streaks(scores, earlier, reference.version.number, only_against),
            findings=findings(reference, rows, facts, self._settings),
            performance=measure(reference, rows, self._settings, level),
            estimate=self._estimates.of(reference, rows, self._settings, level),
            segments=self._segments(reference, rows, monthly, level),
            fairness=fairness.gaps(reference, rows, self._settings),
            reference=reference.words,
            notes=(*notes, *self._misnamed(scores), *fairness.telling(reference, rows, self._settings)),
        )

    def _segments(self, reference: Reference, rows: Rows, monthly: float, level: float) -> tuple[SegmentScore, ...]:
        def drift(part: Reference, inside: Rows, series: int) -> list[ColumnScore]:
            return self._scores.within(reference, part, inside, monthly, series)

        return segments(reference, rows, self._settings, drift, level)

    def _notes(self, number: int, counts: Mapping[int, int]) -> tuple[str, ...]:
        others = sum(counts.values()) - counts[number]
        notes = [f"{others} rows were answered by other versions than {number} and are left out"] if others else []
        if counts[number] > self._settings.sample_rows:
            notes.append(f"{self._settings.sample_rows} of {counts[number]} rows were scored, evenly spread")
        return tuple(notes)

    def _misnamed(self, scores: Sequence[ColumnScore]) -> tuple[str, ...]:
        """Names in the configuration that nothing scored has; labels and calibration are scored once there are labels."""
        known = {score.column for score in scores} | {"label", "calibration"}
        named = {"methods": set(self._settings.methods), "thresholds": set(self._settings.thresholds)}
        return tuple(
            f"[monitoring] {setting} names {name[:80]!r}, which is no column that is scored; correct the name"
            for setting, names in named.items()
            for name in sorted(names - known)
        )

    def _windows_per_month(self, earlier: Sequence[Verdict]) -> float:
        """By the clock; windows that rows close come as often as they lately came."""
        minutes = self._settings.window_minutes * self._settings.window_step
        lengths = [verdict.end - verdict.start for verdict in judged(earlier)[:MOST_LENGTHS]]
        if self._settings.window_rows and lengths:
            minutes = min(minutes, median(lengths) / MICROSECONDS / 60 * self._settings.window_step)
        return MINUTES_PER_MONTH / max(minutes, 1e-6)


def _nothing(window: Window) -> Evidence:
    return Evidence(0, None, obstacle=None if window.complete else NOT_FOLDED)


def _before(earlier: Sequence[Verdict], number: int) -> tuple[int, int] | None:
    """The newest window of the same version that can be compared with: sound, and not one whose drift has still to persist."""
    sound = (verdict for verdict in judged(earlier) if verdict.state not in ("warning", "data_quality"))
    fit = (verdict for verdict in sound if verdict.version == number)
    return next(((verdict.start, verdict.end) for verdict in fit), None)


def _rows_of_others(window: Window, earlier: Sequence[Verdict]) -> tuple[int, ...]:
    """How many rows the windows before had that were as long."""
    length = window.end - window.start
    return tuple(verdict.rows for verdict in judged(earlier) if verdict.end - verdict.start == length)
