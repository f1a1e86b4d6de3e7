"""How far windows stray when nothing has changed: windows of the real size, drawn from the reference, against its other rows.

Rows in order of time are drawn in contiguous blocks, so that what traffic ordinarily does within days counts as ordinary.
A block can be no longer than a twentieth of the reference, because fewer blocks say nothing. To windows of other sizes the spread
is carried over by the law that the blocks themselves show, from a quarter of their length to the whole: with the root of the
rows where neighbours soon forget each other, slower where they do not.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import kolmogi, kolmogorov
from scipy.stats import chi2

from lifecycle.versions import STRETCHES
from monitoring.rows import Floats

DRAWS = 200
FEWEST_ROWS = 8
FEWEST_BLOCKS, LARGEST_SHARE = STRETCHES, 4
KOLMOGOROV_MEAN = float(np.sqrt(np.pi / 2) * np.log(2))
KOLMOGOROV_SPREAD = float(np.sqrt(np.pi**2 / 12 - KOLMOGOROV_MEAN**2))
CONFIDENCE = 0.1
"""The spread is taken as large as it may be with this chance of being larger still."""

Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Null:
    """Mean and spread of a score over windows of `size` rows against `against` others, none of them changed.

    `blocks` is how many windows of that size the reference holds, `order` the power of the ordinary law by which scores
    shrink with rows (1: independent rows), and `serial` the correlation of neighbouring blocks.
    """

    size: int
    against: int
    mean: float
    spread: float
    blocks: float
    order: float = 1.0
    serial: float = 0.0

    def threshold(self, rows: float, against: float, level: float) -> float:
        """What a window of `rows` against a reference of `against` rows exceeds at the rate `level`.

        The tail is that of Kolmogorov's distribution, which is at least as long as those of the other distances.
        """
        deviations = (float(kolmogi(level)) - KOLMOGOROV_MEAN) / KOLMOGOROV_SPREAD
        return float((self.upper_mean + deviations * self.upper_spread) * self.shrunk(rows, against))

    def level(self, score: float, rows: float, against: float) -> float:
        """The rate at which such windows exceed `score`: the inverse of `threshold`."""
        drawn = score / self.shrunk(rows, against)
        deviations = (drawn - self.upper_mean) / max(self.upper_spread, 1e-12)
        return float(kolmogorov(max(KOLMOGOROV_MEAN + deviations * KOLMOGOROV_SPREAD, 0.0)))

    @property
    def upper_mean(self) -> float:
        return self.mean + self.spread / float(np.sqrt(max(self.blocks, 1.0)))

    @property
    def upper_spread(self) -> float:
        freedom = max(self.blocks - 1, 1.0)
        return self.spread * float(np.sqrt(freedom / chi2.ppf(CONFIDENCE, freedom)))

    def shrunk(self, rows: float, against: float) -> float:
        """The scores of such windows as a share of those that were drawn."""
        return float((noise(rows, against) / noise(self.size, self.against)) ** self.order)

    def neighbours(self, rows: float) -> float:
        """The correlation of neighbouring windows of so many rows: what they share is at their border."""
        return self.serial * min(1.0, self.size / max(rows, 1.0))

    def describe(self) -> dict[str, Any]:
        return asdict(self)


def noise(rows: float, against: float) -> float:
    """The size of a score that chance alone makes, up to a factor."""
    return float(np.sqrt(1 / max(rows, 1.0) + 1 / max(against, 1.0)))


def block_size(rows: float, reference_rows: int, *, in_blocks: bool) -> int:
    """How long the drawn windows are: the power of two at or above `rows`, but a fair share of the reference at most."""
    most = reference_rows // (FEWEST_BLOCKS if in_blocks else LARGEST_SHARE)
    most = max(most, min(FEWEST_ROWS, reference_rows // 2), 1)
    return int(min(2 ** (max(int(rows), 1) - 1).bit_length(), 2 ** (most.bit_length() - 1)))


def null(
    draw: Callable[[Places], float],
    reference_rows: int,
    size: int,
    *,
    in_blocks: bool,
    seed: int,
    draws: int = DRAWS,
    deviates: Floats | None = None,
) -> Null:
    """The null of a score; `draw` scores the reference's rows at the places it is given against its others.

    `deviates` is one number per reference row, in order of time, by whose block means neighbours are compared.
    """
    scores = np.array([draw(places) for places in _drawn(reference_rows, size, draws, seed, in_blocks=in_blocks)])
    mean, spread = float(scores.mean()), float(scores.std(ddof=1))
    return Null(
        size=size,
        against=reference_rows - size,
        mean=mean,
        spread=spread,
        blocks=min(float(draws), reference_rows / size) if in_blocks else float(draws),
        order=_order(draw, mean, reference_rows, size, in_blocks=in_blocks, seed=seed, draws=draws),
        serial=_serial(deviates, size) if in_blocks and deviates is not None else 0.0,
    )


@lru_cache(maxsize=4)
def _drawn(rows: int, size: int, draws: int, seed: int, *, in_blocks: bool) -> tuple[Places, ...]:
    """The same for every series of a reference, so that it is drawn once."""
    random = np.random.default_rng(seed)
    if in_blocks:  # inside a stretch, in case that the reference is a sample of some (see `sampled_places`)
        stretch = max(rows // STRETCHES, size)
        begins = random.integers(0, rows // stretch, draws) * stretch
        starts = begins + random.integers(0, stretch - size + 1, draws)
        return tuple(np.arange(start, start + size) for start in starts)
    return tuple(random.permutation(rows)[:size].copy() for _ in range(draws))


def _order(
    draw: Callable[[Places], float],
    mean: float,
    reference_rows: int,
    size: int,
    *,
    in_blocks: bool,
    seed: int,
    draws: int,
) -> float:
    """By which power of the ordinary law scores shrink from windows of a quarter to windows of the whole size, at most 1."""
    quarter = size // 4
    if not quarter or mean <= 0:
        return 1.0
    drawn = _drawn(reference_rows, quarter, max(draws // 2, 1), seed + 1, in_blocks=in_blocks)
    short = float(np.mean([draw(places) for places in drawn]))
    if short <= 0:
        return 1.0
    ordinary = np.log(noise(size, reference_rows - size) / noise(quarter, reference_rows - quarter))
    return float(np.clip(np.log(mean / short) / ordinary, 0.0, 1.0))


def _serial(deviates: Floats, size: int) -> float:
    """The correlation of the means of neighbouring blocks, as large as chance may hide."""
    count = len(deviates) // size
    means = deviates[: count * size].reshape(count, size).mean(axis=1)
    spread = float(means.std())
    if count < 3 or spread == 0:
        return 0.0
    centred = (means - means.mean()) / spread
    found = float((centred[1:] * centred[:-1]).sum() / count)
    return float(np.clip(found + 1 / np.sqrt(count), 0.0, 0.99))
