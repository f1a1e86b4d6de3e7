"""A change of unit is named, of all rows or of a part; growth, seasons and slow columns are not taken for one."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from lifecycle.records import Finding
from monitoring.quality.numbers import independent_rows
from monitoring.quality.units import CHANGES, Change
from monitoring.rows import Floats, Numbers, Rows
from tests.unit.monitoring import quality_cases as cases

ROWS = 2_000
BEFORE = cases.world(5_000, np.random.default_rng(0))
SOUND = cases.world(ROWS, np.random.default_rng(1))
KNOWN, WINDOW = cases.reference(BEFORE), cases.window(SOUND)


def told(values: "pd.Series[float] | Floats", column: str = "wide") -> list[Finding]:
    """What is found on `column` when the window holds `values` there."""
    changed = Rows({**WINDOW.columns, column: Numbers(np.asarray(values, dtype=np.float64))})
    return [item for item in cases.found(KNOWN, changed) if item.column == column]


def drifts(seed: int) -> Iterator[Floats]:
    """Growth, shifts, spread and all of them, by amounts that are no change of unit."""
    random = np.random.default_rng(seed)
    for factor in (0.7, 0.85, 1.2, 1.4, 1.5, 2.0, 2.8):
        for shift in (-8.0, 0.0, 12.0):
            yield random.normal(50, 10, ROWS) * factor + shift


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.words)
def test_every_change_of_unit_is_named(change: Change) -> None:
    (item,) = told(change.of(SOUND["wide"].to_numpy()))
    assert item.kind == "unit_change"
    assert f"the numbers are as if {change.words}: distance to the reference" in item.sentence


@pytest.mark.parametrize("factor", [1_000.0, 0.001])
@pytest.mark.parametrize("column", ["normal", "wide", "lognormal", "rain"])
def test_a_part_in_another_unit_is_named_with_its_share(column: str, factor: float) -> None:
    values = SOUND[column].where(SOUND.index % 10 > 2, SOUND[column] * factor)
    (item,) = told(values, column)
    words = "multiplied by 1,000" if factor > 1 else "divided by 1,000"
    assert item.kind == "unit_change"
    assert f"% of the numbers are as if {words}" in item.sentence
    assert 25 <= int(item.sentence.split(": ")[1].split("%")[0]) <= 35


def test_drift_is_no_change_of_unit() -> None:
    items = [item for seed in range(2) for values in drifts(seed) for item in told(values)]
    assert "unit_change" not in cases.kinds(items)


def test_and_that_check_can_fail() -> None:
    assert all(told(values * 1_000) for values in drifts(0))


@pytest.mark.parametrize("factor", [1.5, 1.609344, 1.7])
def test_growth_of_a_column_that_does_not_tell_its_scale_is_no_change_of_unit(factor: float) -> None:
    assert told(SOUND["lognormal"] * factor, "lognormal") == []


def test_a_number_far_outside_is_found_where_no_factor_fits() -> None:
    (item,) = told(SOUND["wide"] + 700)
    assert item.kind == "out_of_range"
    assert "100% of the numbers are more than a full span outside [" in item.sentence


def test_the_range_that_the_contract_declares_is_known_too() -> None:
    columns = tuple(
        column.model_copy(update={"maximum": 1_000.0} if column.name == "wide" else {})
        for column in cases.contract().columns
    )
    before = cases.reference(BEFORE, columns=columns)
    assert cases.found(before, cases.window(SOUND.assign(wide=SOUND["wide"] + 700))) == ()


def test_a_short_reference_of_a_slow_column_has_not_shown_its_range() -> None:
    """The broken variant takes neighbours in time for independent rows."""
    slow = cases.world(20_000, np.random.default_rng(4), moves=0.99)
    short, later = slow.iloc[:100], [slow.iloc[start : start + 100] for start in range(1_000, 20_000, 500)]

    def alarms(*, in_time_order: bool) -> int:
        before = cases.reference(short, in_time_order=in_time_order)
        return sum(bool(cases.found(before, cases.window(rows))) for rows in later)

    assert alarms(in_time_order=True) == 0
    assert alarms(in_time_order=False) > 0


def test_independent_rows_are_counted() -> None:
    world = cases.world(20_000, np.random.default_rng(0))
    assert independent_rows(world["normal"].to_numpy()) > 15_000
    # (1 - 0.9) / (1 + 0.9) of the rows, by the theory of an autoregression
    assert independent_rows(world["slow"].to_numpy()) == pytest.approx(20_000 / 19, rel=0.2)
    assert independent_rows(np.zeros(50)) == independent_rows(np.empty(0)) == 1


@pytest.mark.parametrize("value", [1e308, -1e308, 5e-324, np.inf, np.nan])
def test_extremes_are_told_and_never_raise(value: float) -> None:
    items = told(SOUND["wide"].where(SOUND.index % 2 == 0, value))
    assert "unchecked" not in cases.kinds(items)
    assert items or value == 5e-324


def test_columns_of_one_or_two_values_have_no_unit() -> None:
    before = cases.reference(BEFORE.assign(wide=BEFORE["flag"].astype(float)))
    items = cases.found(before, cases.window(SOUND.assign(wide=SOUND["flag"] * 10.0)))
    assert "unit_change" not in cases.kinds(items)
