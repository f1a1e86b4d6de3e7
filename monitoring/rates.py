"""Shares within groups, and how far they are apart: the largest gap with an interval that holds.

The gap between the largest and the smallest share is never negative, and larger by chance alone the more groups there are. The
bootstrap of the gap itself repeats that chance on top: where nothing differs, its interval never reaches 0. So the intervals
are simultaneous ones of all differences between two groups, and the gap's spans from the largest lower end to the
largest upper end (the way of Tukey's range, with a bootstrapped instead of a normal range).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lifecycle.totals import weights_of
from monitoring.groups import Places
from monitoring.rows import Floats, Integers

FEWEST_ROWS = 30
DRAWS = 2_000
CONFIDENCE = 0.95
SEED = 0

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rate:
    """A share in each group, 0 to 1, of `rows` that say as much as `worth` rows of equal weight (Kish, 1965)."""

    shares: Floats
    rows: Integers
    worth: Floats

    @classmethod
    def of(cls, hits: Flags, among: Flags, places: Places, weights: Floats | None, groups: int) -> "Rate":
        """The share of `hits` among the rows that are `among`; `places` says which of so many `groups` a row is of."""
        where, weight = places[among], weights_of(weights, len(places))[among]
        hit, whole, squares = (
            np.bincount(where, values, groups) for values in (weight * hits[among], weight, weight**2)
        )
        present = np.where(whole > 0, whole, 1.0)
        return cls(
            hit / present, np.bincount(where, minlength=groups), whole * present / np.where(whole > 0, squares, 1.0)
        )

    @property
    def known(self) -> Flags:
        """The groups with rows enough to compare."""
        return np.minimum(self.rows, self.worth) >= FEWEST_ROWS

    @property
    def gap(self) -> float:
        return float(self.shares.max() - self.shares.min())

    @property
    def compared(self) -> "Rate":
        """The known groups alone."""
        return Rate(self.shares[self.known], self.rows[self.known], self.worth[self.known])

    def within(self, groups: Flags) -> "Rate":
        """All groups, of which only `groups` can be known."""
        return Rate(self.shares, self.rows, self.worth * groups)


def interval(rates: Sequence[Rate]) -> tuple[float, float]:
    """The interval of the largest gap among `rates`, each of at least two groups, at CONFIDENCE, within 0 and 1.

    Groups are resampled each by itself; resampling rows that hit or do not is a binomial draw. One hit and one miss are
    added to each group, as Agresti and Caffo (2000) do, so that a group without any is not taken for certain. Equal
    rates have equal intervals.
    """
    reach = _reach(rates)
    ends = [(distance - reach * error, distance + reach * error) for distance, error in map(_pairs, rates)]
    lower, upper = max(float(low.max()) for low, _ in ends), max(float(high.max()) for _, high in ends)
    return max(lower, 0.0), min(max(upper, *(rate.gap for rate in rates)), 1.0)


def _reach(rates: Sequence[Rate]) -> float:
    """How many standard errors all differences of resampled shares stay within, at CONFIDENCE."""
    random = np.random.default_rng(SEED)
    furthest = np.zeros(DRAWS)
    for rate in rates:
        counts, (shares, variances) = np.rint(rate.worth).astype(np.int64), _added(rate)
        strayed = random.binomial(counts, shares, (DRAWS, len(shares))) / counts - shares
        for place in range(len(shares) - 1):
            apart = np.abs(strayed[:, place + 1 :] - strayed[:, [place]])
            errors = np.sqrt(variances[place + 1 :] + variances[place])
            furthest = np.maximum(furthest, (apart / errors).max(axis=1))
    return float(np.quantile(furthest, CONFIDENCE))


def _pairs(rate: Rate) -> tuple[Floats, Floats]:
    """The distance between each two groups, and its standard error."""
    shares, variances = _added(rate)
    first, second = np.triu_indices(len(shares), k=1)
    return np.abs(shares[first] - shares[second]), np.sqrt(variances[first] + variances[second])


def _added(rate: Rate) -> tuple[Floats, Floats]:
    """The shares with a hit and a miss more, and the variances of such shares."""
    shares = (rate.shares * rate.worth + 1) / (rate.worth + 2)
    return shares, shares * (1 - shares) / rate.worth
