"""When rows came, and how many: silences and jumps in volume. The values that came may be sound."""

import math
from collections.abc import Iterator

import numpy as np

from lifecycle.clock import MICROSECONDS, to_text
from lifecycle.records import Finding
from monitoring.quality.pairs import WindowFacts, finding
from monitoring.quality.shares import EVIDENCE
from monitoring.rows import Integers, Rows
from monitoring.sentences import duration

FEWEST_MOMENTS = 30
LONG, SHORT = 0.5, 0.1
"""Share of the window that a silence takes: when nothing else is known, and when the reference knows shorter ones only."""
FEWEST_WINDOWS = 5
DEVIATIONS = 6.0
TIMES = 2.0
CONSISTENT = 1.4826
"""Median absolute deviation of a normal distribution to its standard deviation."""


def gap(reference: Rows, rows: Rows, window: WindowFacts, sampled: int) -> Iterator[Finding]:
    """The longest silence, also at the window's begin or end, if it is unlike the window's and the reference's own.

    Nothing is said where another version answered some of the rows: it may have answered meanwhile.
    """
    if rows.at is None or len(rows) < min(window.rows, sampled):
        return
    moments = np.unique(rows.at[(rows.at >= window.start) & (rows.at < window.end)])
    if len(moments) < FEWEST_MOMENTS:
        return
    silences = np.diff(moments, prepend=window.start, append=window.end)
    longest = int(silences.argmax())
    if silences[longest] > _least(silences, reference.at, window):
        start = window.start if longest == 0 else int(moments[longest - 1])
        length = duration(float(silences[longest]) / MICROSECONDS)
        words = f"no row for {length} from {to_text(start)}, where {len(moments)} moments have rows, and half of them"
        usual = duration(float(np.median(silences)) / MICROSECONDS)
        yield finding(None, "time_gap", f"{words} are at most {usual} apart")


def _least(silences: Integers, known: Integers | None, window: WindowFacts) -> float:
    """The longest silence that is usual. Times between independent rows are exponential, and their longest grows as the logarithm."""
    chance = float(silences.mean()) * (math.log(len(silences)) + EVIDENCE)
    length = window.end - window.start
    if known is None or len(known) < FEWEST_MOMENTS:
        return max(chance, LONG * length)
    return max(chance, SHORT * length, 2.0 * float(np.diff(np.sort(known)).max()))


def jump(window: WindowFacts) -> Iterator[Finding]:
    """Rows far outside what the windows before had: beyond their median by many deviations, and beyond all of them by far."""
    earlier = np.asarray(window.earlier_rows, dtype=np.float64)
    if len(earlier) < FEWEST_WINDOWS:
        return
    usual = float(np.median(earlier))
    spread = max(CONSISTENT * float(np.median(np.abs(earlier - usual))), math.sqrt(max(usual, 1.0)))
    is_beyond = window.rows > TIMES * earlier.max() or window.rows < earlier.min() / TIMES
    if is_beyond and abs(window.rows - usual) > DEVIATIONS * spread:
        few = f"the {len(earlier)} windows before had {earlier.min():.0f} to {earlier.max():.0f}, {usual:.0f} in the middle"
        yield finding(None, "volume_jump", f"the window has {window.rows} rows, where {few}")
