"""Answers that are classes, with or without probabilities, and the metrics of classification."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lifecycle.reliability import Reliability
from lifecycle.totals import Floats, Integers, ratio, weights_of

SMALLEST_PROBABILITY = 1e-6
MOST_CLASSES = 20
"""Of more classes, none has metrics of its own."""
MOST_RANKED = 200_000
"""More rows are ranked by a sample, evenly spread."""


@dataclass(frozen=True)
class Classified:
    """Answers that are classes, by their places among `classes`; with them go probabilities (rows x classes), NaN where missing.

    The place after the last is that of labels that are none of the classes, and the one after that of such predictions.
    """

    classes: tuple[str, ...]
    labels: Integers
    predictions: Integers
    weights: Floats
    probabilities: Floats | None
    by_class: bool
    """Whether single classes have metrics of their own."""

    @classmethod
    def of(
        cls,
        classes: Sequence[str],
        labels: Integers,
        predictions: Integers,
        weights: Floats | None = None,
        probabilities: Mapping[str, Floats] | None = None,
        *,
        by_class: bool = False,
    ) -> "Classified":
        """Places of labels and predictions that are none of the classes may be anything beyond the last."""
        return cls(
            tuple(classes),
            np.minimum(labels, len(classes)),
            np.where(predictions < len(classes), predictions, len(classes) + 1),
            weights_of(weights, len(labels)),
            matrix(probabilities or {}, classes),
            by_class and len(classes) <= MOST_CLASSES,
        )

    @cached_property
    def losses(self) -> Floats:
        return self.losses_of(self.predictions.astype(np.float64))

    def losses_of(self, predictions: Floats) -> Floats:
        wrong: Floats = (self.labels != predictions).astype(np.float64)
        return wrong

    @property
    def constant(self) -> float:
        counts = np.bincount(self.labels, weights=self.weights, minlength=len(self.classes))
        return float(counts[: len(self.classes)].argmax())

    @property
    def width(self) -> int:
        return 3 * (len(self.classes) + 2) + 3

    def totals(self, starts: Integers) -> Floats:
        count = len(self.classes) + 2
        run = np.repeat(np.arange(len(starts)), np.diff([*starts.tolist(), len(self.labels)])) * count
        right = self.weights * (1 - self.losses)
        counted = [
            np.bincount(run + places, weights=weights, minlength=len(starts) * count).reshape(len(starts), count)
            for places, weights in ((self.labels, self.weights), (self.predictions, self.weights), (self.labels, right))
        ]
        terms = np.add.reduceat(self._of_probabilities() * self.weights[:, None], starts, axis=0)
        return np.hstack([*counted, terms])

    def metrics(self, totals: Floats) -> dict[str, Floats]:
        labels, predictions, right = np.split(totals[:, :-3], 3, axis=1)
        told, logarithmic, quadratic = totals[:, -3:].T
        rows, hits = labels.sum(axis=1), right.sum(axis=1)
        recall, precision, f1 = _per_class(labels, predictions, right)
        return {
            "loss": ratio(rows - hits, rows),
            "accuracy": ratio(hits, rows),
            "balanced_accuracy": _mean(recall),
            "macro_precision": _mean(precision),
            "macro_recall": _mean(recall),
            "macro_f1": _mean(f1),
            "mcc": _correlation(labels, predictions, hits),
            "log_loss": ratio(logarithmic, told),
            "brier": ratio(quadratic, told),
        } | self._of_classes({"recall": recall, "precision": precision, "f1": f1})

    def _of_classes(self, metrics: Mapping[str, Floats]) -> dict[str, Floats]:
        return {
            f"{metric}[{name}]": values[:, place]
            for metric, values in metrics.items()
            for place, name in enumerate(self.classes)
            if self.by_class
        }

    def ranked(self) -> dict[str, float]:
        """Areas under curves (multiclass: the mean over classes against the rest), and the expected calibration error."""
        known = np.flatnonzero(self._known)
        if self.probabilities is None or not len(known):
            return {}
        if len(known) > MOST_RANKED:
            known = known[np.linspace(0, len(known) - 1, MOST_RANKED).astype(np.intp)]
        labels, weights, given = self.labels[known], self.weights[known], self.probabilities[known]
        best = given.argmax(axis=1)
        fit = Reliability.of(given.max(axis=1), (best == labels).astype(np.float64), weights)
        return {"expected_calibration_error": fit.error} | _areas(labels, given, weights)

    @cached_property
    def _known(self) -> npt.NDArray[np.bool_]:
        if self.probabilities is None:
            return np.zeros(len(self.labels), dtype=np.bool_)
        known: npt.NDArray[np.bool_] = ~np.isnan(self.probabilities.sum(axis=1))
        return known

    def _of_probabilities(self) -> Floats:
        """Of each row: whether probabilities are known, logarithmic loss, and squared error; zeros where they are not."""
        terms = np.zeros((len(self.labels), 3))
        if self.probabilities is None:
            return terms
        given, places = self.probabilities[self._known], self.labels[self._known]
        true = (places[:, None] == np.arange(len(self.classes))).astype(np.float64)
        squares = np.square(given - true).sum(axis=1) / (2 if len(self.classes) == 2 else 1)
        terms[self._known, 0] = 1
        terms[self._known, 1] = -np.log(np.maximum((given * true).sum(axis=1), SMALLEST_PROBABILITY))
        terms[self._known, 2] = squares
        return terms


def matrix(probabilities: Mapping[str, Floats], classes: Sequence[str]) -> Floats | None:
    """Rows x classes, within 0 and 1; None unless every class has some."""
    if not classes or any(name not in probabilities for name in classes):
        return None
    found: Floats = np.clip(np.column_stack([probabilities[name] for name in classes]), 0.0, 1.0)
    return found


def _mean(values: Floats) -> Floats:
    """Over the classes for which there is a value."""
    return ratio(np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1).astype(np.float64))


def _per_class(labels: Floats, predictions: Floats, right: Floats) -> tuple[Floats, Floats, Floats]:
    """Recall, precision, and their harmonic mean."""
    return ratio(right, labels), ratio(right, predictions), ratio(2 * right, labels + predictions)


def _correlation(labels: Floats, predictions: Floats, hits: Floats) -> Floats:
    """Matthews' correlation coefficient for any number of classes (Gorodkin, 2004)."""
    rows = labels.sum(axis=1)
    together = hits * rows - (labels * predictions).sum(axis=1)
    apart = [rows**2 - np.square(side).sum(axis=1) for side in (labels, predictions)]
    return ratio(together, np.sqrt(np.maximum(apart[0] * apart[1], 0.0)))


def _areas(labels: Integers, given: Floats, weights: Floats) -> dict[str, float]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    binary = given.shape[1] == 2
    places = [1] if binary else range(given.shape[1])
    split = [place for place in places if 0 < (labels == place).sum() < len(labels)]
    if not split:
        return {}
    areas = [roc_auc_score(labels == place, given[:, place], sample_weight=weights) for place in split]
    found = {"roc_auc": float(np.mean(areas))}
    if binary:
        found["average_precision"] = float(average_precision_score(labels == 1, given[:, 1], sample_weight=weights))
    return found
