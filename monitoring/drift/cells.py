"""How a reference column divides values into cells. What is counted in them can be added up, batch by batch or part by part.

Every division has a cell of its own for what is missing and for what the reference never held, so that neither can hide.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from monitoring.rows import Categories, Floats, Numbers, Values

QUANTILES = 10
SAME = 1e-12
"""The share of itself by which a number may differ and still be the same."""
MOST_NAMES = 50
"""Categories that have a cell of their own, the commonest; the others share one."""


class Cells(Protocol):
    """A division of one kind of values."""

    def count(self, values: Values, weights: Floats | None) -> Floats:
        """How many of `values`, or how much weight, lie in each cell."""

    def places(self, values: Values) -> npt.NDArray[np.intp]:
        """The cell of each value."""


@dataclass(frozen=True)
class ExactCells:
    """One cell for every number that the reference holds, and one for all between two of them: nothing is rounded.

    Numbers that differ in their last digits alone are one: they are the same, computed or written in another way. The first cell
    is of what is missing, as if it were below everything; the others are in order. Cell i holds `lowest[i]` to `highest[i]`.
    """

    lowest: Floats
    highest: Floats

    @classmethod
    def of(cls, reference: Values) -> "ExactCells":
        assert isinstance(reference, Numbers), "only numbers are in order"
        known = np.unique(reference.floats[~reference.missing])
        slack = SAME * np.abs(np.where(np.isfinite(known), known, 0.0))
        apart = known[1:] - slack[1:] > known[:-1] + slack[:-1]
        return (
            cls((known - slack)[np.append(True, apart)], (known + slack)[np.append(apart, True)])
            if len(known)
            else cls(known, known)
        )

    def count(self, values: Values, weights: Floats | None) -> Floats:
        assert isinstance(values, Numbers), "a column keeps its kind"
        if weights is not None:
            return np.bincount(self.places(values), weights, minlength=2 * len(self.lowest) + 2).astype(np.float64)
        present = np.sort(values.floats)[: len(values) - int(values.missing.sum())]  # NaN is sorted to the end
        up_to = np.empty(2 * len(self.lowest) + 2)
        up_to[0] = 0
        up_to[1:-1:2] = np.searchsorted(present, self.lowest, "left")
        up_to[2::2] = np.searchsorted(present, self.highest, "right")
        up_to[-1] = len(present)
        found = np.diff(up_to, prepend=0)
        found[0] = len(values) - len(present)
        return found

    def places(self, values: Values) -> npt.NDArray[np.intp]:
        assert isinstance(values, Numbers), "a column keeps its kind"
        begun = np.searchsorted(self.lowest, values.floats, "right")
        found = 1 + begun + np.searchsorted(self.highest, values.floats, "left")
        found[values.missing] = 0
        return found


@dataclass(frozen=True)
class QuantileCells:
    """Tenths of the reference, what lies below and above all of it, and what is missing."""

    edges: Floats

    @classmethod
    def of(cls, reference: Values) -> "QuantileCells":
        assert isinstance(reference, Numbers), "only numbers have quantiles"
        present = reference.floats[~reference.missing]
        steps = np.linspace(0, 1, QUANTILES + 1)
        return cls(np.unique(np.quantile(present, steps, method="inverted_cdf")) if len(present) else np.empty(0))

    def count(self, values: Values, weights: Floats | None) -> Floats:
        return np.bincount(self.places(values), weights, minlength=len(self.edges) + 3).astype(np.float64)

    def places(self, values: Values) -> npt.NDArray[np.intp]:
        assert isinstance(values, Numbers), "a column keeps its kind"
        found = 1 + np.searchsorted(self.edges, values.floats, "left")  # 1: up to the least known, which is a cell too
        if len(self.edges):
            found[values.floats < self.edges[0]] = len(self.edges) + 2
        found[values.missing] = 0
        return found


@dataclass(frozen=True)
class NameCells:
    """The commonest categories of the reference, all its others, those it never held, and what is missing."""

    own: tuple[str, ...]
    others: frozenset[str]

    @classmethod
    def of(cls, reference: Values) -> "NameCells":
        assert isinstance(reference, Categories), "only categories have names"
        counts = np.bincount(reference.codes[reference.codes >= 0], minlength=len(reference.names))
        held = Counter({name: int(count) for name, count in zip(reference.names, counts, strict=True) if count})
        ordered = sorted(held, key=lambda name: (-held[name], name))
        return cls(tuple(ordered[:MOST_NAMES]), frozenset(ordered[MOST_NAMES:]))

    def count(self, values: Values, weights: Floats | None) -> Floats:
        return np.bincount(self.places(values), weights, minlength=len(self.own) + 3).astype(np.float64)

    def places(self, values: Values) -> npt.NDArray[np.intp]:
        assert isinstance(values, Categories), "a column keeps its kind"
        cells = {name: place for place, name in enumerate(self.own, start=1)}
        rare, never = len(self.own) + 1, len(self.own) + 2
        of_code = [cells.get(name, rare if name in self.others else never) for name in values.names]
        return np.array([*of_code, 0], dtype=np.intp)[values.codes]  # -1, the last, is what is missing
