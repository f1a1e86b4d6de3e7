"""Intervals of metrics: the bootstrap, over blocks of neighbouring rows where neighbours are alike."""

import numpy as np

from lifecycle.totals import Answers, Integers

RESAMPLES = 500
TAILS = (0.025, 0.975)
MOST_BLOCKS = 2_000
FEWEST_BLOCKS = 10
MOST_TOTALS = 4_000_000
BARELY_ALIKE = 1.5
DEFINED = 0.9
"""A metric has an interval when this share of resamples has it."""


def intervals(answers: Answers, inertia: float) -> dict[str, tuple[float, float]]:
    """The 95 % percentile interval (Efron, 1979) of each metric that totals give; none of fewer than ten rows.

    Blocks (Carlstein, 1986) are of twice as many rows as are worth one, and of so many that there are at most MOST_BLOCKS.
    A block is in a resample as often as a Poisson variable of mean 1 says. Equal rows give equal intervals.
    """
    if len(answers.losses) < FEWEST_BLOCKS:
        return {}
    totals = answers.totals(_starts(len(answers.losses), inertia, answers.width))
    counts = np.random.default_rng(0).poisson(1.0, (RESAMPLES, len(totals))).astype(np.float64)
    found = {}
    for name, values in answers.metrics(counts @ totals).items():
        defined = values[np.isfinite(values)]
        if len(defined) >= DEFINED * RESAMPLES:
            low, high = np.quantile(defined, TAILS)
            found[name] = (float(low), float(high))
    return found


def _starts(rows: int, inertia: float, width: int) -> Integers:
    alike = 1 if inertia < BARELY_ALIKE else int(np.ceil(2 * inertia))
    most = max(FEWEST_BLOCKS, min(MOST_BLOCKS, MOST_TOTALS // width))
    length = min(max(alike, -(-rows // most)), rows // FEWEST_BLOCKS)
    return np.arange(0, rows, length)
