"""What the benchmark of detection is made of: rows that are what they are said to be, and counts that mean what they say."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, ks_2samp, norm, spearmanr

from benchmarks.detection import goals, page, tally
from benchmarks.detection.cases import LARGE, SMALL, Case, World
from benchmarks.detection.columns import CATEGORICAL, FEATURES, FIRST_CATEGORICAL, NUMERIC
from benchmarks.detection.effort import EVIDENTLY, NANNYML, OURS, effort
from benchmarks.detection.measure import VERDICT
from benchmarks.detection.tally import Tally
from benchmarks.detection.traffic import CHANGES, CORRELATION, NOTHING, SHARE, SHIFT, VARIANCE, Chosen, Traffic
from monitoring.rows import Categories, Floats, Rows

ROWS = 20_000
ORDINARY = 0.02
"""Farther apart than this no two samples of so many rows are by chance."""


def of(rows: Rows, place: int) -> Floats:
    """The values of a feature, or its levels by number."""
    values = rows.columns[FEATURES[place].name]
    return values.codes.astype(np.float64) if isinstance(values, Categories) else values.floats


def shares(rows: Rows, level: int) -> Floats:
    """Of each level of the categorical feature of this number."""
    codes = of(rows, FIRST_CATEGORICAL + level).astype(np.intp)
    return np.bincount(codes, minlength=len(CATEGORICAL[level].names)) / len(codes)


def apart(first: Floats, second: Floats) -> float:
    return float(ks_2samp(first, second).statistic)


def changed(change: str) -> tuple[Rows, Rows, Chosen]:
    """Rows before and after, and what was changed."""
    traffic = Traffic(1, 0.0)
    before, chosen = traffic.rows(ROWS), traffic.chosen()
    return before, traffic.rows(ROWS, change, chosen), chosen


def told(onsets: list[int], **changes: Any) -> Tally:
    fields: dict[str, Any] = {
        "change": NOTHING,
        "rows": 500,
        "reference_rows": 5_000,
        "memory": 0.0,
        "whole": False,
        "verdict": VERDICT,
        "runs": 1,
        "windows": 1_000,
        "onsets": onsets,
        "alarmed": onsets,
        "found": onsets,
    }
    return Tally(**fields | changes)


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_equal_seeds_give_equal_rows_however_they_are_cut_into_windows(memory: float) -> None:
    whole, cut = Traffic(7, memory).rows(300), Traffic(7, memory)
    cut.rows(100)
    second, other = cut.rows(200), Traffic(8, memory).rows(300)
    for place in range(len(FEATURES)):
        assert of(whole, place)[100:].tolist() == of(second, place).tolist()
        assert of(whole, place).tolist() != of(other, place).tolist()


def test_a_world_gives_everybody_the_same_reference() -> None:
    first, second, other = (
        World(0.5, 1_000).reference(3),
        World(0.5, 1_000).reference(3),
        World(0.5, 1_000).reference(4),
    )
    assert of(first.rows, 0).tolist() == of(second.rows, 0).tolist()
    assert first.key == second.key != other.key
    assert (first.in_time_order, SMALL.reference(0).in_time_order) == (True, False)


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_rows_remember_the_row_before_as_much_as_asked(memory: float) -> None:
    values = of(Traffic(1, memory).rows(ROWS), 0)
    assert np.corrcoef(values[1:], values[:-1])[0, 1] == pytest.approx(memory, abs=0.03)
    assert values.std() == pytest.approx(1, abs=0.05)


def test_the_classifiers_probabilities_are_right() -> None:
    rows = Traffic(1, 0.0).rows(ROWS)
    assert isinstance(rows.labels, Categories)
    yes, said = rows.labels.codes == 1, rows.probabilities["yes"]
    for low in (0.0, 0.25, 0.5, 0.75):
        inside = (said >= low) & (said < low + 0.25)
        assert yes[inside].mean() == pytest.approx(said[inside].mean(), abs=0.03)


def test_nothing_changes_where_nothing_is_changed() -> None:
    before, after, _ = changed(NOTHING)
    assert max(apart(of(before, place), of(after, place)) for place in NUMERIC) < ORDINARY


def test_a_shift_is_as_large_in_every_column_that_is_shifted() -> None:
    before, after, chosen = changed(SHIFT)
    expected = 2 * norm.cdf(0.125) - 1  # Kolmogorov's distance of normal distributions that are 0.25 apart
    for place in NUMERIC:
        distance = apart(of(before, place), of(after, place))
        assert distance == pytest.approx(expected if place in chosen.numeric[:3] else 0, abs=ORDINARY)


def test_a_wider_column_stays_where_it_was() -> None:
    before, after, chosen = changed(VARIANCE)
    for place in chosen.numeric[:3]:
        assert np.median(of(after, place)) == pytest.approx(np.median(of(before, place)), rel=0.05, abs=0.05)
        assert apart(of(before, place), of(after, place)) > 2 * ORDINARY


def test_a_correlation_comes_without_a_trace_in_either_column() -> None:
    before, after, chosen = changed(CORRELATION)
    first, second = chosen.numeric[:2]
    assert spearmanr(of(before, first), of(before, second)).statistic == pytest.approx(0, abs=0.03)
    assert spearmanr(of(after, first), of(after, second)).statistic == pytest.approx(
        6 / np.pi * np.arcsin(0.4), abs=0.03
    )
    assert apart(of(before, second), of(after, second)) < ORDINARY


def test_a_correlation_that_widens_a_column_would_leave_a_trace() -> None:
    deviates = np.random.default_rng(1).normal(size=(ROWS, 2))
    assert apart(deviates[:, 1], deviates @ np.array([0.8, 1.0])) > ORDINARY


def test_a_tenth_of_the_rows_moves_to_another_category() -> None:
    before, after, chosen = changed(SHARE)
    moved = shares(after, chosen.categorical) - shares(before, chosen.categorical)
    assert moved[:2].tolist() == pytest.approx([-0.1, 0.1], abs=ORDINARY)
    assert np.abs(moved[2:]).max() < ORDINARY


def test_every_change_changes_only_what_it_names() -> None:
    for change in CHANGES:
        before, after, chosen = changed(change)
        others = [place for place in NUMERIC if place not in chosen.numeric[:3]]
        assert max(apart(of(before, place), of(after, place)) for place in others) < ORDINARY


def test_an_alarm_counts_once_however_long_it_lasts() -> None:
    runs = [[False, True, True, False, True], [True, True, True, True, True], [False] * 5]
    assert tally.counted(runs) == (3, 8, 2)
    assert sum(map(sum, runs)) != 3, "counting windows would tell of eight alarms"


@pytest.mark.parametrize(("count", "trials"), [(0, 2_156), (3, 5_000), (40, 100)])
def test_the_bounds_of_a_rate_are_exact(count: int, trials: int) -> None:
    assert binom.cdf(count, trials, tally.upper(count, trials)) == pytest.approx(0.05)
    assert binom.sf(trials - count - 1, trials, tally.lower(trials - count, trials)) == pytest.approx(0.05)


def test_it_takes_2156_quiet_windows_to_show_that_a_budget_of_one_in_a_month_is_kept() -> None:
    assert tally.upper(0, 2_155) > 1 / tally.MONTH >= tally.upper(0, 2_156)
    assert tally.upper(7, 7) == 1


def test_a_budget_is_kept_missed_or_cannot_be_told() -> None:
    def met(*tallies: Tally) -> str:
        return next(iter(goals.judge(tallies))).met

    assert met(told([0] * 4)) == "yes"
    assert met(told([0])) == "too few windows to tell"
    assert met(told([0, 0, 0, 30])) == "**no**"


def test_a_case_over_its_budget_does_not_hide_among_quiet_ones() -> None:
    found = list(goals.judge([told([0] * 100), told([4, 5], rows=100)]))
    assert [goal.met for goal in found] == ["yes", "**no**"]
    assert "100 rows" in found[1].what


def test_a_change_counts_as_found_by_runs() -> None:
    rare = told([1] * 98 + [0] * 2, change=SHIFT, windows=2)
    assert [goal.met for goal in goals.judge([rare])] == ["**no**"]
    assert next(iter(goals.judge([rare]))).measured.startswith("98.0% of 100")


def test_nannyml_is_not_asked_where_its_reference_holds_less_than_two_windows() -> None:
    assert effort(Case(SMALL, 10_000), NANNYML) is None
    assert all(effort(Case(LARGE, 10_000), product) for product in (OURS, EVIDENTLY, NANNYML))


def test_a_section_is_replaced_and_the_rest_of_the_page_stays() -> None:
    first = page.with_section("# Page\n\nWords.\n", "one", "Old.")
    both = page.with_section(first, "two", "Other.")
    assert page.with_section(both, "one", "New.") == both.replace("Old.", "New.")
    assert page.kept_sections(both) == {"one": "Old.", "two": "Other."}
    assert page.with_section(both, "two", "Other.") == both
