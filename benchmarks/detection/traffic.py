"""Seeded rows without end: independent of each other, or autocorrelated as traffic is, unchanged or with one change.

Columns are independent of each other unless a change says otherwise. Equal seeds give equal rows, however they are cut
into windows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtr

from benchmarks.detection.columns import CATEGORICAL, CLASSES, FEATURES, FIRST_CATEGORICAL, NUMERIC
from lifecycle.clock import MICROSECONDS
from monitoring.rows import Categories, Floats, Integers, Rows

HOUR = 3_600 * MICROSECONDS
ANSWER = len(FEATURES)
"""The place of the answers' deviates, after those of the features."""
SHARPNESS = 1.5
"""How far the classifier's probabilities are from a half, in its deviates' units."""


@dataclass(frozen=True)
class Chosen:
    """What a change is made to, and the chance in it."""

    numeric: tuple[int, ...]
    categorical: int
    random: np.random.Generator


@dataclass(frozen=True)
class Change:
    """What changed windows have that the reference has not: `made` alters deviates, one column for each feature, in place."""

    words: str
    made: Callable[[Floats, Chosen], None]


def _shifted(deviates: Floats, chosen: Chosen, by: float) -> None:
    deviates[:, list(chosen.numeric[:3])] += by


def _widened(deviates: Floats, chosen: Chosen) -> None:
    deviates[:, list(chosen.numeric[:3])] *= np.sqrt(1.5)


def _correlated(deviates: Floats, chosen: Chosen) -> None:
    first, second = chosen.numeric[:2]
    deviates[:, second] = 0.8 * deviates[:, first] + 0.6 * deviates[:, second]


def _moved(deviates: Floats, chosen: Chosen) -> None:
    """A tenth of all rows leaves the commonest level for the one after it."""
    levels = CATEGORICAL[chosen.categorical]
    column = deviates[:, FIRST_CATEGORICAL + chosen.categorical]
    share = ndtr(levels.bounds[1])
    leaving = (column < levels.bounds[1]) & (chosen.random.random(len(column)) < 0.1 / share)
    column[leaving] = levels.middle(1)


NOTHING, SHIFT, SMALL_SHIFT, VARIANCE, CORRELATION, SHARE = (
    "nothing",
    "shift",
    "small shift",
    "variance",
    "correlation",
    "share",
)
CHANGES = {
    NOTHING: Change("nothing changed", lambda _, __: None),
    SHIFT: Change("3 of 13 columns shifted by 0.25 standard deviations", partial(_shifted, by=0.25)),
    SMALL_SHIFT: Change("3 of 13 columns shifted by 0.1 standard deviations", partial(_shifted, by=0.1)),
    VARIANCE: Change("the variance of 3 of 13 columns times 1.5", _widened),
    CORRELATION: Change("a correlation of two columns from 0 to 0.8, each distributed as before", _correlated),
    SHARE: Change("a tenth of the rows moved from one category to another", _moved),
}


class Traffic:
    """Rows one after another; `memory` is the correlation of a row's deviates with those of the row before it."""

    def __init__(self, seed: int, memory: float, rows_per_hour: int = 500) -> None:
        self._noise, self._chance, self._choices = np.random.default_rng(seed).spawn(3)
        self._memory = memory
        self._step = HOUR // rows_per_hour
        self._at = 0
        self._last = self._noise.normal(size=len(FEATURES) + 1)

    def rows(self, count: int, change: str = NOTHING, chosen: Chosen | None = None) -> Rows:
        """The next `count` rows, with their labels: those of a classifier whose probabilities are right."""
        deviates = self._deviates(count)
        if chosen is not None:
            CHANGES[change].made(deviates, chosen)
        at = self._at + self._step * np.arange(count, dtype=np.int64)
        self._at = int(at[-1]) + self._step
        return _rows(deviates, at, self._chance.random(count))

    def chosen(self) -> Chosen:
        """Columns to make a change to, drawn anew."""
        numeric = tuple(self._choices.permutation(NUMERIC).tolist())
        return Chosen(numeric, int(self._choices.integers(len(CATEGORICAL))), self._choices)

    def _deviates(self, count: int) -> Floats:
        """Autoregressive of the first order, each column with mean 0 and variance 1."""
        noise = np.sqrt(1 - self._memory**2) * self._noise.normal(size=(count, len(FEATURES) + 1))
        if self._memory == 0:
            return np.asarray(noise)
        found, _ = lfilter([1.0], [1.0, -self._memory], noise, axis=0, zi=self._memory * self._last[None, :])
        self._last = found[-1].copy()
        return np.asarray(found)


def _rows(deviates: Floats, at: Integers, chance: Floats) -> Rows:
    yes = ndtr(SHARPNESS * deviates[:, ANSWER])
    columns = {feature.name: feature.made(deviates[:, place]) for place, feature in enumerate(FEATURES)}
    return Rows(
        columns | {"prediction": Categories((yes > 0.5).astype(np.int32), CLASSES)},
        at=at,
        labels=Categories((chance < yes).astype(np.int32), CLASSES),
        delays=np.zeros(len(at)),
        probabilities={"no": 1 - yes, "yes": yes},
    )
