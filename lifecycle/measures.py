"""How good predictions are: per-row losses, the usual metrics, and the trivial predictor to compare with.

Labels and predictions are in their stored form. `loss` is the headline everywhere: the mean absolute error for
regression, the error rate for classification; lower is better.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lifecycle.contract import Target

Floats = npt.NDArray[np.float64]
SMALLEST_PROBABILITY = 1e-6


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


def metrics(target: Target, labels: Sequence[Any], predictions: Sequence[Any]) -> dict[str, float]:
    """The usual metrics over at least one row, the headline among them as `loss`."""
    row_losses = losses(target, labels, predictions)
    loss = float(row_losses.mean())
    if not target.is_regression:
        return {"loss": loss, "accuracy": 1 - loss, "balanced_accuracy": _balanced(labels, row_losses)}
    truth = np.asarray(labels, dtype=np.float64)
    spread = float(((truth - truth.mean()) ** 2).sum())
    squares = float((row_losses**2).sum())
    result = {"loss": loss, "mae": loss, "rmse": float(np.sqrt(squares / len(truth)))}
    return result | ({"r2": 1 - squares / spread} if spread else {})


def headline(target: Target) -> str:
    """The metric people are shown first."""
    return "mae" if target.is_regression else "accuracy"


def _balanced(labels: Sequence[Any], row_losses: Floats) -> float:
    names = np.asarray([str(label) for label in labels])
    return float(np.mean([1 - row_losses[names == name].mean() for name in np.unique(names)]))
