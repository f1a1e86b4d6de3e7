"""Drift scores of one column: ours by name, each a distance between two counts of the same cells, 0 when alike.

All are computed on every row. What is missing, and what the reference never held, counts like any other value.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from monitoring.drift.cells import Cells, ExactCells, NameCells, QuantileCells
from monitoring.rows import Categories, Floats, Values

SMOOTHING = 0.5


def kolmogorov_smirnov(reference: Floats, current: Floats) -> float:
    """The largest difference of the two distribution functions, 0 to 1 (Smirnov, 1939). Cells are in order."""
    return float(np.abs(np.cumsum(current) / current.sum() - np.cumsum(reference) / reference.sum()).max())


def population_stability(reference: Floats, current: Floats) -> float:
    """The population stability index, 0 and up: the sum of Kullback and Leibler's (1951) divergences both ways, in nats.

    Half a row is added to each cell, so that an empty one is not infinitely far away.
    """
    before, now = (_shares(side + SMOOTHING * ((reference + current) > 0)) for side in (reference, current))
    used = (before > 0) & (now > 0)
    return float(((now - before)[used] * np.log(now[used] / before[used])).sum())


def jensen_shannon(reference: Floats, current: Floats) -> float:
    """The distance of Endres and Schindelin (2003), 0 to 1: the root of the Jensen-Shannon divergence in bits."""
    before, now = _shares(reference), _shares(current)
    middle = (before + now) / 2
    divergence = sum(
        float((side[side > 0] * np.log2(side[side > 0] / middle[side > 0])).sum()) / 2 for side in (before, now)
    )
    return float(np.sqrt(max(0.0, divergence)))


def chi_square(reference: Floats, current: Floats) -> float:
    """Cohen's (1988) w of the two-sample chi-square statistic (Pearson, 1900): the statistic's root, whatever the row counts."""
    together = _shares(reference + current)
    used = together > 0
    difference = _shares(current)[used] - _shares(reference)[used]
    return float(np.sqrt((difference**2 / together[used]).sum()))


@dataclass(frozen=True)
class Method:
    """A distance, the cells it counts numbers in, and whether it takes categories.

    `is_squared`: it grows with the square of a change, as a divergence does; its root is what has an ordinary spread.
    """

    distance: Callable[[Floats, Floats], float]
    numbers: Callable[[Values], Cells]
    categories: bool
    is_squared: bool = False


METHODS = {
    "ks": Method(kolmogorov_smirnov, ExactCells.of, categories=False),
    "psi": Method(population_stability, QuantileCells.of, categories=True, is_squared=True),
    "jensenshannon": Method(jensen_shannon, QuantileCells.of, categories=True),
    "chisquare": Method(chi_square, QuantileCells.of, categories=True),
}
OURS = frozenset(METHODS)


class Column:
    """One reference column, counted once, to be compared with many windows. Raises ValueError for a method that does not fit."""

    def __init__(self, method: str, reference: Values) -> None:
        known = METHODS[method]
        self._distance = known.distance
        self.is_squared = known.is_squared
        self._reference = reference
        self._cells = _cells(method, known, reference)
        self._counts = self._cells.count(reference, None)

    def score(self, current: Values, weights: Floats | None = None) -> float:
        """How far `current` is from the reference. Raises ValueError when either has no row, or they are of different kinds."""
        if not len(self._reference) or not len(current):
            raise ValueError(f"has no rows in the {'current window' if len(self._reference) else 'reference'}")
        if type(current) is not type(self._reference):
            raise ValueError("holds numbers on one side and categories on the other")
        even = None if weights is None else weights * (len(weights) / weights.sum())
        return self._distance(self._counts, self._cells.count(current, even))

    def draw(self, places: npt.NDArray[np.intp]) -> float:
        """How far the reference's rows at `places` are from its other rows: what happens when nothing has changed."""
        placed, counts = self._used
        drawn = np.bincount(placed[places], minlength=len(counts)).astype(np.float64)
        return self._distance(counts - drawn, drawn)

    @cached_property
    def _used(self) -> tuple[npt.NDArray[np.intp], Floats]:
        """The cell of each row and how many rows each has, of the cells that have any: the others say nothing of a draw."""
        _, placed, counts = np.unique(self._cells.places(self._reference), return_inverse=True, return_counts=True)
        return placed, counts.astype(np.float64)


def score(method: str, reference: Values, current: Values, weights: Floats | None = None) -> float:
    """How far `current` is from `reference` by one of OURS. Raises ValueError in words when they cannot be compared."""
    return Column(method, reference).score(current, weights)


def _cells(method: str, known: Method, reference: Values) -> Cells:
    if isinstance(reference, Categories):
        if not known.categories:
            raise ValueError(f"holds categories, and {method!r} compares numbers")
        return NameCells.of(reference)
    return known.numbers(reference)


def _shares(counts: Floats) -> Floats:
    return np.asarray(counts / counts.sum())
