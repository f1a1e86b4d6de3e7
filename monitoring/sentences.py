"""How well a window's answers were, measured or estimated, in sentences: the evidence of alerts and of the page of a window."""

import math
from collections.abc import Iterable, Mapping

from lifecycle.records import Estimate, Performance, SegmentScore

UNITS = ((86_400, "days"), (3_600, "hours"), (60, "minutes"), (1, "seconds"))


def of_performance(found: Performance | None, segments: Iterable[SegmentScore]) -> tuple[str, ...]:
    """The loss and what it is compared with, how many labels say so, and where it is worst; empty without labelled rows."""
    if found is None or "loss" not in found.metrics:
        return ()
    told = (_loss(found), _trivial(found), _labels(found), _worst(segments), _cut_off(found))
    return tuple(sentence for sentence in told if sentence)


def of_estimate(found: Estimate | None) -> tuple[str, ...]:
    """The estimated loss, said to be an estimate, and why (not) to trust it; empty when there is none."""
    if found is None:
        return ()
    estimated = f"{found.loss:.4g}{_interval(found.interval)}{_tolerated(found.reference)}"
    return (
        f"without labels, the loss over {found.rows} rows is estimated at {estimated} (method: {found.method})",
        f"the estimate {'can be trusted' if found.trusted else 'cannot be trusted'}: {found.validity}",
    )


def duration(seconds: float) -> str:
    """A length of time in the largest unit that it fills."""
    length, name = next(((length, name) for length, name in UNITS if abs(seconds) >= length), UNITS[-1])
    return f"{seconds / length:.3g} {name}"


def _loss(found: Performance) -> str:
    loss = f"{found.metrics['loss']:.4g}{_interval(found.intervals.get('loss'))}"
    return f"the loss over {found.rows} labelled rows is {loss}{_tolerated(found.reference)}"


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" (95 % interval {interval[0]:.4g} to {interval[1]:.4g})"


def _tolerated(reference: Mapping[str, float]) -> str:
    """What a loss is compared with, as the end of a sentence."""
    told = {"threshold": "{:.4g} is tolerated", "loss": "the champion's hold-out had {:.4g}"}
    parts = [words.format(reference[name]) for name, words in told.items() if name in reference]
    return "; " + ", and ".join(parts) if parts else ""


def _trivial(found: Performance) -> str:
    losses = ", ".join(f"{name.replace('_', ' ')} {loss:.4g}" for name, loss in sorted(found.trivial.items()))
    return f"predictors that look at no feature lose on the same rows: {losses}" if losses else ""


def _labels(found: Performance) -> str:
    told = f"{found.coverage:.0%} of the rows have a label"
    waited = found.delay_seconds
    return told if waited is None else f"{told}, which came {duration(waited)} after the answer (median)"


def _cut_off(found: Performance) -> str:
    rows = found.metrics.get("cut_off_rows", 0)
    return f"{rows:.0f} rows held numbers too large to measure, which were cut off" if rows else ""


def _worst(segments: Iterable[SegmentScore]) -> str:
    measured = [segment for segment in segments if segment.loss is not None]
    if not measured:
        return ""
    worst = max(measured, key=lambda segment: (segment.lost, _excess(segment)))
    usual = "" if worst.reference_loss is None else f", where the hold-out had {worst.reference_loss:.4g}"
    loss = f"loss {worst.loss:.4g}{_interval(worst.interval)} over {worst.labelled} labelled rows"
    return f"the worst segment is {worst.column} = {worst.value}: {loss}{usual}"


def _excess(segment: SegmentScore) -> float:
    """By how much more is lost than in the same segment of the hold-out: what was always hard is not blamed."""
    if segment.loss is None or segment.reference_loss is None:
        return -math.inf
    return segment.loss - segment.reference_loss
