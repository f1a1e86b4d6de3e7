"""Answers that are numbers, and the metrics of regression. Numbers beyond LARGEST are cut off, so that nothing is infinite."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lifecycle.totals import Floats, Integers, ratio, weights_of

LARGEST = 1e75
"""Cubes of such numbers, and sums of them, are still finite."""
ROUNDING = 1e-12


@dataclass(frozen=True)
class Numeric:
    """Answers that are numbers."""

    labels: Floats
    predictions: Floats
    weights: Floats
    cut_off: int
    """Rows of which a number was beyond LARGEST."""

    @classmethod
    def of(cls, labels: Floats, predictions: Floats, weights: Floats | None = None) -> "Numeric":
        """None of the numbers is NaN; infinities are cut off too."""
        far = (np.abs(labels) > LARGEST) | (np.abs(predictions) > LARGEST)
        truth, answered = (np.clip(side, -LARGEST, LARGEST) for side in (labels, predictions))
        return cls(truth, answered, weights_of(weights, len(labels)), int(far.sum()))

    @cached_property
    def losses(self) -> Floats:
        return self.losses_of(self.predictions)

    def losses_of(self, predictions: Floats) -> Floats:
        return np.abs(predictions - self.labels)

    @property
    def constant(self) -> float:
        return float(np.quantile(self.labels, 0.5, method="inverted_cdf", weights=self.weights))

    @property
    def width(self) -> int:
        return 8

    def totals(self, starts: Integers) -> Floats:
        constant = self.labels.min() == self.labels.max()  # of which rounding would make a spread
        centred = np.zeros(len(self.labels)) if constant else self.labels - self.labels.mean()
        known = self.labels != 0
        shares = self.losses / np.maximum(np.where(known, np.abs(self.labels), 1.0), 1 / LARGEST)
        terms: tuple[Floats | float, ...] = (
            1.0,
            self.losses,
            self.losses**2,
            self.predictions - self.labels,
            centred,
            centred**2,
            known.astype(np.float64),
            np.where(known, shares, 0.0),
        )
        return np.column_stack([np.add.reduceat(term * self.weights, starts) for term in terms])

    def metrics(self, totals: Floats) -> dict[str, Floats]:
        rows, losses, squares, errors, centred, spread, known, shares = totals.T
        within = spread - np.square(centred) / np.where(rows > 0, rows, 1)
        mae = ratio(losses, rows)
        return {
            "loss": mae,
            "mae": mae,
            "rmse": np.sqrt(ratio(squares, rows)),
            "bias": ratio(errors, rows),
            "r2": 1 - ratio(squares, np.where(within > ROUNDING * spread, within, 0)),
            "mape": ratio(shares, known),
        }

    def ranked(self) -> dict[str, float]:
        from sklearn.metrics import median_absolute_error

        middle = median_absolute_error(np.zeros(len(self.losses)), self.losses, sample_weight=self.weights)
        beyond = {"cut_off_rows": float(self.cut_off)} if self.cut_off else {}
        return {"median_absolute_error": float(middle), "max_error": float(self.losses.max())} | beyond
