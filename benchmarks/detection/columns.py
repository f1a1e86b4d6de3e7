"""The thirteen columns of the benchmark: each a function of a normal deviate.

So traffic can be made autocorrelated, and a change made as large, in every column alike.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import poisson
from scipy.stats import t as student

from lifecycle.contract import Column, Contract, Kind, Target
from monitoring.rows import Categories, Floats, Numbers, Values

LEVELS = (3, 12, 200)
CLASSES = ("no", "yes")
FARTHEST = 9.0
"""No deviate is beyond this."""
GRID = np.linspace(-FARTHEST, FARTHEST, 20_001)


@dataclass(frozen=True)
class Feature:
    """A column: `made` turns normal deviates into its values."""

    name: str
    kind: Kind
    made: Callable[[Floats], Values]


@dataclass(frozen=True)
class Levels:
    """Categories, the commonest first: the one numbered i is of the deviates from `bounds[i]` to `bounds[i + 1]`."""

    bounds: Floats
    names: tuple[str, ...]

    def __call__(self, deviates: Floats) -> Categories:
        places = np.searchsorted(self.bounds[1:-1], deviates, side="right")
        return Categories(places.astype(np.int32), self.names)

    def middle(self, level: int) -> float:
        """A deviate that gives this level."""
        return float(ndtri(ndtr(self.bounds[level : level + 2]).mean()))

    @classmethod
    def of(cls, count: int) -> "Levels":
        """So many, with shares like those of words in a text (Zipf, 1935)."""
        shares = 1 / np.arange(1, count + 1)
        return cls(_bounds(np.cumsum(shares)[:-1] / shares.sum()), tuple(f"level {place}" for place in range(count)))


def _bounds(cumulative: Iterable[float]) -> Floats:
    return np.array([-np.inf, *ndtri(np.array(list(cumulative))), np.inf])


def _normal(deviates: Floats, centre: float, spread: float) -> Numbers:
    return Numbers(centre + spread * deviates)


def _logarithmic(deviates: Floats, spread: float) -> Numbers:
    return Numbers(np.exp(spread * deviates))


def _student(freedom: int) -> Callable[[Floats], Numbers]:
    quantiles = student.isf(ndtr(-GRID), freedom)
    return lambda deviates: Numbers(np.interp(deviates, GRID, quantiles))


def _counted(mean: float) -> Callable[[Floats], Numbers]:
    bounds = ndtri(poisson.cdf(np.arange(int(mean + 12 * mean**0.5)), mean))
    return lambda deviates: Numbers(np.searchsorted(bounds, deviates).astype(np.float64))


def _rounded(deviates: Floats) -> Numbers:
    return Numbers(np.round(400 + 100 * deviates))


CATEGORICAL = tuple(Levels.of(count) for count in LEVELS)
FEATURES: tuple[Feature, ...] = (
    Feature("normal 1", "numeric", partial(_normal, centre=0, spread=1)),
    Feature("normal 2", "numeric", partial(_normal, centre=20, spread=5)),
    Feature("normal 3", "numeric", partial(_normal, centre=-1e6, spread=1e3)),
    Feature("normal 4", "numeric", partial(_normal, centre=0.5, spread=1e-3)),
    Feature("student 3", "numeric", _student(3)),
    Feature("student 2", "numeric", _student(2)),
    Feature("lognormal 1", "numeric", partial(_logarithmic, spread=1)),
    Feature("lognormal 2", "numeric", partial(_logarithmic, spread=2)),
    Feature("count", "integer", _counted(6)),
    Feature("whole", "integer", _rounded),
    *(Feature(f"levels {len(levels.names)}", "categorical", levels) for levels in CATEGORICAL),
)
NUMERIC = tuple(place for place, feature in enumerate(FEATURES) if feature.kind != "categorical")
FIRST_CATEGORICAL = len(NUMERIC)


def contract(*, is_timed: bool) -> Contract:
    """Of a classifier over these columns; timed rows come with the moment they were."""
    return Contract(
        target=Target(name="answer", task="binary", classes=CLASSES),
        columns=tuple(Column(name=feature.name, kind=feature.kind) for feature in FEATURES),
        time="moment" if is_timed else None,
    )
