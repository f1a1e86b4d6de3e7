"""How well probabilities fit what came true, by bins of equally many rows.

Confidence is the probability of what is bet on; it fits when of the bets with confidence c a share c is won.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
MOST_BINS = 10
ROWS_PER_BIN = 25


@dataclass(frozen=True)
class Reliability:
    """Of each bin: its share of the rows, how far bets won exceed confidence there, and the square that chance alone adds."""

    shares: Floats
    excesses: Floats
    chances: Floats

    @classmethod
    def of(cls, confidence: Floats, won: Floats, weights: Floats | None = None) -> "Reliability":
        """Over at least one row: `confidence` 0 to 1, `won` 0 or 1, and how many rows each stands for."""
        order = np.argsort(confidence, kind="stable")
        bins = min(MOST_BINS, max(1, len(order) // ROWS_PER_BIN))
        starts = np.arange(bins) * len(order) // bins
        weight = np.ones(len(order)) if weights is None else weights[order]
        columns = np.column_stack([weight, weight * confidence[order], weight * won[order], weight**2])
        total, expected, found, squares = np.add.reduceat(columns, starts, axis=0).T
        expected, found, rows = expected / total, found / total, total**2 / squares
        return cls(total / total.sum(), found - expected, found * (1 - found) / np.maximum(rows - 1, 1))

    @property
    def error(self) -> float:
        """Expected calibration error (Naeini, Cooper and Hauskrecht, 2015): above 0 even where all fits, the more so the fewer rows."""
        return float(self.shares @ np.abs(self.excesses))

    @property
    def gap(self) -> float:
        """Root of the mean square excess, less what chance adds (Kumar, Liang and Ma, 2019): about 0 where all fits, however few rows."""
        return float(np.sqrt(max(0.0, float(self.shares @ (self.excesses**2 - self.chances)))))
