"""Quality of a window's labelled rows: metrics, intervals, trivial predictors, and when it is lost."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from lifecycle.numeric import Numeric
from lifecycle.records import Performance
from monitoring.performance import is_lost, loss_threshold, measure
from monitoring.performance.intervals import intervals
from monitoring.rows import Categories, Numbers, Rows
from tests.unit.monitoring.performing import CLASSES, NUMBERS, named, of_prices, prices, reference, sales, settings

SETTINGS = settings()
LEVEL = 1e-3
CHAMPION = reference(NUMBERS, prices(1_000, seed=1))
SELLER = reference(CLASSES, sales(1_000, seed=1))
HOSTILE = [1.7e308, -1.7e308, math.inf, -math.inf, math.nan, 0.0, 5e-324]


def test_quality_is_measured_on_labelled_rows_and_coverage_says_how_many() -> None:
    labels = np.array([1.0, np.nan, 3.0, np.nan])
    found = measure(CHAMPION, of_prices(np.array([1.5, 9.0, 2.5, 9.0]), labels), SETTINGS, LEVEL)
    assert (found.rows, found.coverage, found.metrics["loss"], found.delay_seconds) == (2, 0.5, 0.5, 30.0)


def test_coverage_counts_rows_as_often_as_they_stand_for_others() -> None:
    rows = replace(of_prices(np.zeros(2), np.array([1.0, np.nan])), weights=np.array([1.0, 3.0]))
    assert measure(CHAMPION, rows, SETTINGS, LEVEL).coverage == 0.25


def test_no_labels_yet() -> None:
    found = measure(CHAMPION, prices(300, labels=False), SETTINGS, LEVEL)
    assert (found.rows, found.coverage, found.metrics) == (0, 0.0, {})
    assert found.reference["loss"] > 0
    assert not is_lost(found, 1)


def test_a_window_like_the_hold_out_loses_nothing_and_a_worse_one_does() -> None:
    assert not is_lost(measure(CHAMPION, prices(500, seed=2), SETTINGS, LEVEL), 50, 0.05)
    assert is_lost(measure(CHAMPION, prices(500, seed=2, scale=2), SETTINGS, LEVEL), 50, 0.05)
    assert not is_lost(measure(SELLER, sales(500, seed=2), SETTINGS, LEVEL), 50, 0.05)
    assert is_lost(measure(SELLER, sales(500, seed=2, flipped=0.3), SETTINGS, LEVEL), 50, 0.05)


def test_a_large_loss_of_too_few_labels_accuses_nobody() -> None:
    found = measure(CHAMPION, prices(500, seed=2, scale=5), SETTINGS, LEVEL)
    assert is_lost(found, 500, 1.0)
    assert not is_lost(found, 501)
    assert not is_lost(replace(found, coverage=0.04), 50, 0.05)


def test_a_few_wild_rows_are_not_enough() -> None:
    labels = np.zeros(60)
    wild = np.where(np.arange(60) >= 58, 70.0, 0.0)
    found = measure(CHAMPION, of_prices(wild, labels), SETTINGS, LEVEL)
    assert found.metrics["loss"] > found.reference["threshold"]
    assert not is_lost(found, 50)


def test_a_difference_that_is_certain_but_tolerated_is_no_loss() -> None:
    found = measure(CHAMPION, prices(20_000, seed=2, scale=1.15), SETTINGS, LEVEL)
    assert found.metrics["loss_lower"] > found.reference["loss_upper"]
    assert not is_lost(found, 50)


def test_old_records_have_no_upper_bound_and_are_judged_by_the_loss_itself() -> None:
    old = Performance(100, 1.0, {"loss": 2.0, "loss_lower": 1.2}, {"loss": 1.0, "threshold": 1.5})
    assert is_lost(old, 50)
    assert not is_lost(replace(old, metrics={"loss": 2.0, "loss_lower": 0.9}), 50)


def test_the_tolerance_is_a_share_of_the_advantage() -> None:
    assert loss_threshold(1.0, 0.9, 0.25) == 1.25
    assert loss_threshold(1.0, None, 0.25) == 1.25
    assert loss_threshold(1.0, 5.0, 0.25) == 2.0


def test_a_version_without_a_hold_out_is_held_against_what_was_measured_then() -> None:
    kept = {"loss": 0.7, "trivial_loss": 2.0, "rows": 1e4, "holdout_rows": 400.0}
    alone = reference(NUMBERS, None, kept)
    found = measure(alone, prices(500, seed=2, scale=3), SETTINGS, LEVEL)
    assert found.reference["threshold"] == pytest.approx(0.7 + 0.25 * 1.3)
    assert is_lost(found, 50)
    assert not is_lost(measure(reference(NUMBERS, None, {}), prices(500, seed=2, scale=3), SETTINGS, LEVEL), 50)


def test_the_reference_holds_the_hold_outs_metrics_under_the_same_names() -> None:
    found = measure(SELLER, sales(400, seed=3), SETTINGS, LEVEL)
    assert set(found.metrics) - {"loss_lower"} <= set(found.reference)
    assert {"roc_auc", "log_loss", "recall[yes]", "mcc"} <= set(found.metrics)
    assert found.reference["loss"] == pytest.approx(found.reference["threshold"], rel=0.5)


def test_intervals_hold_what_they_say_they_hold() -> None:
    """95 % intervals of the mean of |normal|; ones of half the width hold it far less often."""
    random, truth = np.random.default_rng(5), math.sqrt(2 / math.pi)
    held = narrow = 0
    for _ in range(100):
        low, high = intervals(Numeric.of(random.normal(size=100), np.zeros(100)), 1.0)["loss"]
        held += low <= truth <= high
        narrow += abs((low + high) / 2 - truth) <= (high - low) / 4
    assert 88 <= held <= 99
    assert narrow < 80


def test_neighbours_that_are_alike_widen_intervals() -> None:
    errors = np.repeat(np.random.default_rng(0).normal(size=40), 25)
    shuffled = np.random.default_rng(1).permutation(errors)
    wide, narrow = (
        measure(CHAMPION, of_prices(each, np.zeros(1_000)), SETTINGS, LEVEL).intervals["loss"]
        for each in (errors, shuffled)
    )
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_many_rows_have_narrow_intervals_around_their_metrics() -> None:
    found = measure(SELLER, sales(20_000, seed=4), SETTINGS, LEVEL)
    for name, (low, high) in found.intervals.items():
        assert low <= found.metrics[name] <= high
        assert high - low < 0.05


def test_the_same_rows_give_the_same_performance() -> None:
    first, second = (measure(SELLER, sales(300, seed=4), SETTINGS, LEVEL) for _ in range(2))
    assert first == second


def test_trivial_predictors_answer_the_same_rows() -> None:
    labels = np.array([0.0, 10.0, 20.0, 20.0])
    rows = replace(of_prices(labels, labels), delays=np.array([0.5, 1.5, 0.1, 0.1]))
    found = measure(reference(NUMBERS, of_prices(np.zeros(3), np.array([3.0, 4.0, 5.0]))), rows, SETTINGS, LEVEL)
    assert found.trivial["median"] == pytest.approx((4 + 6 + 16 + 16) / 4)
    # row 1 knows label 0; row 2 still does, for label 1 comes half a second after it; row 3 knows label 2
    assert found.trivial["last_value"] == pytest.approx((4 + 10 + 20 + 0) / 4)


def test_a_label_that_has_not_arrived_is_not_repeated() -> None:
    """With a day's delay nothing can be repeated within the window; to look ahead would be no predictor."""
    labels = np.arange(50.0)
    late = replace(of_prices(labels, labels), delays=np.full(50, 86_400.0))
    assert "last_value" not in measure(CHAMPION, late, SETTINGS, LEVEL).trivial
    prompt = replace(late, delays=np.zeros(50))
    assert measure(CHAMPION, prompt, SETTINGS, LEVEL).trivial["last_value"] < 1.5


def test_the_majority_is_that_of_the_hold_out() -> None:
    window = replace(sales(100, seed=5), labels=named(np.arange(100) < 80))
    holdout = replace(sales(100, seed=6), labels=named(np.arange(100) < 30))
    assert measure(reference(CLASSES, holdout), window, SETTINGS, LEVEL).trivial["majority"] == 0.8


@pytest.mark.parametrize("count", [1, 2, 3, 7, 60, 300])
def test_whatever_labels_hold_is_measured_in_finite_numbers(count: int) -> None:
    """The ledger keeps JSON without infinities; a wild hold-out is as harmless as a wild window."""
    values = np.resize(np.array(HOSTILE), count)
    for window in (of_prices(values, values[::-1]), of_prices(np.zeros(count), values)):
        for champion in (CHAMPION, reference(NUMBERS, window), reference(NUMBERS, None, {"loss": math.nan})):
            found = measure(champion, window, SETTINGS, LEVEL)
            json.dumps(asdict(found), allow_nan=False)
            assert not is_lost(found, 1_000)


def test_whatever_classes_hold_is_measured_in_finite_numbers() -> None:
    odd = Categories.of(["<script>", None, "yes", "no", "YES", "", "yes"] * 10)
    given = {"no": np.resize(HOSTILE, 70), "yes": np.resize(HOSTILE[::-1], 70)}
    for probabilities in ({}, given, {"no": given["no"]}):
        rows = Rows({**sales(70).columns, "prediction": odd}, labels=odd, probabilities=probabilities)
        found = measure(SELLER, rows, SETTINGS, LEVEL)
        json.dumps(asdict(found), allow_nan=False)
        assert found.rows == 60
        assert found.metrics["loss"] == 0.5  # of the six labels, those that are a class are right


def test_numbers_that_were_cut_off_are_told() -> None:
    labels = np.array([1.0, 1.7e308, -math.inf])
    assert measure(CHAMPION, of_prices(np.zeros(3), labels), SETTINGS, LEVEL).metrics["cut_off_rows"] == 2
    assert "cut_off_rows" not in measure(CHAMPION, prices(10), SETTINGS, LEVEL).metrics


def test_weights_of_any_size_are_borne() -> None:
    rows = replace(prices(50, seed=3), weights=np.resize([1.0, math.inf, 1e308, 5e-324], 50))
    json.dumps(asdict(measure(CHAMPION, rows, SETTINGS, LEVEL)), allow_nan=False)


def test_no_rows_at_all() -> None:
    empty = prices(0)
    assert measure(CHAMPION, empty, SETTINGS, LEVEL).rows == 0
    assert measure(reference(NUMBERS, empty, {"loss": 1.0}), prices(100), SETTINGS, LEVEL).reference["loss"] == 1.0


def test_labels_of_a_version_that_has_none() -> None:
    assert measure(CHAMPION, Rows({"prediction": Numbers(np.zeros(3))}), SETTINGS, LEVEL).rows == 0
