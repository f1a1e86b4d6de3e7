"""Shares of rows, and whether one exceeds another by more than chance."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr

from monitoring.rows import Floats

Mask = npt.NDArray[np.bool_]
EVIDENCE = 15.0
"""Natural logarithm of how much likelier two shares must be than one that both have; by chance about once in ten million looks."""


@dataclass(frozen=True)
class Share:
    """A share of rows, and how many rows it was seen on: fewer than there are where they stand for unequal numbers of others."""

    part: float
    rows: float

    @classmethod
    def of(cls, places: Mask, weights: Floats | None = None) -> "Share":
        """How many of the rows are at `places`; of no rows, none."""
        if weights is None or not len(places):
            return cls(float(places.mean()) if len(places) else 0.0, float(len(places)))
        total = float(weights.sum())
        return cls(float(weights[places].sum()) / total, total**2 / float((weights**2).sum()))

    def exceeds(self, usual: "Share", least: float) -> bool:
        """Whether this share is greater than `usual` by more than `least`, and that is no chance (likelihood ratio, Wilks 1938)."""
        if not self.part - usual.part > least:
            return False
        both = (self.part * self.rows + usual.part * usual.rows) / max(self.rows + usual.rows, 1.0)
        return sum(item.rows * _divergence(item.part, both) for item in (self, usual)) > EVIDENCE


def usual_share(places: Mask, weights: Floats | None, size: int, *, in_time_order: bool) -> Share:
    """The share of a reference's rows at `places`; in order of time, the highest of any `size` neighbours, if that is more."""
    whole = Share.of(places, weights)
    size = min(size, len(places))
    if not in_time_order or not size:
        return whole
    sums = np.concatenate([[0], np.cumsum(places)])
    return Share(max(whole.part, float((sums[size:] - sums[:-size]).max()) / size), whole.rows)


def _divergence(part: float, other: float) -> float:
    """Kullback and Leibler (1951), of two shares, in nats."""
    return float(rel_entr(part, other) + rel_entr(1 - part, 1 - other))
