"""Arrays of moments mean what the same moments mean as texts."""

from typing import Any

import numpy as np
import pytest

from lifecycle.checking import Checker
from lifecycle.contract import Column
from lifecycle.errors import InputRejected

UNITS = ("D", "s", "ms", "us", "ns")


def checked(values: Any, *, nullable: bool = False) -> Any:
    checker = Checker([Column(name="at", kind="datetime", nullable=nullable)], [])
    return checker.columns({"at": values}, len(values))["at"]


def moments(unit: str, *texts: str) -> Any:
    return np.array(texts, dtype=f"datetime64[{unit}]")


@pytest.mark.parametrize("unit", UNITS)
def test_an_array_holds_the_same_microseconds_as_its_texts(unit: str) -> None:
    array = moments(unit, "2024-05-01", "1969-12-31", "1970-01-01")
    found = checked(array)
    assert found.dtype == np.int64
    assert found.tolist() == checked([str(value) for value in array])


def test_nanoseconds_are_cut_as_in_a_text() -> None:
    texts = ["2024-05-01T10:11:12.123456789", "1969-12-31T23:59:59.999999999"]
    assert checked(moments("ns", *texts)).tolist() == checked(texts)


@pytest.mark.parametrize("unit", UNITS)
def test_a_missing_moment_is_none_where_it_may_be_missing(unit: str) -> None:
    array = moments(unit, "2024-05-01", "NaT")
    assert checked(array, nullable=True) == [1_714_521_600_000_000, None]
    with pytest.raises(InputRejected, match="1 problem.*row 1, field 'at' must not be null"):
        checked(array)


@pytest.mark.parametrize("unit", ["D", "s", "ms", "us"])
@pytest.mark.parametrize("text", ["10000-01-01", "-0001-12-31", "292270-01-01"])
def test_a_moment_that_no_text_can_say_is_refused(unit: str, text: str) -> None:
    with pytest.raises(InputRejected, match="1 problem.*row 1, field 'at' must be a date and time"):
        checked(moments(unit, "2024-05-01", text))


def test_moments_are_no_numbers() -> None:
    checker = Checker([Column(name="a", kind="numeric")], [])
    with pytest.raises(InputRejected, match="must be a finite number, not a date"):
        checker.columns({"a": moments("s", "2024-05-01")}, 1)
