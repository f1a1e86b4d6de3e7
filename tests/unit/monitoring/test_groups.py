"""Groups of a column: few, readable, the same from window to window, and not to be forged."""

from typing import Any

import numpy as np
import pytest

from lifecycle.contract import Kind
from monitoring.groups import LONGEST, Groups, shown
from monitoring.rows import Numbers, Values
from tests.unit.monitoring.lending import categories, numbers

QUARTERS = np.arange(1, 101) / 2


def named(groups: Groups, column: Values) -> list[str]:
    return [groups.names[place] for place in groups.places(column)]


def test_the_commonest_values_are_groups_and_the_rest_are_together() -> None:
    window = ["b"] * 3 + ["a"] * 3 + ["c"] * 2 + ["d", None]
    groups = Groups(categories(["z", "a"]), categories(window), "categorical", 2)
    assert groups.names == ("a", "b", "(others)", "(missing)")
    assert named(groups, categories(["z", "b", None, "a", "d"])) == ["(others)", "b", "(missing)", "a", "(others)"]


@pytest.mark.parametrize(
    ("reference", "kind", "names"),
    [
        (QUARTERS, "numeric", ["<= 12", "12 to 25", "25 to 38", "> 38"]),
        (QUARTERS * 2e4, "integer", ["<= 250000", "250000 to 500000", "500000 to 750000", "> 750000"]),
        ([3, 1, 2, 1], "integer", ["1", "2", "3", "(other numbers)"]),
        ([0.0] * 80 + [*range(1, 21)], "numeric", ["<= 0", "> 0"]),
        ([0.25] * 9, "numeric", ["any number"]),
        ([None] * 9, "numeric", ["any number"]),
        (
            1_700_000_000.4 + np.arange(4),
            "datetime",
            ["<= 2023-11-14T22:13:20Z", "2023-11-14T22:13:20Z to 2023-11-14T22:13:21Z", "> 2023-11-14T22:13:22Z"],
        ),
        ([-1e300, 1e300, 2e300], "datetime", ["> 9999-12-31T23:59:59Z"]),
    ],
    ids=["quarters", "large", "few", "mostly one", "constant", "nothing", "datetimes", "no dates"],
)
def test_numbers_are_grouped_by_the_reference(reference: Any, kind: Kind, names: list[str]) -> None:
    groups = Groups(numbers(reference), numbers([*reference, -1e9, 1e308, np.nan]), kind, 20)
    assert set(names) <= set(groups.names)


def test_a_bound_belongs_to_the_range_that_ends_with_it() -> None:
    groups = Groups(numbers(QUARTERS), numbers(QUARTERS), "numeric", 20)
    ends = numbers([12.0, 12.1, 25.0, 38.0, 38.1])
    assert named(groups, ends) == ["<= 12", "12 to 25", "12 to 25", "25 to 38", "> 38"]
    assert named(groups, numbers([float("-inf"), float("inf"), None])) == ["<= 12", "> 38", "(missing)"]


def test_rounding_takes_no_crowd_out_of_its_range() -> None:
    crowd = numbers([3.25] * 60 + [*range(4, 44)])
    assert named(Groups(crowd, crowd, "numeric", 20), numbers([3.25, 3.26])) == ["<= 3.25", "3.25 to 18"]


@pytest.mark.parametrize("scale", [1e-300, 1e-9, 1.0, 1e9, 1e300])
@pytest.mark.parametrize("shift", [0.0, 1.0, 1e6])
def test_rounded_bounds_leave_a_quarter_in_each_range(scale: float, shift: float) -> None:
    column = Numbers((np.random.default_rng(0).normal(size=2_000) + shift) * scale)
    groups = Groups(column, column, "numeric", 20)
    counts = np.bincount(groups.places(column), minlength=6)
    assert (counts[:4] > 440).all()
    assert max(map(len, groups.names)) < 45


def test_a_number_that_the_reference_lacks_is_told_from_those_it_has() -> None:
    groups = Groups(numbers([1, 2]), numbers([1, 2, 7, 1.5]), "integer", 20)
    assert named(groups, numbers([1, 1.5, 7, float("inf"), None])) == ["1", *["(other numbers)"] * 3, "(missing)"]


LONG = "x" * 500
HOSTILE = ["a", "b", "(others)", "(missing)", "", LONG + "a", LONG + "b", "x" * LONGEST, "x" * (LONGEST + 1)]


def test_names_are_short_and_none_is_another_s() -> None:
    forged = [*HOSTILE, *(shown(value) for value in HOSTILE)]
    groups = Groups(categories(["a"]), categories(forged), "categorical", 100)
    assert len(set(groups.names)) == len(groups.names) == len(set(forged)) + 2
    assert max(map(len, groups.names)) <= LONGEST


def test_a_name_that_is_only_cut_is_another_s() -> None:
    """The broken way."""
    assert len({value[:LONGEST] for value in HOSTILE}) < len(HOSTILE)
