"""Thresholds from the reference itself: how far windows drawn from it stray when nothing has changed.

For each column, windows of the current window's size are drawn from the reference (contiguous blocks when its rows are
in time order, so that seasons count as ordinary; random rows otherwise) and scored against the whole. The largest such
score, with a margin because the largest of few draws is still exceeded now and then, or the configured minimum effect,
whichever is greater, is the threshold. Draws are seeded: the same reference and size give the same thresholds. This is
simple on purpose: it bounds neither the false alarms per month nor those across columns.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lifecycle.ports import DriftScorer
from monitoring.columns import Reference, Scored
from monitoring.scores import Methods, present

DRAWS = 50
MARGIN = 1.25
COMPARED_ROWS = 4_000
"""Null draws are scored against this many rows of the reference: fewer rows only raise a threshold, slightly."""
LARGEST_DRAW = 4_096
KEPT = 16


class Thresholds:
    """Thresholds by version and window size; each pair is computed once and the newest few are kept."""

    def __init__(self, scorer: DriftScorer, methods: Methods, minimum_effect: float, seed: int) -> None:
        self._scorer = scorer
        self._methods = methods
        self._minimum_effect = minimum_effect
        self._seed = seed
        self._known: dict[tuple[int, int], dict[str, float]] = {}

    def of(self, reference: Reference, rows: int) -> dict[str, float]:
        """The threshold of each column for a window of `rows` rows."""
        size = draw_size(rows, len(reference.frame))
        key = (reference.version, size)
        if key not in self._known:
            while len(self._known) >= KEPT:
                del self._known[next(iter(self._known))]
            self._known[key] = {column.name: self._threshold(reference, column, size) for column in reference.columns}
        return self._known[key]

    def _threshold(self, reference: Reference, column: Scored, size: int) -> float:
        values = _coded(reference.frame[column.name], column)
        whole = present(values.iloc[np.linspace(0, len(values) - 1, min(len(values), COMPARED_ROWS)).astype(int)])
        method = self._methods.of(column)
        largest = 0.0
        for draw in self._draws(values, size, in_blocks=reference.in_time_order):
            if len(draw) and len(whole):
                largest = max(largest, self._scorer.score(whole, draw, method))
        return max(self._minimum_effect, MARGIN * largest)

    def _draws(self, values: pd.Series, size: int, *, in_blocks: bool) -> Iterator[pd.Series]:
        random = np.random.default_rng(self._seed)
        for _ in range(DRAWS):
            if in_blocks:
                start = int(random.integers(0, len(values) - size + 1))
                yield present(values.iloc[start : start + size])
            else:
                yield present(values.iloc[random.integers(0, len(values), size)])


def draw_size(rows: int, reference_rows: int) -> int:
    """The power of two at or below `rows`, at most half of the reference: the fewer rows, the wider the threshold."""
    most = max(1, min(rows, LARGEST_DRAW, reference_rows // 2))
    return int(2 ** (most.bit_length() - 1))


def _coded(values: pd.Series, column: Scored) -> pd.Series:
    """Categories as whole numbers: the distance is the same and counting them is much quicker."""
    if column.is_numeric:
        return values
    codes = pd.Series(pd.factorize(values)[0])
    return codes.where(codes >= 0)
