"""When quality is lost: a rule on the record of a window's performance alone."""

from lifecycle.records import Performance


def is_lost(performance: Performance | None, minimum_labels: int, minimum_coverage: float = 0.0) -> bool:
    """Whether the labelled rows show a loss of quality; False while there are too few of them.

    The loss must be above the tolerated threshold, and its difference from the hold-out's no chance: its lower bound above
    the hold-out's upper bound, which `measure` draws so that windows pass them at its `level` when nothing has changed.
    """
    if performance is None or "threshold" not in performance.reference or "loss_lower" not in performance.metrics:
        return False
    if performance.rows < minimum_labels or performance.coverage < minimum_coverage:
        return False
    metrics, reference = performance.metrics, performance.reference
    upper = reference.get("loss_upper", reference["loss"])  # older verdicts have none
    return metrics["loss"] > reference["threshold"] and metrics["loss_lower"] > upper


def loss_threshold(loss: float, trivial_loss: float | None, tolerance: float) -> float:
    """The largest mean loss that is tolerated: `tolerance` is the share of its advantage over the trivial predictor that may go."""
    advantage = (trivial_loss or 0.0) - loss
    return loss + tolerance * advantage if advantage > 0 else loss * (1 + tolerance)
