"""The loss before its labels: near the truth where it says it can be trusted, and silent where it cannot."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from lifecycle.records import Estimate
from monitoring.performance import Estimates, estimate, measure
from monitoring.references import Reference
from monitoring.rows import Categories, Numbers, Rows
from tests.unit.monitoring.performing import CLASSES, NUMBERS, of_prices, prices, reference, sales, settings

SETTINGS = settings()
LEVEL = 1e-3
CHAMPION = reference(NUMBERS, prices(1_500, seed=1))
SELLER = reference(CLASSES, sales(2_000, seed=1), key="1/classes")
HOSTILE = [1.7e308, -1.7e308, np.inf, -np.inf, np.nan, 0.0, 5e-324]


@pytest.fixture(scope="module")
def estimates() -> Estimates:
    return Estimates()


def of(estimates: Estimates, reference: Reference, rows: Rows) -> Estimate:
    found = estimates.of(reference, rows, SETTINGS, LEVEL)
    assert found is not None
    return found


def unlabelled(rows: Rows) -> Rows:
    labels = rows.labels
    assert labels is not None
    none = (
        Numbers(np.full(len(rows), np.nan))
        if isinstance(labels, Numbers)
        else replace(labels, codes=labels.codes * 0 - 1)
    )
    return replace(rows, labels=none)


@pytest.mark.parametrize(("champion", "make"), [(CHAMPION, prices), (SELLER, sales)], ids=["numbers", "classes"])
def test_estimates_are_near_what_labels_show_later(estimates: Estimates, champion: Reference, make: type) -> None:
    held = 0
    for seed in range(8):
        window = make(400, seed=10 + seed)
        found = of(estimates, champion, unlabelled(window))
        low, high = found.interval
        held += low <= measure(champion, window, SETTINGS, LEVEL).metrics["loss"] <= high
        assert found.trusted, found.validity
        assert not found.lost
    assert held >= 7


def test_rows_that_are_harder_are_seen_before_their_labels(estimates: Estimates) -> None:
    window = prices(500, seed=3, shift=1.0)
    found, truth = of(estimates, CHAMPION, unlabelled(window)), measure(CHAMPION, window, SETTINGS, LEVEL)
    assert (found.method, found.trusted, found.lost) == ("error model", True, True)
    assert found.loss == pytest.approx(truth.metrics["loss"], rel=0.15)
    assert found.reference["threshold"] == pytest.approx(truth.reference["threshold"])


def test_overconfident_probabilities_are_calibrated_first(estimates: Estimates) -> None:
    """Rows near the border: taken at their word, the probabilities promise far fewer errors."""
    rows = sales(3_000, seed=4)
    x = rows.columns["x"]
    assert isinstance(x, Numbers)
    window = rows.taken(np.abs(x.floats) < 0.5)
    found, truth = of(estimates, SELLER, unlabelled(window)), measure(SELLER, window, SETTINGS, LEVEL)
    named = 1 - np.maximum(window.probabilities["no"], window.probabilities["yes"]).mean()
    assert (found.method, found.lost) == ("confidence", True)
    assert found.loss == pytest.approx(truth.metrics["loss"], abs=0.04)
    assert named < truth.metrics["loss"] - 0.08


def test_a_changed_relation_is_not_seen_and_that_is_said(estimates: Estimates) -> None:
    found = of(estimates, SELLER, sales(500, seed=5, flipped=0.3, labels=False))
    assert (found.trusted, found.lost) == (True, False)
    assert "cannot see a change of the relation between features and label" in found.validity


@pytest.mark.parametrize("came", [60, 500])
def test_labels_that_came_and_say_otherwise_take_the_trust_away(estimates: Estimates, came: int) -> None:
    rows = sales(500, seed=5, flipped=0.45)
    assert isinstance(rows.labels, Categories)
    codes = np.where(np.arange(500) < came, rows.labels.codes, -1)
    found = of(estimates, SELLER, replace(rows, labels=replace(rows.labels, codes=codes)))
    assert (found.trusted, found.lost) == (False, False)
    assert f"the {came} labels that came show a loss of" in found.validity


def test_labels_that_agree_leave_it_trusted(estimates: Estimates) -> None:
    assert of(estimates, SELLER, sales(500, seed=6)).trusted
    assert of(estimates, CHAMPION, prices(500, seed=6)).trusted


def test_rows_unlike_all_of_the_hold_out_are_not_estimated_with_confidence(estimates: Estimates) -> None:
    found = of(estimates, CHAMPION, prices(500, seed=7, shift=6.0, labels=False))
    assert (found.trusted, found.lost) == (False, False)
    assert "of the rows lie outside what the hold-out held, where" in found.validity
    towns = Categories(np.zeros(500, dtype=np.int32), ("Oslo",))
    rows = sales(500, seed=7, labels=False)
    assert "100% of the rows" in of(estimates, SELLER, replace(rows, columns={**rows.columns, "town": towns})).validity


def test_moments_are_always_later_and_no_reason_to_doubt(estimates: Estimates) -> None:
    rows = prices(500, seed=8, labels=False)
    assert of(estimates, CHAMPION, replace(rows, columns={**rows.columns, "sold": Numbers(np.full(500, 4e9))})).trusted


def test_probabilities_that_are_missing_are_a_reason_to_doubt(estimates: Estimates) -> None:
    rows = sales(500, seed=9, labels=False)
    assert "100% of the rows have no probability" in of(estimates, SELLER, replace(rows, probabilities={})).validity
    some = {name: np.where(np.arange(500) < 50, np.nan, values) for name, values in rows.probabilities.items()}
    assert "10% of the rows have no probability" in of(estimates, SELLER, replace(rows, probabilities=some)).validity


def test_a_classifier_without_probabilities_is_estimated_from_its_features() -> None:
    mute = reference(CLASSES, replace(sales(3_000, seed=1), probabilities={}))
    rows = replace(sales(500, seed=10, labels=False), probabilities={})
    found = of(Estimates(), mute, rows)
    assert (found.method, found.trusted) == ("error model", True)


def test_losses_that_nothing_explains_are_not_estimated_with_confidence() -> None:
    random = np.random.default_rng(0)
    even = of_prices(np.zeros(600), random.normal(size=600), random.normal(size=600))
    found = of(Estimates(), reference(NUMBERS, even), prices(300, seed=2, labels=False))
    assert not found.trusted
    assert "no better than chance" in found.validity


def test_a_small_hold_out_teaches_nothing() -> None:
    found = of(Estimates(), reference(NUMBERS, prices(199, seed=1)), prices(300, seed=2, labels=False))
    assert (found.method, found.trusted) == ("hold-out", False)
    assert found.validity.startswith("the hold-out has 199 rows with labels, and an estimate needs 200")


def test_without_a_hold_out_or_without_rows_there_is_no_estimate() -> None:
    assert estimate(reference(NUMBERS, None), prices(100), SETTINGS, LEVEL) is None
    assert estimate(reference(NUMBERS, prices(500, labels=False)), prices(100), SETTINGS, LEVEL) is None
    assert estimate(CHAMPION, prices(0), SETTINGS, LEVEL) is None


def test_what_was_learnt_is_kept_for_the_newest_few_references(estimates: Estimates) -> None:
    champions = [reference(CLASSES, sales(250, seed=seed), key=str(seed)) for seed in range(6)]
    for champion in champions:
        estimates.of(champion, sales(50, seed=1), SETTINGS, LEVEL)
    assert list(estimates._known) == ["2", "3", "4", "5"]
    kept = estimates._known["5"]
    again = estimates.of(champions[5], sales(60, seed=2), SETTINGS, LEVEL)
    assert estimates._known["5"] is kept
    assert again == estimate(champions[5], sales(60, seed=2), SETTINGS, LEVEL)


@pytest.mark.parametrize("count", [1, 2, 300])
def test_whatever_rows_hold_is_estimated_in_finite_numbers(estimates: Estimates, count: int) -> None:
    """Also where the hold-out itself is as wild."""
    values = np.resize(np.array(HOSTILE), max(count, 1))
    window = of_prices(values, values[::-1], values)
    window = replace(window, columns={**window.columns, "town": Categories.of([None] * count)}, weights=np.abs(values))
    wild = reference(NUMBERS, replace(window.taken(np.arange(280) % count), at=None), key=f"wild {count}")
    for champion in (CHAMPION, wild):
        json.dumps(asdict(of(estimates, champion, window)), allow_nan=False)


def test_whatever_classes_hold_is_estimated_in_finite_numbers(estimates: Estimates) -> None:
    odd = Categories.of(["<script>", None, "yes", "no", "YES", "", "yes"] * 60)
    given = {"no": np.resize(HOSTILE, 420), "yes": np.resize(HOSTILE[::-1], 420)}
    columns = {**sales(420).columns, "prediction": odd}
    for probabilities in ({}, given, {"no": given["no"]}):
        window = Rows(columns, labels=odd, probabilities=probabilities)
        wild = reference(CLASSES, window, key=f"wild {len(probabilities)}")
        for champion in (SELLER, wild):
            json.dumps(asdict(of(estimates, champion, window)), allow_nan=False)
