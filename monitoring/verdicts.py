"""From evidence to a verdict: a pure decision, so that the same evidence always gives the same state and reasons."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lifecycle.config import MonitoringSection
from lifecycle.records import ColumnScore, Performance, Verdict, VerdictState
from monitoring.performance import is_lost

UNJUDGED: frozenset[VerdictState] = frozenset({"no_traffic", "insufficient_data"})
ALARMS: frozenset[VerdictState] = frozenset({"drift", "performance", "data_quality"})
MOST_NAMED = 3


@dataclass(frozen=True)
class Evidence:
    """What is known of a window: rows, the version judged, scores, quality findings and labelled performance.

    `obstacle` is the sentence that says why the window could not be compared with anything.
    """

    rows: int
    version: int | None
    scores: tuple[ColumnScore, ...] = ()
    findings: tuple[str, ...] = ()
    performance: Performance | None = None
    obstacle: str | None = None


@dataclass(frozen=True)
class Decision:
    """The state, whether the window by itself drifts, and the sentences that say why."""

    state: VerdictState
    drifting: bool
    reasons: tuple[str, ...]


def decide(evidence: Evidence, earlier: Iterable[Verdict], settings: MonitoringSection) -> Decision:
    """The verdict on `evidence`; `earlier` are the windows before it, newest first.

    Precedence: no_traffic, insufficient_data, data_quality, performance, drift, warning, ok.
    """
    if evidence.rows == 0 and not evidence.obstacle:
        return Decision("no_traffic", False, ("no prediction was answered in this window",))
    if evidence.rows < settings.minimum_rows:
        reason = f"{evidence.rows} rows were answered; a verdict needs {settings.minimum_rows}"
        return Decision("insufficient_data", False, (reason,))
    if evidence.obstacle:
        return Decision("insufficient_data", False, (evidence.obstacle,))
    drifting = is_drifting(evidence.scores, settings.drift_share)
    streak = 1 + _streak(earlier, evidence.version) if drifting else 0
    reasons = _drift_reasons(evidence.scores, streak, settings.persistence) if drifting else ()
    reasons += tuple(f"{score.column}: {score.finding}" for score in evidence.scores if score.finding)
    if evidence.findings:
        return Decision("data_quality", drifting, evidence.findings + reasons)
    if is_lost(evidence.performance, settings.minimum_labels):
        assert evidence.performance is not None
        return Decision("performance", drifting, (_performance_reason(evidence.performance), *reasons))
    if not drifting:
        return Decision("ok", False, reasons or ("every column is below its threshold",))
    return Decision("drift" if streak >= settings.persistence else "warning", True, reasons)


def is_drifting(scores: Sequence[ColumnScore], share: float) -> bool:
    """Whether enough columns are over their thresholds: the configured share of them, and at least one."""
    needed = max(1, math.ceil(share * len(scores) - 1e-9))
    return sum(score.drifted for score in scores) >= needed


def strongest(scores: Iterable[ColumnScore]) -> list[ColumnScore]:
    """The columns over their thresholds, by how far, farthest first."""
    over = [score for score in scores if score.drifted]
    return sorted(over, key=lambda score: -(score.score or 0.0) / max(score.threshold, 1e-12))


def judged(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Those that say something about the world, in the order given."""
    return [verdict for verdict in verdicts if verdict.state not in UNJUDGED]


def _streak(earlier: Iterable[Verdict], version: int | None) -> int:
    """How many judged windows before this one drift without a break, against the same reference."""
    count = 0
    for verdict in judged(earlier):
        if verdict.state == "data_quality":
            continue  # a broken window says nothing about drift, for or against
        if not verdict.drifting or verdict.version != version:
            break
        count += 1
    return count


def _drift_reasons(scores: Sequence[ColumnScore], streak: int, persistence: int) -> tuple[str, ...]:
    over = strongest(scores)
    named = ", ".join(
        f"{score.column} {score.score:.3f} (threshold {score.threshold:.3f})" for score in over[:MOST_NAMED]
    )
    first = f"{len(over)} of {len(scores)} columns are over their thresholds: {named}"
    if len(over) > MOST_NAMED:
        first += f", and {len(over) - MOST_NAMED} more"
    return first, f"drifting window number {streak} in a row; {persistence} make a drift verdict"


def _performance_reason(performance: Performance) -> str:
    loss, reference = performance.metrics["loss"], performance.reference
    return (
        f"the loss over {performance.rows} labelled rows is {loss:.4g}; {reference['threshold']:.4g} is tolerated, "
        f"and the champion's hold-out had {reference['loss']:.4g}"
    )
