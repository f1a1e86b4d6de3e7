"""The loss of a window before its labels come, and whether the estimate can be trusted.

It is the mean of what is expected of each row: for classifiers with probabilities, one less the calibrated probability of
the answer (confidence-based performance estimation); for all others, a model of the loss that was learnt on the hold-out
(direct loss estimation). Both see that rows became harder. Neither can see that the relation between features and label
has changed: then only labels tell.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from lifecycle.config import MonitoringSection
from lifecycle.records import Estimate
from lifecycle.totals import weights_of
from monitoring.performance.answers import label_places, labelled, without_features
from monitoring.performance.expectations import FEWEST_ROWS, MOST_UNKNOWN, Expectation, Expected, learnt
from monitoring.performance.samples import Sample
from monitoring.performance.standards import Standard, order_inertia
from monitoring.references import Reference
from monitoring.rows import Rows

KEPT = 4
MOST_ROWS = 50_000
MOST_OUTSIDE = 0.1
FEWEST_LABELS = 10
TWO_SIDED_95, TWO_SIDED_99 = 1.96, 2.576
BLIND = "it cannot see a change of the relation between features and label"


class Estimates:
    """Estimates by what each hold-out teaches, which is learnt once; the newest few are kept in memory."""

    def __init__(self) -> None:
        self._known: dict[str, Expectation | None] = {}

    def of(self, reference: Reference, rows: Rows, settings: MonitoringSection, level: float) -> Estimate | None:
        """The estimate for `rows`; None where there is no row, or no hold-out with labels to learn from.

        It is trusted unless the hold-out is too small, or teaches nothing beyond a constant, or many rows lie outside what it held
        or have no probabilities, or the labels that did come contradict it: `validity` says so. `lost` is a trusted estimate of which
        the lower bound, at the one-sided `level`, is above the threshold. Of many rows, MOST_ROWS are estimated, evenly spread.
        """
        standard = Standard(reference, settings.performance_tolerance)
        if standard.holdout is None or not len(rows):
            return None
        some, expectation = rows.thinned(MOST_ROWS), self._learnt(reference, standard)
        if expectation is None:
            return _untaught(standard, len(rows))
        found = _Estimated.of(some, expectation.of(some))
        doubts = tuple(_doubts(reference, some, expectation, found))
        tolerated = standard.tolerated()
        return Estimate(
            method=expectation.method,
            rows=len(rows),
            loss=found.loss,
            interval=found.interval(1.0 if expectation.ratio is None else np.inf),
            reference=tolerated,
            trusted=not doubts,
            validity="; ".join([*(doubts or [_grounds(expectation)]), BLIND]),
            lost=not doubts and found.loss + float(ndtri(level)) * found.deviation > tolerated["threshold"],
        )

    def _learnt(self, reference: Reference, standard: Standard) -> Expectation | None:
        if reference.key not in self._known:
            while len(self._known) >= KEPT:
                del self._known[next(iter(self._known))]
            self._known[reference.key] = learnt(reference, standard)
        return self._known[reference.key]


def estimate(reference: Reference, rows: Rows, settings: MonitoringSection, level: float) -> Estimate | None:
    """One estimate by itself; see `Estimates`, which remembers what it has learnt."""
    return Estimates().of(reference, rows, settings, level)


@dataclass(frozen=True)
class _Estimated:
    """The mean of the expected losses, and its standard deviation from the mean loss that labels would show."""

    expected: Expected
    loss: float
    deviation: float

    @classmethod
    def of(cls, rows: Rows, expected: Expected) -> "_Estimated":
        weights = weights_of(rows.weights, len(rows))
        sample = Sample.of(expected.losses, weights, order_inertia(rows, expected.losses))
        chance = sample.variance + float(np.average(expected.spreads, weights=weights))
        return cls(expected, sample.mean, float(np.sqrt(chance / sample.rows + expected.learning)))

    def interval(self, most: float) -> tuple[float, float]:
        """95 %."""
        far = TWO_SIDED_95 * self.deviation
        return max(0.0, self.loss - far), min(most, self.loss + far)


def _untaught(standard: Standard, rows: int) -> Estimate:
    """What was on the hold-out, for want of better."""
    assert standard.holdout is not None, "the caller looked"
    losses, known = standard.holdout.answers.losses, len(standard.holdout.rows)
    sample = Sample.of(losses, standard.holdout.answers.weights, standard.inertia)
    far = TWO_SIDED_95 * float(np.sqrt(sample.variance * (1 / rows + 1 / sample.rows)))
    return Estimate(
        method="hold-out",
        rows=rows,
        loss=sample.mean,
        interval=(max(0.0, sample.mean - far), sample.mean + far),
        reference=standard.tolerated(),
        trusted=False,
        validity=f"the hold-out has {known} rows with labels, and an estimate needs {FEWEST_ROWS}; {BLIND}",
    )


def _doubts(reference: Reference, rows: Rows, expectation: Expectation, found: _Estimated) -> Iterator[str]:
    """Why not to trust it, in sentences."""
    if not expectation.certain > 0:
        yield "on the hold-out it told rows with large losses from others no better than chance"
    outside = float(expectation.held.outside(rows).mean())
    if outside > expectation.usual + MOST_OUTSIDE:
        yield f"{outside:.0%} of the rows lie outside what the hold-out held, where {expectation.usual:.0%} are usual"
    if found.expected.unknown > MOST_UNKNOWN:
        yield f"{found.expected.unknown:.0%} of the rows have no probability for their answer"
    yield from _contradiction(reference, rows, found.expected)


def _contradiction(reference: Reference, rows: Rows, expected: Expected) -> Iterator[str]:
    """Labels that came say another loss of their rows than was expected of the same rows, and that is no chance (1 %)."""
    contract = reference.contract
    places, came = label_places(contract, rows), labelled(contract, without_features(contract, rows))
    if came is None or len(places) < FEWEST_LABELS:
        return
    losses, foreseen, weights = came.answers.losses, expected.losses[places], came.answers.weights
    surprise = losses - foreseen
    sample = Sample.of(surprise, weights, order_inertia(came.rows, surprise))
    chance = max(sample.variance, float(np.average(expected.spreads[places], weights=weights)))
    if abs(sample.mean) > TWO_SIDED_99 * float(np.sqrt(chance / sample.rows + expected.learning)):
        told, thought = (float(np.average(values, weights=weights)) for values in (losses, foreseen))
        yield f"the {len(places)} labels that came show a loss of {told:.4g}, where {thought:.4g} was expected of the same rows"


def _grounds(expectation: Expectation) -> str:
    return (
        f"learnt from {expectation.rows} labelled rows of the hold-out, where it explains {expectation.gain:.0%} of the "
        "differences between losses"
    )
