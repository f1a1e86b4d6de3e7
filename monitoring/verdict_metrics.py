"""What the newest judged windows hold, as metrics: numbers of the ledger under labels from closed, bounded sets.

Columns, classes and metrics are the contract's and the product's. Of segments only values that the reference knows are
told: others are whatever callers send, and for ever new.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from prometheus_client.core import Metric

from lifecycle.records import SegmentScore, Verdict
from monitoring.families import family, gauge
from monitoring.quality import KINDS as FINDING_KINDS


def of_verdicts(history: Sequence[Verdict], segment_values: int) -> Iterator[Metric]:
    """Metrics of `history` (judged, newest first), with so many values of a segment column at most."""
    yield from _findings(history)
    yield from _scores(history)
    yield from _performance(history)
    yield from _coverage(history)
    yield from _estimate(history)
    yield from _segments(history, segment_values)
    yield from _fairness(history)


def last_scored(history: Sequence[Verdict]) -> Verdict | None:
    """The newest verdict that holds scores."""
    return next((verdict for verdict in history if verdict.scores), None)


def last_labelled(history: Sequence[Verdict]) -> Verdict | None:
    """The newest verdict with labelled rows whose loss can be told."""
    return next((verdict for verdict in history if verdict.performance and "loss" in verdict.performance.metrics), None)


def last_covered(history: Sequence[Verdict]) -> Verdict | None:
    """The newest of these judged verdicts that has rows whose labels were looked for, whether or not there were any."""
    return next((verdict for verdict in history if verdict.rows and verdict.performance), None)


def _findings(history: Sequence[Verdict]) -> Iterator[Metric]:
    found = [finding.kind for finding in history[0].findings] if history else []
    counts = {(kind,): found.count(kind) for kind in sorted(FINDING_KINDS)}
    yield family("findings", "Findings on the newest judged window, by kind.", ("kind",), counts)


def _scores(history: Sequence[Verdict]) -> Iterator[Metric]:
    verdict = last_scored(history)
    if verdict is None:
        return
    scores = {(score.column,): score.score for score in verdict.scores}
    yield family("drift_score", "Drift score of the last scored window.", ("column",), scores)
    thresholds = {(score.column,): score.threshold for score in verdict.scores}
    yield family("drift_threshold", "Threshold of the drift score.", ("column",), thresholds)
    share = sum(score.drifted for score in verdict.scores) / len(verdict.scores)
    yield gauge("drift_share", "Share of columns over their threshold in the last scored window.", share)
    if verdict.impact is not None:
        told = "Share of the model's importance that columns over their threshold have in the last scored window."
        yield gauge("drift_impact_ratio", told, verdict.impact)


def _performance(history: Sequence[Verdict]) -> Iterator[Metric]:
    verdict = last_labelled(history)
    if verdict is None or verdict.performance is None:
        return
    found = verdict.performance
    yield gauge("performance_loss", "Mean loss over the newest labelled window.", found.metrics["loss"])
    yield from _bounds("performance_loss", found.intervals.get("loss"))
    if "threshold" in found.reference:
        yield gauge("performance_reference_loss", "The champion's loss on its hold-out.", found.reference["loss"])
        yield gauge("performance_threshold", "Largest tolerated mean loss.", found.reference["threshold"])
    trivial = {(name,): loss for name, loss in found.trivial.items()}
    told = "Mean loss, over the newest labelled window, of predictors that look at no feature."
    yield family("performance_trivial_loss", told, ("predictor",), trivial)
    if found.delay_seconds is not None:
        told = "Median time from an answer to its label, over the newest labelled window."
        yield gauge("label_delay_seconds", told, found.delay_seconds)


def _coverage(history: Sequence[Verdict]) -> Iterator[Metric]:
    verdict = last_covered(history)
    if verdict is None or verdict.performance is None:
        return
    told = "Share of the newest judged window with rows that has labels; 0 when none has arrived."
    yield gauge("label_coverage_ratio", told, verdict.performance.coverage)


def _estimate(history: Sequence[Verdict]) -> Iterator[Metric]:
    found = next((verdict.estimate for verdict in history if verdict.estimate), None)
    if found is None:
        return
    yield gauge("estimated_loss", "Mean loss of the newest window, estimated without its labels.", found.loss)
    yield from _bounds("estimated_loss", found.interval)
    yield gauge("estimate_trusted", "1 when the estimated loss can be trusted, else 0.", float(found.trusted))


def _bounds(name: str, interval: tuple[float, float] | None) -> Iterator[Metric]:
    if interval is not None:
        for side, bound in zip(("lower", "upper"), interval, strict=True):
            yield gauge(f"{name}_{side}", f"The {side} end of its 95 % interval.", bound)


def _segments(history: Sequence[Verdict], most: int) -> Iterator[Metric]:
    verdict = next((verdict for verdict in history if verdict.segments), None)
    told = _commonest(verdict.segments, most) if verdict else []
    labels = ("column", "value")
    rows = {(segment.column, segment.value): float(segment.rows) for segment in told}
    yield family("segment_rows", "Rows of a segment in the newest window that has segments.", labels, rows)
    losses = {(segment.column, segment.value): segment.loss for segment in told}
    yield family("segment_loss", "Mean loss over the labelled rows of a segment.", labels, losses)


def _commonest(segments: Sequence[SegmentScore], most: int) -> list[SegmentScore]:
    """The values of each column that the reference knows, those with most rows."""
    known = [item for item in segments if item.reference_loss is not None or item.drift_threshold is not None]
    ordered = sorted(known, key=lambda item: (item.column, -item.rows, item.value))
    return [item for _, group in groupby(ordered, lambda item: item.column) for item in list(group)[:most]]


def _fairness(history: Sequence[Verdict]) -> Iterator[Metric]:
    verdict = next((verdict for verdict in history if verdict.fairness), None)
    gaps = {(gap.column, gap.metric): gap.difference for gap in verdict.fairness} if verdict else {}
    told = "Largest difference of a rate between groups of a sensitive column."
    yield family("fairness_gap", told, ("column", "metric"), gaps)
