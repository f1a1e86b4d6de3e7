"""Whether two means differ: false alarms at the level that was asked for, whatever losses look like, and power all the same."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import lfilter

from lifecycle.totals import Floats
from monitoring.performance.samples import Sample, bounds, inertia, quantile

LEVEL = 0.01
WINDOWS = 900
Losses = Callable[[np.random.Generator, tuple[int, int]], Floats]
LOSSES: dict[str, Losses] = {
    "normal errors": lambda random, shape: np.abs(random.normal(size=shape)),
    "heavy-tailed errors": lambda random, shape: np.abs(random.standard_t(3, shape)),
    "seldom wrong": lambda random, shape: (random.random(shape) < 0.05).astype(np.float64),
    "mostly wrong": lambda random, shape: (random.random(shape) < 0.95).astype(np.float64),
}


def alarms(losses: Losses, rows: int, holdout: int, window: Callable[[Floats], Sample] = Sample.of) -> float:
    """The share of windows that alarm; each hold-out is held against fifteen of them."""
    random = np.random.default_rng(11)
    before = [window(one) for one in losses(random, (WINDOWS // 15, holdout))]
    now = [window(one) for one in losses(random, (WINDOWS, rows))]
    found = [bounds(one, before[place // 15], LEVEL) for place, one in enumerate(now)]
    return float(np.mean([one.lower > one.upper for one in found]))


@pytest.mark.parametrize("rows", [50, 500])
@pytest.mark.parametrize("name", LOSSES)
def test_windows_in_which_nothing_changed_alarm_at_the_level_asked_for(name: str, rows: int) -> None:
    assert alarms(LOSSES[name], rows, holdout=800) <= LEVEL + 3 * np.sqrt(LEVEL / WINDOWS)


def test_a_mean_judged_by_its_own_spread_alarms_too_often() -> None:
    """The usual bound, mean less 2.33 deviations of the window's own rows: a window that is wrong throughout has no spread."""

    def usual(row: Floats) -> float:
        return float(row.mean() - 2.326 * row.std() / np.sqrt(len(row)))

    rows = LOSSES["mostly wrong"](np.random.default_rng(11), (WINDOWS, 50))
    assert np.mean([usual(row) > 0.95 for row in rows]) > 5 * LEVEL


def test_neighbours_that_are_alike_count_as_fewer_rows() -> None:
    def persistent(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
        steps = random.normal(size=(shape[0], shape[1] + 100))
        filtered: Floats = lfilter([1], [1, -0.9], steps, axis=1)[:, 100:]
        return np.abs(filtered)

    aware = alarms(persistent, 300, 1_000, lambda losses: Sample.of(losses, inertia=inertia(losses)))
    assert aware <= 2 * LEVEL
    assert alarms(persistent, 300, 1_000) > 5 * LEVEL


@pytest.mark.parametrize(("rows", "worse"), [(50, 2.2), (500, 1.3)])
def test_what_is_worse_is_found(rows: int, worse: float) -> None:
    random = np.random.default_rng(3)
    before = Sample.of(np.abs(random.normal(size=2_000)))
    found = [bounds(Sample.of(worse * np.abs(random.normal(size=rows))), before, 1e-3) for _ in range(100)]
    assert np.mean([one.lower > one.upper for one in found]) > 0.95


def test_the_margin_is_split_by_uncertainty() -> None:
    same = bounds(Sample(1.0, 1.0, 0.0, 100), Sample(1.0, 1.0, 0.0, 100), 0.025)
    assert (same.lower, same.upper) == pytest.approx((1 - 0.1386, 1 + 0.1386), abs=1e-4)
    known = bounds(Sample(1.0, 1.0, 0.0, 100), Sample(1.0, 1.0, 0.0, np.inf), 0.025)
    assert (known.lower, known.upper) == pytest.approx((1 - 0.196, 1.0), abs=1e-4)


def test_both_together_have_the_moments_of_their_rows() -> None:
    random = np.random.default_rng(0)
    now, before = random.exponential(2, 40), random.normal(1, 1, 60)
    whole = Sample.of(np.concatenate([now, before]))
    margin = quantile(0.01, _skewness(whole, 40, 60)) * np.sqrt(whole.variance * (1 / 40 + 1 / 60))
    found = bounds(Sample.of(now), Sample.of(before), 0.01)
    assert now.mean() - found.lower + found.upper - before.mean() == pytest.approx(margin)


def test_a_long_tail_asks_for_more_and_none_asks_for_less() -> None:
    assert quantile(1e-3, 0.0) == pytest.approx(3.0902, abs=1e-4)
    assert quantile(1e-3, 2.0) == pytest.approx(-np.log(1e-3) - 1)
    assert quantile(1e-3, -2.0) == quantile(1e-3, 0.0)


def test_the_inertia_of_a_series() -> None:
    random = np.random.default_rng(0)
    assert inertia(random.normal(size=2_000)) < 1.3
    assert inertia(np.repeat(random.normal(size=400), 5)) == pytest.approx(5, rel=0.2)
    assert inertia(np.tile([0.0, 1.0], 100)) == 1.0
    for none in (np.zeros(50), np.array([1.0]), np.array([0.0, 1e75]), np.arange(3.0)):
        assert inertia(none) == 1.0


def test_losses_of_any_size_are_borne() -> None:
    for losses in (np.array([2e75, 0.0]), np.full(5, 2e75), np.array([5e-324, 0.0]), np.array([1e-160, 0, 0])):
        found = bounds(Sample.of(losses), Sample.of(losses[:1]), 1e-4)
        assert np.isfinite(found).all()


def _skewness(both: Sample, now: int, before: int) -> float:
    asymmetry = (1 / now**2 - 1 / before**2) / (1 / now + 1 / before) ** 1.5
    return float(both.third / both.variance**1.5 * asymmetry)
