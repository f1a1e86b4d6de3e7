"""Numbers where none were, and how much of its range a reference has shown."""

from collections.abc import Iterator

import numpy as np

from lifecycle.records import Finding
from monitoring.quality.pairs import Pair, finite
from monitoring.quality.shares import Mask
from monitoring.rows import Floats

ENOUGH = 100.0
"""Independent rows that show the range of a column well."""


def out_of_range(pair: Pair, surge: float) -> Iterator[Finding]:
    """Many numbers more than a full span outside all that was ever ordinary: two summer months must not make winter a breakage.

    The fewer independent rows the reference has, the more spans.
    """
    known = finite(pair.measured[0]) if pair.measured else np.empty(0)
    if not len(known):
        return
    ends = [end for end in (pair.column.minimum, pair.column.maximum) if end is not None]
    low, high = min([float(known.min()), *ends]), max([float(known.max()), *ends])
    if low == high or not _share_outside(pair, low, high, 1.0, surge):
        return  # a constant that moves has no range to be far outside of
    spans = max(1.0, ENOUGH / independent_rows(known)) if pair.in_time_order else 1.0
    if share := _share_outside(pair, low, high, spans, surge):
        far = "a full span" if spans == 1 else f"{spans:.1f} spans"
        words = f"{share:.0%} of the numbers are more than {far} outside [{low:.4g}, {high:.4g}]"
        yield pair.finding("out_of_range", words)


def independent_rows(values: Floats) -> float:
    """How many independent rows `values`, in order of time, are worth: at least 1, at most their number.

    From the autocorrelations of their ranks, summed up to the first that is not positive (as Geyer 1992 cuts the sum off).
    """
    ranks = np.searchsorted(np.sort(values), values).astype(np.float64)
    ranks -= ranks.mean() if len(ranks) else 0.0
    if not ranks.any():
        return 1.0
    spectrum = np.fft.rfft(ranks, 2 * len(ranks))
    correlations = np.fft.irfft(spectrum * spectrum.conj())[: len(ranks)]
    ends = np.flatnonzero(correlations <= 0)
    positive = correlations[1 : ends[0] if len(ends) else None] / correlations[0]
    return max(1.0, len(ranks) / (1 + 2 * float(positive.sum())))


def _share_outside(pair: Pair, low: float, high: float, spans: float, surge: float) -> float:
    """The share of the window's numbers that are so far outside; 0 when it is no surge."""
    assert pair.measured, "both sides are numbers"
    far = spans * (high - low)
    before, now = (_outside(side, low - far, high + far) for side in pair.measured)
    share = pair.share_of_present(now)
    return share.part if share.exceeds(pair.usual(before), surge) else 0.0


def _outside(values: Floats, low: float, high: float) -> Mask:
    """Infinities are another finding."""
    return np.isfinite(values) & ((values < low) | (values > high))
