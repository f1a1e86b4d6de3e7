"""What a hold-out teaches about where losses are large, and how far that goes.

Everything is judged by rows that were not learnt from: the hold-out is split into FOLDS, and each model leaves one out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from threadpoolctl import threadpool_limits

from lifecycle.classified import matrix
from lifecycle.totals import Floats, Integers, weights_of
from monitoring.performance.answers import Labelled, labelled
from monitoring.performance.error_models import Confidence, ErrorModel, Trees
from monitoring.performance.novelty import Held, settled_features
from monitoring.performance.samples import Sample
from monitoring.performance.standards import Standard
from monitoring.references import Reference
from monitoring.rows import Rows, prediction_name

FOLDS = 5
FEWEST_ROWS = 200
MOST_ROWS = 10_000
MOST_UNKNOWN = 0.05
ONE_SIDED_95 = 1.645


@dataclass(frozen=True)
class Expected:
    """Of some rows: the loss expected of each, its variance around that, and the variance of their mean that comes of learning.

    `unknown` is the share of them that the models had nothing to go by.
    """

    losses: Floats
    spreads: Floats
    learning: float
    unknown: float


@dataclass(frozen=True)
class Expectation:
    """Error models, each learnt from all folds of a hold-out but one, and `method`, what they are called.

    `gain` is how much of the variance of the losses of rows left out they explain, and `certain` its lower 95 % bound. `ratio`
    is the squared error of an expected loss to its square, and `learning` the least variance of a mean that comes of
    learning from so few `rows`. `usual` is the share of rows left out that lie outside what the other folds held.
    """

    method: str
    rows: int
    mean: float
    gain: float
    certain: float
    ratio: float | None
    learning: float
    usual: float
    held: Held = field(repr=False)
    models: tuple[ErrorModel, ...] = field(repr=False)

    def of(self, rows: Rows) -> Expected:
        """What is expected of `rows`."""
        with threadpool_limits(1):
            each = np.stack([model.expected(rows) for model in self.models])
        unknown = np.isnan(each[0])
        each[:, unknown] = self.mean
        means = np.average(each, axis=1, weights=weights_of(rows.weights, len(rows)))
        losses = each.mean(axis=0)
        spreads = losses * (1 - losses) if self.ratio is None else self.ratio * losses**2
        jackknife = (len(self.models) - 1) * float(means.var())  # by groups left out (Kott, 2001)
        return Expected(losses, spreads, max(jackknife, self.learning), float(unknown.mean()))


def learnt(reference: Reference, standard: Standard) -> Expectation | None:
    """What the hold-out teaches; None when it has fewer than FEWEST_ROWS rows with labels. At most MOST_ROWS are learnt from."""
    contract, holdout = reference.contract, standard.holdout
    known = labelled(contract, holdout.rows.thinned(MOST_ROWS)) if holdout is not None else None
    if known is None or len(known.rows) < FEWEST_ROWS:
        return None
    fold = _folds(len(known.rows), in_time_order=reference.in_time_order and known.rows.at is not None)
    method, fit = _method(reference, known)
    with threadpool_limits(1):  # on busy cores, OpenMP threads that wait for each other take minutes
        models = tuple(fit(np.flatnonzero(fold != left)) for left in range(FOLDS))
        expected = _left_out(known, fold, models)
    losses, weights = known.answers.losses, known.answers.weights
    gains = _gains(losses, expected, fold)
    squared = Sample.of(losses - expected, weights, standard.inertia)
    features = settled_features(reference)
    return Expectation(
        method=method,
        rows=len(known.rows),
        mean=float(np.average(losses, weights=weights)),
        gain=gains.mean,
        certain=gains.mean - ONE_SIDED_95 * float(np.sqrt(gains.variance / gains.rows)),
        ratio=_ratio(losses, expected) if contract.target.is_regression else None,
        learning=squared.variance / squared.rows,
        usual=_usual(features, known.rows, fold),
        held=Held.by(features, known.rows),
        models=models,
    )


def _method(reference: Reference, known: Labelled) -> tuple[str, Callable[[Integers], ErrorModel]]:
    """By probabilities where nearly all rows have them."""
    contract = reference.contract
    given = matrix(known.rows.probabilities, contract.target.class_texts)
    if given is not None and np.isnan(given).any(axis=1).mean() <= MOST_UNKNOWN:
        return "confidence", lambda places: Confidence.fit(contract, known, places)
    columns = (*settled_features(reference), prediction_name(contract))
    return "error model", lambda places: Trees.fit(columns, known, places)


def _folds(rows: int, *, in_time_order: bool) -> Integers:
    """The fold of each row: neighbours in time share one, so that none is judged by its own neighbours."""
    folds = np.arange(rows) * FOLDS // rows
    return folds if in_time_order else np.random.default_rng(0).permutation(folds)


def _left_out(known: Labelled, fold: Integers, models: tuple[ErrorModel, ...]) -> Floats:
    """The loss that is expected of each row by the model that has not seen it."""
    found = np.empty(len(fold))
    for left, model in enumerate(models):
        found[fold == left] = model.expected(known.rows.taken(fold == left))
    return np.where(np.isnan(found), known.answers.losses.mean(), found)


def _gains(losses: Floats, expected: Floats, fold: Integers) -> Sample:
    """By how much the squared error of each row is smaller than a constant's that has not seen it either, in variances."""
    spread = float(losses.std())
    if spread == 0:
        return Sample(0.0, 0.0, 0.0, float(len(losses)))
    constant = np.array([losses[fold != left].mean() for left in range(FOLDS)])[fold]
    return Sample.of(((losses - constant) / spread) ** 2 - ((losses - expected) / spread) ** 2)


def _ratio(losses: Floats, expected: Floats) -> float:
    scale = float(np.abs(losses).max()) or 1.0
    squares = float(np.square(expected / scale).sum())
    return float(np.square((losses - expected) / scale).sum()) / squares if squares > 0 else 0.0


def _usual(features: tuple[str, ...], rows: Rows, fold: Integers) -> float:
    outside = [Held.by(features, rows.taken(fold != left)).outside(rows.taken(fold == left)) for left in range(FOLDS)]
    return float(np.concatenate(outside).mean())
