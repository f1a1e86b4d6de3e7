"""From a budget of false alarms to the level at which one series may be over its threshold in one window.

A series alarms when it is over its threshold in several windows in a row. Windows are not independent: they share the
reference's own chance, neighbours are alike where traffic is, and sliding windows share rows; so the rate of runs is that
of normal deviates that are correlated.
"""

from functools import lru_cache

import numpy as np
from scipy.special import ndtr
from scipy.stats import norm

MINUTES_PER_MONTH = 30 * 24 * 60
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
STEPS = 60
AIM = 0.5
"""The share of the budget that thresholds aim at: what they are derived from is itself an estimate."""
LARGEST = 0.2
"""No series is over its threshold more often than this, however large the budget."""


def rate_per_window(false_alarms_per_month: float, windows_per_month: float, series: int) -> float:
    """The share of windows in which one of so many series may end a run of windows over its threshold."""
    return min(LARGEST, AIM * false_alarms_per_month / max(windows_per_month, 1e-9) / max(series, 1))


def level(rate: float, persistence: int, correlation: float) -> float:
    """How often a series may be over its threshold, so that it is so `persistence` windows in a row at most at `rate`.

    `correlation` is that of neighbouring windows' deviations, 0 to 1.
    """
    return _level(round(rate, 12), persistence, round(min(max(correlation, 0.0), 0.999), 3))


@lru_cache(maxsize=4096)
def _level(rate: float, persistence: int, correlation: float) -> float:
    if persistence == 1:
        return rate
    low, high = rate, min(LARGEST, 2 * rate ** (1 / persistence))
    for _ in range(STEPS):
        middle = float(np.sqrt(low * high))
        if runs(middle, persistence, correlation) > rate:
            high = middle
        else:
            low = middle
    return low


def runs(single: float, persistence: int, correlation: float) -> float:
    """How often deviations that are beyond their bounds, on whichever side, at the rate `single` are so so many times in a row.

    Deviations are normal and equally correlated; the chance they share is integrated out (Gauss and Hermite).
    """
    bound = float(norm.isf(single / 2))
    shared, own = np.sqrt(correlation) * NODES, np.sqrt(1 - correlation)
    beyond = ndtr((shared - bound) / own) + ndtr((-shared - bound) / own)
    return float((WEIGHTS * beyond**persistence).sum() / WEIGHTS.sum())


def together(*correlations: float) -> float:
    """The correlation that several sources of it make together."""
    return float(1 - np.prod([1 - min(max(one, 0.0), 1.0) for one in correlations]))
