"""Gaps between groups: fairlearn's numbers, intervals that hold, and told only when they have grown."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    equalized_odds_difference,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import zero_one_loss

from lifecycle.config import MonitoringSection
from lifecycle.records import FairnessGap
from monitoring.fairness import METRICS, gaps, telling
from tests.unit.monitoring import lending
from tests.unit.monitoring.lending import SETTINGS, reference, texts

FAIRLEARN = {
    "selection_rate": selection_rate,
    "error_rate": zero_one_loss,
    "true_positive_rate": true_positive_rate,
    "false_positive_rate": false_positive_rate,
}


def by_metric(found: tuple[FairnessGap, ...]) -> dict[str, FairnessGap]:
    return {gap.metric: gap for gap in found}


def lenient(count: int, group: str, share: float, seed: int = 0) -> dict[str, Any]:
    """Columns of which `group` is answered yes in `share` of the cases, and everybody else in half of them."""
    random = np.random.default_rng(seed)
    sex = random.choice(lending.SEXES, count)
    chosen = random.random(count) < np.where(sex == group, share, 0.5)
    return {"sex": sex, "prediction": np.where(chosen, "yes", "no")}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_rates_and_gaps_are_fairlearn_s(seed: int, weighted: bool) -> None:
    random = np.random.default_rng(seed)
    weights = random.choice([1.0, 2.0, 10.0], 3_000) if weighted else None
    made = lending.rows(3_000, seed, wrong=0.4, sex=random.choice(["f", "m", "x"], 3_000), weights=weights)
    found = by_metric(gaps(reference(), made, SETTINGS))
    truth = (np.array(texts(made.labels or made.columns["sex"])) == "yes").astype(int)
    answers = (np.array(texts(made.columns["prediction"])) == "yes").astype(int)
    given: dict[str, Any] = {"sensitive_features": np.array(texts(made.columns["sex"]))}
    frame = MetricFrame(
        metrics=FAIRLEARN,
        y_true=truth,
        y_pred=answers,
        sample_params=None if weights is None else {name: {"sample_weight": weights} for name in FAIRLEARN},
        **given,
    )
    for metric in FAIRLEARN:
        expected = {name: frame.by_group[metric][name] for name in ("f", "m", "x")}
        assert found[metric].groups == pytest.approx(expected, abs=1e-12)
        assert found[metric].difference == pytest.approx(frame.difference()[metric], abs=1e-12)
    parity = demographic_parity_difference(truth, answers, sample_weight=weights, **given)
    odds = equalized_odds_difference(truth, answers, sample_weight=weights, **given)
    assert found["selection_rate"].difference == pytest.approx(parity, abs=1e-12)
    assert found["equalized_odds"].difference == pytest.approx(odds, abs=1e-12)
    unweighted = by_metric(gaps(reference(), replace(made, weights=None), SETTINGS))
    assert (unweighted["selection_rate"].difference != pytest.approx(parity, abs=1e-12)) == weighted


def test_a_gap_names_its_groups_and_how_many_rows_each_has() -> None:
    sex = ["f"] * 100 + ["m"] * 50 + ["x"] * 29 + [None] * 40
    made = lending.rows(219, sex=sex, prediction=["yes"] * 100 + ["no"] * 119, labelled=False)
    (gap,) = gaps(reference(), made, SETTINGS)
    assert (gap.column, gap.metric, gap.difference) == ("sex", "selection_rate", 1.0)
    assert gap.groups == {"f": 1.0, "m": 0.0, "(missing)": 0.0}
    assert gap.counts == {"f": 100, "m": 50, "x": 29, "(missing)": 40}
    assert (gap.lowest, gap.highest) == ("m", "f")


def test_groups_take_part_in_a_rate_by_the_rows_that_it_is_a_share_of() -> None:
    sex, labels = ["f"] * 100 + ["m"] * 100, ["yes"] * 50 + ["no"] * 50 + ["yes"] * 10 + ["no"] * 90
    found = by_metric(gaps(reference(), lending.rows(200, sex=sex, labels=labels), SETTINGS))
    assert found.keys() == {"selection_rate", "error_rate", "false_positive_rate"}
    assert found["false_positive_rate"].counts == {"f": 50, "m": 90}


def test_the_interval_is_around_the_gap_and_the_same_every_time() -> None:
    made = lending.rows(2_000, seed=3, **lenient(2_000, "f", 0.8))
    found = gaps(reference(), made, SETTINGS)
    assert found == gaps(reference(), made, SETTINGS)
    assert {gap.metric for gap in found} == set(METRICS)
    for gap in found:
        assert 0 <= gap.interval[0] <= gap.difference <= gap.interval[1] <= 1
    assert by_metric(found)["selection_rate"].interval[0] > 0.2


@pytest.mark.parametrize(
    ("task", "favourable", "selected"),
    [("multiclass", "", "yes"), ("multiclass", "later", "later"), ("binary", "no", "no")],
)
def test_the_favourable_class_is_the_last_or_the_configured_one(task: str, favourable: str, selected: str) -> None:
    made = lending.rows(task=task)
    settings = MonitoringSection(favourable=favourable)
    found = by_metric(gaps(reference(task=task), made, settings))
    answers, sex = np.array(texts(made.columns["prediction"])), np.array(texts(made.columns["sex"]))
    expected = {group: (answers[sex == group] == selected).mean() for group in lending.SEXES}
    assert found["selection_rate"].groups == pytest.approx(expected)
    wrong = answers != np.array(texts(made.labels or made.columns["sex"]))
    assert found["error_rate"].groups == pytest.approx({group: wrong[sex == group].mean() for group in lending.SEXES})


def test_numbers_are_selected_above_the_reference_s_median_prediction() -> None:
    known = reference(task="regression")
    made = lending.rows(task="regression")
    assert known.holdout
    bound = np.sort(lending.floats(known.holdout.columns["prediction"]))[599]
    answers, labels = lending.floats(made.columns["prediction"]), lending.floats(made.labels)
    women = np.array(texts(made.columns["sex"])) == "f"
    found = by_metric(gaps(known, made, SETTINGS))
    assert found["selection_rate"].groups["f"] == pytest.approx((answers[women] > bound).mean())
    expected = (answers > bound)[women & (labels > bound)].mean()
    assert found["true_positive_rate"].groups["f"] == pytest.approx(expected)
    assert found["error_rate"].groups["f"] == pytest.approx(((answers > bound) != (labels > bound))[women].mean())


def test_a_numeric_column_is_compared_by_quarters_of_the_reference() -> None:
    known = reference(sensitive=("income",))
    found = by_metric(gaps(known, lending.rows(), SETTINGS))["selection_rate"]
    assert [name[:2] for name in found.groups].count("<=") == 1
    assert len(found.groups) == 4


def test_a_gap_that_has_grown_is_told_with_its_numbers() -> None:
    made = lending.rows(3_000, seed=3, **lenient(3_000, "m", 0.8))
    told = telling(reference(), made, SETTINGS)
    assert told[0].startswith("the selection rate of groups of 'sex' differs by 0.2")
    assert "of 'f' to 0.7" in told[0] or "of 'f' to 0.8" in told[0]
    assert "on the hold-out it differed by 0.0" in told[0]


@pytest.mark.parametrize("seed", range(5))
def test_a_gap_that_the_hold_out_has_too_is_not_told(seed: int) -> None:
    known = reference(holdout=lending.rows(3_000, seed=20, **lenient(3_000, "m", 0.8, seed=20)))
    made = lending.rows(3_000, seed=seed, **lenient(3_000, "m", 0.8, seed))
    assert by_metric(gaps(known, made, SETTINGS))["selection_rate"].interval[0] > 0.2
    assert telling(known, made, SETTINGS) == ()


def test_a_gap_that_is_surely_wider_but_by_little_is_not_told() -> None:
    made = lending.rows(100_000, **lenient(100_000, "m", 0.53), labelled=False)
    known = reference(holdout=lending.rows(100_000, seed=20, **lenient(100_000, "m", 0.5, seed=20)))
    (now,), before = gaps(known, made, SETTINGS), by_metric(gaps(known, known.holdout or made, SETTINGS))
    assert now.interval[0] > before["selection_rate"].interval[1]
    assert telling(known, made, SETTINGS) == ()


def test_groups_that_the_hold_out_lacks_make_no_gap_grow() -> None:
    strangers = np.arange(3_000) < 500
    sex = np.where(strangers, "x", np.random.default_rng(0).choice(lending.SEXES, 3_000))
    made = lending.rows(3_000, sex=sex, prediction=np.where(strangers, "no", "yes"), labelled=False)
    (gap,) = gaps(reference(), made, SETTINGS)
    assert (gap.lowest, gap.interval[0] > 0.9) == ("x", True)
    assert telling(reference(), made, SETTINGS) == ()


def test_without_a_hold_out_there_are_gaps_and_nothing_is_told() -> None:
    made = lending.rows(3_000, **lenient(3_000, "m", 0.9))
    known = replace(reference(), holdout=None)
    assert gaps(known, made, SETTINGS)
    assert telling(known, made, SETTINGS) == ()


def test_a_favourable_class_that_is_none_is_told_and_nothing_is_compared() -> None:
    settings = MonitoringSection(favourable="gold")
    assert gaps(reference(), lending.rows(), settings) == ()
    (sentence,) = telling(reference(), lending.rows(), settings)
    assert "the favourable class 'gold' is none of the model's 2 classes" in sentence
    assert telling(reference(sensitive=()), lending.rows(), settings) == ()


HOSTILE = {
    "empty": lending.rows(0),
    "one row": lending.rows(1),
    "all missing": lending.rows(200, sex=[None] * 200),
    "one group": lending.rows(200, sex=["f"] * 200),
    "no answers": lending.rows(200, prediction=["no", None] * 100).taken(slice(1, None, 2)),
    "no such class": lending.rows(200, prediction=["perhaps"] * 200, labels=["<script>"] * 200),
    "labels missing": lending.rows(200, labels=["yes", None] * 100).taken(slice(1, None, 2)),
    "many values": lending.rows(9_000, sex=[f"</script><script>{index % 300}" for index in range(9_000)]),
    "long values": lending.rows(200, sex=["x" * 999 + "y", "x" * 999 + "z"] * 100),
    "uneven weights": lending.rows(200, weights=np.array([1e308, 1e-308] * 100)),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("error")
def test_whatever_a_window_holds_what_is_said_is_finite_and_bounded(name: str) -> None:
    made = HOSTILE[name]
    for known in (reference(), reference(holdout=made), reference(made, made)):
        assert all(len(sentence) < 600 for sentence in telling(known, made, SETTINGS))
        for gap in gaps(known, made, SETTINGS):
            assert np.isfinite([gap.difference, *gap.interval, *gap.groups.values()]).all()
            assert 2 <= len(gap.groups) <= len(gap.counts) <= SETTINGS.segment_values + 2
            assert {gap.lowest, gap.highest} <= gap.groups.keys() <= gap.counts.keys()
            assert max(map(len, gap.groups)) <= 80


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("worst", [np.inf, -np.inf, 1.7e308, -1.7e308])
def test_numbers_of_any_size_are_compared(worst: float) -> None:
    numbers = np.random.default_rng(0).normal(size=1_200)
    numbers[::3], numbers[1] = worst, np.nan
    made = lending.rows(task="regression", income=numbers, prediction=numbers[::-1], labels=numbers)
    for known in (reference(task="regression", sensitive=("income", "sex")), reference(made, made, task="regression")):
        assert gaps(known, made, SETTINGS)
        telling(known, made, SETTINGS)
