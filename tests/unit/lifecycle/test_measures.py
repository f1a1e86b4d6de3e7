"""Measures, against numbers worked out by hand and scikit-learn's."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from lifecycle.classified import Classified
from lifecycle.contract import Target
from lifecycle.measures import gate_losses, headline, losses, metrics, trivial_prediction
from lifecycle.numeric import Numeric
from lifecycle.totals import whole
from tests import builders

REGRESSION = builders.contract("regression").target
BINARY = builders.contract().target
THREE = Target(name="colour", task="multiclass", classes=("blue", "green", "red"))
HUGE = [1.7e308, -1.7e308, math.inf, -math.inf, 5e-324, 0.0, 1e-200, 1.0]


def probabilities(classes: tuple[str, ...], rows: int, seed: int = 0) -> dict[str, Any]:
    given = np.random.default_rng(seed).dirichlet(np.ones(len(classes)), rows)
    return {name: given[:, place] for place, name in enumerate(classes)}


def test_regression_losses_are_absolute_errors() -> None:
    assert losses(REGRESSION, [1.0, 2.0], [3.0, 1.5]).tolist() == [2.0, 0.5]


def test_classification_losses_are_nought_and_one() -> None:
    assert losses(BINARY, ["yes", "no"], ["yes", "yes"]).tolist() == [0.0, 1.0]


def test_the_gate_compares_logarithmic_losses_where_there_are_probabilities() -> None:
    given = {"no": [0.5, 1.0], "yes": [0.5, 0.0]}
    found = gate_losses(BINARY, ["yes", "yes"], ["no", "no"], given)
    assert found.tolist() == pytest.approx([math.log(2), -math.log(1e-6)])
    assert gate_losses(BINARY, ["yes"], ["no"], {}).tolist() == [1.0]
    assert gate_losses(REGRESSION, [1.0], [4.0], {}).tolist() == [3.0]


def test_the_trivial_predictor_is_the_median_or_the_most_frequent_class() -> None:
    assert trivial_prediction(REGRESSION, [1.0, 2.0, 50.0]) == 2.0
    assert trivial_prediction(BINARY, ["no", "yes", "yes"]) == "yes"


def test_regression_metrics() -> None:
    found = metrics(REGRESSION, [0.0, 2.0, 4.0], [1.0, 2.0, 7.0])
    assert found == pytest.approx(
        {
            "loss": 4 / 3,
            "mae": 4 / 3,
            "rmse": math.sqrt(10 / 3),
            "median_absolute_error": 1.0,
            "max_error": 3.0,
            "bias": 4 / 3,
            "r2": 1 - 10 / 8,
            "mape": 0.375,  # of the two labels that are not 0
        }
    )


def test_no_spread_gives_no_r2_however_the_label_rounds() -> None:
    for label in (2.0, 0.1, 1e75, 1e-300):
        assert "r2" not in metrics(REGRESSION, [label] * 7, [1.0] * 7)


def test_regression_metrics_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    labels, weights = random.normal(5, 1, 301), random.uniform(0.5, 4, 301)
    predictions = labels + random.standard_t(3, 301)
    found = whole(Numeric.of(labels, predictions, weights))
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(labels, predictions, sample_weight=weights))
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(labels, predictions, sample_weight=weights))
    assert found["r2"] == pytest.approx(sk.r2_score(labels, predictions, sample_weight=weights))
    mape = sk.mean_absolute_percentage_error(labels, predictions, sample_weight=weights)
    assert found["mape"] == pytest.approx(mape)


def test_classification_metrics() -> None:
    found = metrics(BINARY, ["no", "no", "no", "yes"], ["no", "no", "yes", "yes"])
    assert found == pytest.approx(
        {
            "loss": 0.25,
            "accuracy": 0.75,
            "balanced_accuracy": (2 / 3 + 1) / 2,
            "macro_precision": (1 + 1 / 2) / 2,
            "macro_recall": (2 / 3 + 1) / 2,
            "macro_f1": (4 / 5 + 2 / 3) / 2,
            "mcc": 1 / math.sqrt(3),
        }
    )


@pytest.mark.parametrize("target", [BINARY, THREE], ids=["binary", "multiclass"])
def test_classification_metrics_are_those_of_scikit_learn(target: Target) -> None:
    random, count = np.random.default_rng(2), len(target.classes)
    labels, weights = random.integers(0, count, 400), random.uniform(0.5, 4, 400)
    predictions = np.where(random.random(400) < 0.6, labels, random.integers(0, count, 400))
    given = probabilities(target.class_texts, 400)
    table = np.column_stack(list(given.values()))
    found = whole(Classified.of(target.class_texts, labels, predictions, weights, given, by_class=True))
    pair = (labels, predictions)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(*pair, sample_weight=weights)
    for place, name in enumerate(target.class_texts):
        told = (found[f"precision[{name}]"], found[f"recall[{name}]"], found[f"f1[{name}]"])
        assert told == pytest.approx((precision[place], recall[place], f1[place]))
    assert found["macro_f1"] == pytest.approx(f1.mean())
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(*pair, sample_weight=weights))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(*pair, sample_weight=weights))
    assert found["mcc"] == pytest.approx(sk.matthews_corrcoef(*pair, sample_weight=weights))
    assert found["log_loss"] == pytest.approx(sk.log_loss(labels, table, sample_weight=weights))
    scores = table[:, 1] if count == 2 else table
    assert found["brier"] == pytest.approx(sk.brier_score_loss(labels, scores, sample_weight=weights))
    area = sk.roc_auc_score(labels, scores, multi_class="ovr", sample_weight=weights)
    assert found["roc_auc"] == pytest.approx(area)
    if count == 2:
        average = sk.average_precision_score(labels, scores, sample_weight=weights)
        assert found["average_precision"] == pytest.approx(average)


def test_what_is_not_defined_is_left_out() -> None:
    found = metrics(BINARY, ["no"] * 5, ["no"] * 5, probabilities(BINARY.class_texts, 5))
    assert {"accuracy", "log_loss", "brier"} <= set(found)
    assert not {"mcc", "roc_auc", "average_precision"} & set(found)


def test_a_row_without_probabilities_counts_among_the_answers_only() -> None:
    given = {"no": [0.9, math.nan, 0.2], "yes": [0.1, math.nan, 0.8]}
    found = metrics(BINARY, ["no", "yes", "yes"], ["no", "no", "yes"], given)
    assert found["loss"] == pytest.approx(1 / 3)
    assert found["brier"] == pytest.approx((0.1**2 + 0.2**2) / 2)


def test_a_text_that_is_none_of_the_classes_is_wrong() -> None:
    assert metrics(BINARY, ["maybe", "no"], ["maybe", "no"])["loss"] == 0.5


def test_metrics_are_finite_whatever_the_numbers() -> None:
    for shift in range(len(HUGE)):
        found = metrics(REGRESSION, HUGE, HUGE[shift:] + HUGE[:shift])
        assert all(map(math.isfinite, found.values())), found
        assert found["cut_off_rows"] >= 4
    uncut = Numeric(np.array(HUGE), np.zeros(len(HUGE)), np.ones(len(HUGE)), cut_off=0)
    with np.errstate(all="ignore"):
        assert not np.isfinite(uncut.metrics(uncut.totals(np.zeros(1, dtype=np.intp)))["rmse"])


def test_weights_of_any_size_leave_metrics_finite() -> None:
    weights = np.array([math.inf, 1e-320, 1.0])
    found = whole(Numeric.of(np.arange(3.0), np.zeros(3), weights))
    assert all(map(math.isfinite, found.values()))


def test_the_headline_is_among_the_metrics() -> None:
    assert headline(REGRESSION) in metrics(REGRESSION, [1.0], [2.0])
    assert headline(BINARY) in metrics(BINARY, ["no"], ["no"])
