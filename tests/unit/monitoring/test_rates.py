"""Shares and the interval of their largest difference: it holds where nothing differs, and where something does."""

from collections.abc import Sequence

import numpy as np
import pytest

from monitoring.rates import Rate, interval
from monitoring.rows import Floats

WINDOWS = 100


def drawn(shares: Sequence[float], rows: Sequence[int], random: np.random.Generator) -> Rate:
    """What a window of so many rows in each group shows of these shares."""
    counts = np.array(rows)
    return Rate(random.binomial(counts, shares) / counts, counts, counts.astype(np.float64))


def percentiles(rates: Sequence[Rate]) -> tuple[float, float]:
    """The broken way: the gap itself, bootstrapped."""
    random = np.random.default_rng(0)
    found: Floats = np.zeros(300)
    for rate in rates:
        again = random.binomial(rate.rows, rate.shares, (300, len(rate.rows))) / rate.rows
        found = np.maximum(found, again.max(axis=1) - again.min(axis=1))
    lower, upper = np.quantile(found, [0.025, 0.975]).tolist()
    return lower, upper


@pytest.mark.parametrize(
    ("shares", "rows"),
    [
        ([[0.5, 0.5]], [[30, 30]]),
        ([[0.3] * 5], [[30, 60, 120, 500, 2_000]]),
        ([[0.3, 0.35, 0.4, 0.45, 0.5]], [[60] * 5]),
        ([[0.02, 0.02]], [[30, 2_000]]),
        ([[0.8, 0.7], [0.1, 0.2]], [[60, 60], [200, 150]]),
    ],
    ids=["two alike", "five alike", "five apart", "two rare", "two rates"],
)
def test_the_interval_holds_the_true_gap_as_often_as_it_says(shares: list[list[float]], rows: list[list[int]]) -> None:
    random = np.random.default_rng(0)
    gap = max(max(group) - min(group) for group in shares)
    held = 0
    for _ in range(WINDOWS):
        lower, upper = interval([drawn(group, count, random) for group, count in zip(shares, rows, strict=True)])
        held += lower - 1e-12 <= gap <= upper + 1e-12
    assert held / WINDOWS >= 0.91  # 0.95 less two standard errors


def test_the_bootstrap_of_the_gap_itself_never_holds_where_nothing_differs() -> None:
    random = np.random.default_rng(0)
    windows = [drawn([0.3] * 5, [30, 60, 120, 500, 2_000], random) for _ in range(50)]
    assert sum(percentiles([rate])[0] == 0 for rate in windows) == 0
    assert sum(interval([rate])[0] == 0 for rate in windows) >= 45


def test_more_rows_make_a_shorter_interval() -> None:
    short, long = (
        interval([Rate(np.array([0.3, 0.5]), np.array([count] * 2), np.array([count] * 2, np.float64))])
        for count in (10_000, 100)
    )
    assert short[1] - short[0] < 0.15 * (long[1] - long[0])


def test_groups_in_which_nothing_happened_are_not_taken_for_certain() -> None:
    counts = np.array([30, 40])
    lower, upper = interval([Rate(np.zeros(2), counts, counts.astype(np.float64))])
    assert lower == 0
    assert 0.03 < upper < 0.3


def test_uneven_weights_are_worth_fewer_rows() -> None:
    hits, among, places = np.array([True, False] * 50), np.ones(100, dtype=np.bool_), np.zeros(100, dtype=np.intp)
    even = Rate.of(hits, among, places, np.full(100, 7.0), 1)
    uneven = Rate.of(hits, among, places, np.where(hits, 1.0, 9.0), 1)
    assert (float(even.worth[0]), float(even.shares[0])) == (100, 0.5)
    assert uneven.shares[0] == pytest.approx(0.1)
    assert uneven.worth[0] == pytest.approx(500**2 / (50 + 50 * 81))
