"""Quality on the labelled rows of a window, beside the version's own on its hold-out and that of trivial predictors."""

import numpy as np

from lifecycle.config import MonitoringSection
from lifecycle.records import Performance
from lifecycle.totals import weights_of, whole
from monitoring.performance.answers import Labelled, labelled, without_features
from monitoring.performance.intervals import intervals
from monitoring.performance.samples import Sample, bounds
from monitoring.performance.standards import Standard, order_inertia
from monitoring.performance.trivial import trivial_losses
from monitoring.references import Reference
from monitoring.rows import Rows


def measure(reference: Reference, rows: Rows, settings: MonitoringSection, level: float) -> Performance:
    """Performance over those of `rows` (one version's) that have an answer and a label.

    `coverage` is their share of all rows: rows younger than the usual delay have no label yet, and count as rows without. To
    the metrics of `lifecycle.measures` come those of single classes, up to MOST_CLASSES, as `recall[yes]`. `loss_lower`, and
    `loss_upper` in the reference, are the bounds that pass each other at the one-sided `level` when nothing has changed.
    """
    standard = Standard(reference, settings.performance_tolerance)
    found = labelled(reference.contract, without_features(reference.contract, rows))
    if found is None:
        return Performance(0, 0.0, {}, standard.metrics() | standard.tolerated())
    alike = max(order_inertia(found.rows, found.answers.losses), standard.inertia)
    sample = Sample.of(found.answers.losses, found.answers.weights, alike)
    before = standard.losses_as(sample)
    known = standard.metrics() | standard.tolerated()
    metrics = whole(found.answers)
    if before is not None:
        metrics["loss_lower"], known["loss_upper"] = bounds(sample, before, level)
    return Performance(
        rows=len(found.rows),
        coverage=_coverage(rows, found),
        metrics=metrics,
        reference=known,
        intervals=intervals(found.answers, alike),
        trivial={} if standard.known is None else trivial_losses(found, standard.known),
        delay_seconds=_delay(found.rows),
    )


def _coverage(rows: Rows, found: Labelled) -> float:
    return float(found.answers.weights.sum() / weights_of(rows.weights, len(rows)).sum())


def _delay(rows: Rows) -> float | None:
    known = rows.delays[np.isfinite(rows.delays)] if rows.delays is not None else np.empty(0)
    return float(np.median(known)) if len(known) else None
