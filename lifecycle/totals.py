"""Metrics from totals over rows, so that one definition serves all rows and each resample of them.

Nothing of what is built on this raises, warns or is infinite over what rows hold: a metric that is not defined (a class that
never came, labels without spread) is NaN among many and left out of a mapping.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]
HEAVIEST = 1e9


class Answers(Protocol):
    """Answers beside their labels, one entry per row."""

    @property
    def labels(self) -> Floats | Integers:
        """The labels: numbers, or places of classes."""

    @property
    def losses(self) -> Floats:
        """The headline loss of each row."""

    @property
    def weights(self) -> Floats:
        """How many rows each stands for."""

    @property
    def constant(self) -> float:
        """The best prediction that is always the same."""

    def losses_of(self, predictions: Floats) -> Floats:
        """The losses, had these been the predictions."""

    @property
    def width(self) -> int:
        """How many totals there are."""

    def totals(self, starts: Integers) -> Floats:
        """One row of totals for each run of rows, which begin at `starts`."""

    def metrics(self, totals: Floats) -> dict[str, Floats]:
        """The metrics of each row of `totals`."""

    def ranked(self) -> dict[str, float]:
        """Metrics that no totals give."""


def whole(answers: Answers) -> dict[str, float]:
    """The metrics over all rows, of which there is at least one."""
    found = answers.metrics(answers.totals(np.zeros(1, dtype=np.intp)))
    every = {name: float(values[0]) for name, values in found.items()} | answers.ranked()
    return {name: value for name, value in every.items() if np.isfinite(value)}


def weights_of(weights: Floats | None, rows: int) -> Floats:
    """How many rows each stands for: one where it is not known, and HEAVIEST at most."""
    return np.ones(rows) if weights is None else np.clip(np.nan_to_num(weights, nan=1.0), 1 / HEAVIEST, HEAVIEST)


def ratio(above: Floats, below: Floats) -> Floats:
    """NaN where there is nothing to divide by, infinite where there is next to nothing."""
    divisible = below > 0
    with np.errstate(over="ignore"):
        found: Floats = np.where(divisible, above / np.where(divisible, below, 1), np.nan)
    return found
