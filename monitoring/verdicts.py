"""From evidence to a verdict: a pure decision, so that the same evidence always gives the same state and reasons."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lifecycle.config import MonitoringSection
from lifecycle.records import (
    ColumnScore,
    Estimate,
    FairnessGap,
    Finding,
    Performance,
    SegmentScore,
    Verdict,
    VerdictState,
)
from monitoring import sentences
from monitoring.performance import is_lost
from monitoring.quality import BREAKS

UNJUDGED: frozenset[VerdictState] = frozenset({"no_traffic", "insufficient_data"})
ALARMS: frozenset[VerdictState] = frozenset({"drift", "performance", "data_quality"})
NOT_FOLDED = "the feature log was not fully folded when this window was judged; rows may be missing from it"
MOST_NAMED = 3


@dataclass(frozen=True)
class Evidence:
    """What is known of a window: rows, the version judged, what it was compared with, and all that was found.

    `obstacle` is the sentence that says why the window could not be compared with anything, and `notes` are sentences that
    belong to the verdict whatever it is.
    """

    rows: int
    version: int | None
    scores: tuple[ColumnScore, ...] = ()
    findings: tuple[Finding, ...] = ()
    performance: Performance | None = None
    estimate: Estimate | None = None
    segments: tuple[SegmentScore, ...] = ()
    fairness: tuple[FairnessGap, ...] = ()
    reference: str | None = None
    notes: tuple[str, ...] = ()
    obstacle: str | None = None


@dataclass(frozen=True)
class Decision:
    """The state, whether the window by itself drifts, and the sentences that say why."""

    state: VerdictState
    drifting: bool
    reasons: tuple[str, ...]


def decide(evidence: Evidence, settings: MonitoringSection) -> Decision:
    """The verdict on `evidence`, whose scores know their streaks.

    Precedence: no_traffic, insufficient_data, data_quality, performance, drift, warning, ok.
    """
    if evidence.rows == 0 and not evidence.obstacle:
        return Decision("no_traffic", False, ("no prediction was answered in this window",))
    if evidence.rows < settings.minimum_rows:
        reason = f"{evidence.rows} rows were answered; a verdict needs {settings.minimum_rows}"
        return Decision("insufficient_data", False, (reason, *evidence.notes))
    if evidence.obstacle:
        return Decision("insufficient_data", False, (evidence.obstacle, *evidence.notes))
    if evidence.scores and all(score.score is None for score in evidence.scores):
        reasons = tuple(f"{score.column}: {score.finding}" for score in evidence.scores)
        return Decision("insufficient_data", False, ("nothing could be compared", *reasons, *evidence.notes))
    broken = tuple(finding.sentence for finding in evidence.findings if finding.kind in BREAKS)
    lost = _losses(evidence, settings)
    drifting = any(score.drifted for score in evidence.scores)
    reasons = (*broken, *lost, *_drift_reasons(evidence, settings), *_remarks(evidence))
    if broken:
        return Decision("data_quality", drifting, reasons)
    if lost:
        return Decision("performance", drifting, reasons)
    if not drifting:
        return Decision("ok", False, reasons or ("every column is below its threshold",))
    persists = any(score.streak >= settings.persistence for score in evidence.scores)
    return Decision("drift" if persists else "warning", True, reasons)


def with_streaks(
    scores: Iterable[ColumnScore], earlier: Iterable[Verdict], version: int | None, only_against: str | None = None
) -> tuple[ColumnScore, ...]:
    """`scores` that know for how many windows in a row they are over their thresholds; `earlier` are newest first.

    A broken window says nothing about drift, for or against; another version's scores are of another reference, and so are those
    against others than `only_against`, if that is given.
    """
    before = next((verdict for verdict in judged(earlier) if verdict.state != "data_quality"), None)
    if before is not None and only_against is not None and before.reference != only_against:
        before = None
    known = (
        {}
        if before is None or before.version != version
        else {(item.about, item.column): item for item in before.scores}
    )
    return tuple(replace(score, streak=_streak(score, known.get((score.about, score.column)))) for score in scores)


def strongest(scores: Iterable[ColumnScore]) -> list[ColumnScore]:
    """The columns over their thresholds, by how far and how much the model leans on them, foremost first."""
    over = [score for score in scores if score.drifted]
    return sorted(over, key=lambda score: -_strength(score))


def judged(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Those that say something about the world, in the order given."""
    return [verdict for verdict in verdicts if verdict.state not in UNJUDGED]


def _streak(score: ColumnScore, before: ColumnScore | None) -> int:
    if not score.drifted:
        return 0
    return 1 + (before.streak if before is not None and before.drifted else 0)


def _strength(score: ColumnScore) -> float:
    ratio = (score.score or 0.0) / max(score.threshold, 1e-12)
    return ratio if score.weight is None else ratio * (0.1 + score.weight)


def _losses(evidence: Evidence, settings: MonitoringSection) -> tuple[str, ...]:
    """What says that quality is lost: labels or, where too few have come, a trusted estimate."""
    found, estimate = evidence.performance, evidence.estimate
    if is_lost(found, settings.minimum_labels, settings.minimum_coverage):
        return sentences.of_performance(found, evidence.segments)[:1]
    if not is_measured(found, settings) and estimate is not None and estimate.trusted and estimate.lost:
        return sentences.of_estimate(estimate)
    return ()


def is_measured(found: Performance | None, settings: MonitoringSection) -> bool:
    """Whether labels enough have come for a verdict."""
    return found is not None and found.rows >= settings.minimum_labels and found.coverage >= settings.minimum_coverage


def _drift_reasons(evidence: Evidence, settings: MonitoringSection) -> tuple[str, ...]:
    over = strongest(evidence.scores)
    if not over:
        return ()
    named = ", ".join(
        f"{score.column} {score.score:.3f} (threshold {score.threshold:.3f}, {_windows(score.streak)})"
        for score in over[:MOST_NAMED]
    )
    first = f"{len(over)} of {len(evidence.scores)} scores are over their thresholds: {named}"
    if len(over) > MOST_NAMED:
        first += f", and {len(over) - MOST_NAMED} more"
    against = f"; compared with {evidence.reference}" if evidence.reference else ""
    return (
        first + against,
        *_weighed(evidence.scores),
        f"{settings.persistence} windows in a row of one column make a drift verdict",
    )


def _windows(streak: int) -> str:
    return "1 window" if streak == 1 else f"{streak} windows in a row"


def _weighed(scores: Sequence[ColumnScore]) -> tuple[str, ...]:
    weights = [score.weight for score in scores if score.weight is not None and score.drifted]
    return (f"the features among them have {sum(weights):.0%} of the model's importance",) if weights else ()


def _remarks(evidence: Evidence) -> tuple[str, ...]:
    """What is worth telling and decides nothing."""
    scores = (f"{score.column}: {score.finding}" for score in evidence.scores if score.finding)
    findings = (finding.sentence for finding in evidence.findings if finding.kind not in BREAKS)
    return (*scores, *findings, *evidence.notes)
