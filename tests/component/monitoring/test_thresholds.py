import numpy as np
import pandas as pd

from monitoring.scores import Methods
from monitoring.thresholds import Thresholds, draw_size
from tests.unit.monitoring.making import DistanceOfMeans, reference, rows

METHODS = Methods("wasserstein", "jensenshannon")


class DistanceOfShapes:
    """A drift scorer for tests: the normed Wasserstein distance, on values as they come."""

    def score(self, reference: pd.Series, current: pd.Series, method: str) -> float:
        shares = np.linspace(0.005, 0.995, 100)
        apart = np.abs(np.quantile(reference, shares) - np.quantile(current, shares))
        return float(apart.mean()) / max(float(reference.std()), 0.001)


def thresholds(minimum: float = 0.0) -> Thresholds:
    return Thresholds(DistanceOfMeans(), METHODS, minimum, seed=0)


def test_fewer_rows_give_wider_thresholds() -> None:
    few, many = thresholds().of(reference(), 30), thresholds().of(reference(), 900)
    assert few["x"] > many["x"] > 0


def test_no_threshold_is_below_the_minimum_effect() -> None:
    assert thresholds(minimum=5.0).of(reference(), 500)["x"] == 5.0


def test_the_same_reference_gives_the_same_thresholds() -> None:
    assert thresholds().of(reference(), 500) == thresholds().of(reference(), 500)


def test_windows_without_change_stay_below() -> None:
    before = rows(1_000)[["x"]].assign(n=1, town="Ghent")
    limit = Thresholds(DistanceOfShapes(), METHODS, 0.0, seed=0).of(reference(before), 256)["x"]
    windows = [pd.Series(np.random.default_rng(seed).normal(size=256)) for seed in range(1, 201)]
    scores = [DistanceOfShapes().score(before["x"], window, "wasserstein") for window in windows]
    assert sum(score > limit for score in scores) <= 4


def test_a_season_within_the_reference_is_ordinary_only_when_rows_are_in_time_order() -> None:
    seasonal = rows(2_000, x=np.sin(np.linspace(0, 12, 2_000)))
    in_time, shuffled = reference(seasonal, time="day"), reference(seasonal)
    assert thresholds().of(in_time, 100)["x"] > 3 * thresholds().of(shuffled, 100)["x"]


def test_a_column_without_values_has_the_minimum() -> None:
    empty = reference(rows(500, x=np.full(500, np.nan)))
    assert thresholds(minimum=0.1).of(empty, 100)["x"] == 0.1


def test_the_size_drawn_is_a_power_of_two_within_the_reference() -> None:
    assert [draw_size(100, 10_000), draw_size(128, 10_000), draw_size(9_000, 1_000)] == [64, 128, 256]
