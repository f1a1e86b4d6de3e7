import numpy as np
import pytest

from monitoring.drift.budget import AIM, LARGEST, level, rate_per_window, runs, together


def test_the_budget_is_spread_over_windows_and_series() -> None:
    assert rate_per_window(1, 720, 20) == pytest.approx(AIM / 14_400)
    assert rate_per_window(1_000, 1, 1) == LARGEST


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("persistence", [1, 2, 3])
def test_runs_of_windows_come_at_the_rate_that_was_asked_for(persistence: int, correlation: float) -> None:
    found = level(1e-4, persistence, correlation)
    if persistence == 1:
        assert found == pytest.approx(1e-4)
    else:
        assert runs(found, persistence, correlation) == pytest.approx(1e-4, rel=1e-3)


def test_the_rate_of_runs_is_what_simulation_finds() -> None:
    random = np.random.default_rng(0)
    shared, own = random.normal(size=(2_000_000, 1)), random.normal(size=(2_000_000, 2))
    deviations = np.sqrt(0.4) * shared + np.sqrt(0.6) * own
    bound = 1.959964  # one in twenty, both sides
    together_over = (np.abs(deviations) > bound).all(axis=1).mean()
    assert runs(0.05, 2, 0.4) == pytest.approx(together_over, rel=0.03)


def test_taking_windows_for_independent_would_break_the_budget() -> None:
    """The broken variant: the level of independent windows, where neighbours are alike."""
    assert runs(level(1e-4, 2, 0.0), 2, 0.5) > 4e-4


def test_the_more_alike_neighbours_are_the_less_persistence_allows() -> None:
    levels = [level(1e-4, 2, correlation) for correlation in (0, 0.2, 0.5, 0.9, 0.999)]
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] >= 1e-4


def test_sources_of_likeness_add_up_and_stay_below_one() -> None:
    assert together(0.0, 0.0) == 0
    assert together(0.5, 0.5) == pytest.approx(0.75)
    assert together(1.5, 0.2) == 1
