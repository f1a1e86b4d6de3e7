"""How good predictions are: per-row losses, the usual metrics, and the trivial predictor to compare with.

Labels and predictions are in their stored form. `loss` is the headline everywhere: the mean absolute error for
regression, the error rate for classification; lower is better.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lifecycle.classified import SMALLEST_PROBABILITY, Classified
from lifecycle.contract import Target
from lifecycle.numeric import Numeric
from lifecycle.totals import Answers, whole

Floats = npt.NDArray[np.float64]


def losses(target: Target, labels: Sequence[Any], predictions: Sequence[Any]) -> Floats:
    """The headline loss of each row: absolute error, or 0 and 1."""
    if target.is_regression:
        return np.abs(np.asarray(labels, dtype=np.float64) - np.asarray(predictions, dtype=np.float64))
    pairs = zip(labels, predictions, strict=True)
    return np.array([str(label) != str(prediction) for label, prediction in pairs], dtype=np.float64)


def gate_losses(
    target: Target, labels: Sequence[Any], predictions: Sequence[Any], probabilities: Mapping[str, Sequence[float]]
) -> Floats:
    """The loss of each row as the gate compares it: logarithmic where there are probabilities, else the headline."""
    if target.is_regression or not probabilities:
        return losses(target, labels, predictions)
    chosen = [probabilities[str(label)][row] for row, label in enumerate(labels)]
    return -np.log(np.maximum(np.asarray(chosen, dtype=np.float64), SMALLEST_PROBABILITY))


def trivial_prediction(target: Target, training_labels: Sequence[Any]) -> Any:
    """What a predictor that looks at no feature answers: the training labels' median, or their most frequent class."""
    if target.is_regression:
        return float(np.median(np.asarray(training_labels, dtype=np.float64)))
    names, counts = np.unique(np.asarray([str(label) for label in training_labels]), return_counts=True)
    return str(names[counts.argmax()])


def metrics(
    target: Target,
    labels: Sequence[Any],
    predictions: Sequence[Any],
    probabilities: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, float]:
    """The usual metrics over at least one row, as scikit-learn defines them, the headline among them as `loss`.

    Regression: mae, rmse, median_absolute_error, max_error, bias (the mean of prediction less label), r2, and mape (a share,
    over labels that are not 0). Classification: accuracy, balanced_accuracy, macro_precision, macro_recall, macro_f1 and mcc;
    with `probabilities` by class text also log_loss, brier, expected_calibration_error, roc_auc and, for two classes,
    average_precision of the last. What is not defined for these rows is left out; what is there is finite.
    """
    return whole(_answers(target, labels, predictions, probabilities or {}))


def headline(target: Target) -> str:
    """The metric people are shown first."""
    return "mae" if target.is_regression else "accuracy"


def _answers(
    target: Target, labels: Sequence[Any], predictions: Sequence[Any], probabilities: Mapping[str, Sequence[float]]
) -> Answers:
    if target.is_regression:
        return Numeric.of(np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64))
    classes = target.class_texts
    places = {name: place for place, name in enumerate(classes)}
    truth, answered = (
        np.array([places.get(str(value), len(classes)) for value in values], dtype=np.intp)
        for values in (labels, predictions)
    )
    given = {name: np.asarray(values, dtype=np.float64) for name, values in probabilities.items()}
    return Classified.of(classes, truth, answered, probabilities=given)
