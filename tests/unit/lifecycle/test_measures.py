"""Measures, against numbers worked out by hand."""

import math

import pytest

from lifecycle.measures import gate_losses, headline, losses, metrics, trivial_prediction
from tests import builders

REGRESSION = builders.contract("regression").target
BINARY = builders.contract().target


def test_regression_losses_are_absolute_errors() -> None:
    assert losses(REGRESSION, [1.0, 2.0], [3.0, 1.5]).tolist() == [2.0, 0.5]


def test_classification_losses_are_nought_and_one() -> None:
    assert losses(BINARY, ["yes", "no"], ["yes", "yes"]).tolist() == [0.0, 1.0]


def test_the_gate_compares_logarithmic_losses_where_there_are_probabilities() -> None:
    probabilities = {"no": [0.5, 1.0], "yes": [0.5, 0.0]}
    found = gate_losses(BINARY, ["yes", "yes"], ["no", "no"], probabilities)
    assert found.tolist() == pytest.approx([math.log(2), -math.log(1e-6)])
    assert gate_losses(BINARY, ["yes"], ["no"], {}).tolist() == [1.0]
    assert gate_losses(REGRESSION, [1.0], [4.0], {}).tolist() == [3.0]


def test_the_trivial_predictor_is_the_median_or_the_most_frequent_class() -> None:
    assert trivial_prediction(REGRESSION, [1.0, 2.0, 50.0]) == 2.0
    assert trivial_prediction(BINARY, ["no", "yes", "yes"]) == "yes"


def test_regression_metrics() -> None:
    found = metrics(REGRESSION, [1.0, 2.0, 3.0], [1.0, 2.0, 5.0])
    assert found["loss"] == found["mae"] == pytest.approx(2 / 3)
    assert found["rmse"] == pytest.approx(math.sqrt(4 / 3))
    assert found["r2"] == pytest.approx(1 - 4 / 2)


def test_no_spread_gives_no_r2() -> None:
    assert "r2" not in metrics(REGRESSION, [2.0, 2.0], [1.0, 2.0])


def test_classification_metrics() -> None:
    found = metrics(BINARY, ["no", "no", "no", "yes"], ["no", "no", "yes", "yes"])
    assert found == pytest.approx({"loss": 0.25, "accuracy": 0.75, "balanced_accuracy": (2 / 3 + 1) / 2})


def test_the_headline_is_among_the_metrics() -> None:
    assert headline(REGRESSION) in metrics(REGRESSION, [1.0], [2.0])
    assert headline(BINARY) in metrics(BINARY, ["no"], ["no"])
