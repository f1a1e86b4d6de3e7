import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, ks_2samp

from monitoring.drift.methods import METHODS, Column, score
from monitoring.rows import Categories, Numbers, Values
from tests.unit.monitoring.drift.drawing import normal, numbers

VALUES = st.one_of(
    st.integers(-3, 3).map(float),
    st.integers(-(10**9), 10**9).map(lambda number: number / 997),
    st.sampled_from([float("inf"), float("-inf"), 1e308, -1e308, 5e-324]),
)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of SciPy about the p-value, which is not asked for
@given(st.lists(VALUES, min_size=1, max_size=60), st.lists(VALUES, min_size=1, max_size=60))
def test_kolmogorov_and_smirnov_s_number_is_scipy_s(before: list[float], now: list[float]) -> None:
    found = score("ks", numbers(*before), numbers(*now))
    assert found == pytest.approx(ks_2samp(before, now, method="asymp").statistic, abs=1e-12)


def test_binned_values_would_not_give_that_number() -> None:
    """The broken variant: numbers rounded to a hundred bins first."""
    before, now = normal(500, 1), normal(500, 2, 0.2)
    rounded = ks_2samp(np.round(before, 1), np.round(now, 1)).statistic
    assert abs(rounded - score("ks", Numbers(before), Numbers(now))) > 1e-4


@given(st.lists(VALUES, min_size=1, max_size=40), st.lists(VALUES, min_size=1, max_size=40))
def test_equal_weights_change_nothing(before: list[float], now: list[float]) -> None:
    for method in METHODS:
        plain = score(method, numbers(*before), numbers(*now))
        assert score(method, numbers(*before), numbers(*now), np.full(len(now), 2.0)) == pytest.approx(plain)


def test_a_row_that_stands_for_three_counts_three_times() -> None:
    weights = np.array([3.0, 1.0])
    for method in ("ks", "jensenshannon"):  # the others also look at how many rows there are
        weighed = score(method, numbers(1, 2, 3), numbers(1, 9), weights)
        assert weighed == pytest.approx(score(method, numbers(1, 2, 3), numbers(1, 1, 1, 9)))


def test_missing_values_count_as_if_they_were_below_everything() -> None:
    before, now = normal(400, 1), normal(300, 2)
    now[:60] = np.nan
    expected = ks_2samp(before, np.nan_to_num(now, nan=-np.inf)).statistic
    assert score("ks", Numbers(before), Numbers(now)) == pytest.approx(expected, abs=1e-12)


def test_categories_are_compared_as_scipy_does() -> None:
    before, now = ["a"] * 60 + ["b"] * 30 + ["c"] * 10, ["a"] * 40 + ["b"] * 40 + ["c"] * 20
    counts = np.array([[60, 30, 10], [40, 40, 20]])
    sides = Categories.of(before), Categories.of(now)
    assert score("jensenshannon", *sides) == pytest.approx(jensenshannon(*counts, base=2))
    statistic = chi2_contingency(counts).statistic
    assert score("chisquare", *sides) == pytest.approx(math.sqrt(statistic / (1 / (1 / 100 + 1 / 100))))


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"ks"}))
def test_what_the_reference_never_held_has_a_cell_of_its_own(method: str) -> None:
    before = Categories.of(["a"] * 50 + ["b"] * 50)
    known, strange = Categories.of(["a"] * 50 + ["b"] * 50), Categories.of(["a"] * 50 + ["new"] * 50)
    assert score(method, before, strange) > score(method, before, known) == pytest.approx(0)
    inside, outside = Numbers(normal(500, 1)), Numbers(np.where(np.arange(500) % 2, 99.0, normal(500, 1)))
    assert score(method, Numbers(normal(500, 1)), outside) > 0.2
    assert score(method, Numbers(normal(500, 1)), inside) == pytest.approx(0)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_constant_that_starts_to_move_is_far_away(method: str) -> None:
    constant = Numbers(np.full(500, 7.0))
    assert score(method, constant, Numbers(normal(500, 1, 7))) > 0.5
    assert score(method, constant, Numbers(np.full(300, 7.0))) == pytest.approx(0)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize(
    "strange",
    [
        numbers(math.nan, math.nan),
        numbers(math.inf, -math.inf, 1.0),
        numbers(1e308, -1e308, 5e-324),
        numbers(3.0),
    ],
)
def test_no_number_is_too_strange_to_be_scored(method: str, strange: Numbers) -> None:
    ordinary = Numbers(normal(200, 1))
    for before, now in ((ordinary, strange), (strange, ordinary), (strange, strange)):
        assert math.isfinite(score(method, before, now))


def test_rare_categories_share_a_cell_so_that_many_do_not_drift_by_themselves() -> None:
    random = np.random.default_rng(0)
    names = tuple(f"n{place}" for place in range(500))
    before, now = (Categories(random.integers(0, 500, 2_000).astype(np.int32), names) for _ in range(2))
    counts = [np.bincount(side.codes, minlength=500) for side in (before, now)]
    assert score("jensenshannon", before, now) < 0.7 * jensenshannon(*counts, base=2)


@pytest.mark.parametrize(("before", "now"), [(numbers(), numbers(1)), (numbers(1), numbers())])
def test_no_rows_are_said_in_words(before: Values, now: Values) -> None:
    with pytest.raises(ValueError, match="has no rows in the"):
        score("ks", before, now)


def test_a_column_that_changed_its_kind_is_said_in_words() -> None:
    with pytest.raises(ValueError, match="numbers on one side and categories on the other"):
        score("psi", numbers(1.0), Categories.of(["1"]))
    with pytest.raises(ValueError, match="compares numbers"):
        score("ks", Categories.of(["1"]), Categories.of(["1"]))


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_draw_is_the_distance_of_some_rows_from_the_others(method: str) -> None:
    values = np.round(normal(300, 1), 1)
    places = np.random.default_rng(0).permutation(300)[:80]
    others = np.setdiff1d(np.arange(300), places)
    column = Column("psi" if method == "psi" else method, Numbers(values))
    if method == "ks":
        expected = ks_2samp(values[others], values[places]).statistic
    else:
        whole = Column(method, Numbers(values))
        cells = whole._cells
        expected = METHODS[method].distance(
            cells.count(Numbers(values[others]), None), cells.count(Numbers(values[places]), None)
        )
    assert column.draw(places) == pytest.approx(expected)


def test_numbers_that_were_written_in_another_way_are_the_same() -> None:
    exact = np.random.default_rng(0).integers(1, 40, 2_000) / 7
    written = np.array([float(f"{value:.15g}") for value in exact])
    assert (exact != written).any()
    assert score("ks", Numbers(exact), Numbers(written)) == 0
    assert score("ks", Numbers(exact), Numbers(written), np.ones(2_000)) == 0
