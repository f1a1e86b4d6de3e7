"""What a sample of losses says of their mean, and whether two samples have the same.

Two samples are compared as if they were one that fell into two parts by chance: spread and skewness are those of both together,
so that a few wild rows accuse nobody, whichever part they are in. Neighbours in time are alike, so rows are counted as the
independent rows that they are worth.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import gammainccinv, ndtri

from lifecycle.totals import Floats

LONGEST = 0.2
"""Correlations of neighbours are looked for over this share of the rows."""


@dataclass(frozen=True)
class Sample:
    """Mean, variance and third central moment of losses, and how many independent rows they are worth."""

    mean: float
    variance: float
    third: float
    rows: float

    @classmethod
    def of(cls, losses: Floats, weights: Floats | None = None, inertia: float = 1.0) -> "Sample":
        """Of at least one row; `inertia` is how many rows are worth one, 1 where rows are independent (see `inertia`).

        Rows of unequal weight are worth fewer of equal weight (Kish, 1965).
        """
        weight = np.ones(len(losses)) if weights is None else weights
        mean = float(np.average(losses, weights=weight))
        second, third = (float(np.average((losses - mean) ** power, weights=weight)) for power in (2, 3))
        worth = float(weight.sum() ** 2 / (weight**2).sum())
        return cls(mean, second, third, max(1.0, worth / inertia))


class Bounds(NamedTuple):
    """How low the first mean and how high the second may be; they pass each other when the difference is no chance."""

    lower: float
    upper: float


def bounds(now: Sample, before: Sample, level: float) -> Bounds:
    """The margin of the difference of two means at the one-sided `level`, split between them by how uncertain each is.

    The null distribution is that of a random division of both samples' rows, by its first three moments (a Pearson type III, as
    Mielke and Berry, 2007, use for permutations). `before` may have infinitely many rows. When the means are the same,
    `lower` exceeds `upper` in about a share `level` of windows.
    """
    share_now, share_before = 1 / now.rows, 1 / before.rows
    both = _together(now, before)
    scale = np.sqrt(share_now + share_before)
    asymmetry = (share_now**2 - share_before**2) / scale**3
    cube = both.variance**1.5
    skewness = both.third / cube * asymmetry if cube > 0 else 0.0
    margin = quantile(level, float(skewness)) * np.sqrt(both.variance) * scale
    part = share_now / (share_now + share_before)
    return Bounds(now.mean - float(margin * part), before.mean + float(margin * (1 - part)))


def quantile(level: float, skewness: float) -> float:
    """What a standardised Pearson type III variable exceeds at the rate `level`.

    Skewness below 0 counts as 0: that the other tail was seen to be long is no reason to alarm sooner.
    """
    if skewness < 1e-3:
        return float(-ndtri(level))
    shape = 4 / skewness**2
    return float((gammainccinv(shape, level) - shape) / np.sqrt(shape))


def inertia(losses: Floats) -> float:
    """How many neighbouring rows are worth one, at least 1: one and twice the sum of the autocorrelations.

    They are summed up to the first pair that is not positive (the initial positive sequence of Geyer, 1992). Short series look
    less alike than they are; where a longer one is at hand, the larger of both should be taken.
    """
    count = len(losses)
    centred = losses - losses.mean()
    if count < 4 or not np.any(centred):
        return 1.0
    centred /= np.abs(centred).max()
    spectrum = np.fft.rfft(centred, 2 * count)
    found = np.fft.irfft(spectrum * spectrum.conj())[:count]
    most = max(2, int(count * LONGEST) // 2 * 2)
    pairs = (found[:most] / found[0]).reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    total = 2 * float(pairs[: ends[0] if len(ends) else None].sum()) - 1
    return float(np.clip(total, 1.0, count))


def _together(now: Sample, before: Sample) -> Sample:
    """The moments of both samples' rows."""
    part = 0.0 if np.isinf(before.rows) else now.rows / (now.rows + before.rows)
    rest, apart = 1 - part, now.mean - before.mean
    variance = part * now.variance + rest * before.variance + part * rest * apart**2
    third = (
        part * now.third
        + rest * before.third
        + 3 * part * rest * apart * (now.variance - before.variance)
        + part * rest * (rest - part) * apart**3
    )
    return Sample(part * now.mean + rest * before.mean, variance, third, now.rows + before.rows)
