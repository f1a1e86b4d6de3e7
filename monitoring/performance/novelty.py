"""Which rows lie outside what a version's hold-out held: there nothing learnt on the hold-out can be trusted."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from monitoring.references import Reference
from monitoring.rows import Numbers, Rows, Values

Flags = npt.NDArray[np.bool_]


class Extent(Protocol):
    """What one feature held."""

    def outside(self, values: Values) -> Flags:
        """Which values it did not hold; a missing one is held."""


@dataclass(frozen=True)
class Range:
    """Between the smallest and the largest number."""

    low: float
    high: float

    def outside(self, values: Values) -> Flags:
        assert isinstance(values, Numbers), "a feature is of one kind"
        return (values.floats < self.low) | (values.floats > self.high)


@dataclass(frozen=True)
class Names:
    """Among the categories."""

    names: frozenset[str]

    def outside(self, values: Values) -> Flags:
        assert not isinstance(values, Numbers), "a feature is of one kind"
        return np.array([*(name not in self.names for name in values.names), False])[values.codes]


@dataclass(frozen=True)
class Held:
    """What each feature held over some rows. Moments take no part: the present is always later than the hold-out."""

    extents: dict[str, Extent]

    @classmethod
    def by(cls, features: tuple[str, ...], rows: Rows) -> "Held":
        return cls({name: _extent(rows.columns[name]) for name in features})

    def outside(self, rows: Rows) -> Flags:
        """Which rows have a value of any feature that was not held."""
        found = np.zeros(len(rows), dtype=np.bool_)
        for name, extent in self.extents.items():
            found |= extent.outside(rows.columns[name])
        return found


def settled_features(reference: Reference) -> tuple[str, ...]:
    """The features of a reference but for moments, of which nothing can be learnt that holds later."""
    return tuple(item.name for item in reference.columns if item.about == "feature" and item.kind != "datetime")


def _extent(values: Values) -> Extent:
    if isinstance(values, Numbers):
        known = values.floats[~values.missing]
        return Range(float(known.min()), float(known.max())) if len(known) else Range(np.inf, -np.inf)
    return Names(frozenset(values.names[code] for code in np.unique(values.codes[values.codes >= 0]).tolist()))
