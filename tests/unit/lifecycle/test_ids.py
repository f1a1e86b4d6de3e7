"""Identifiers: version 7 UUIDs that sort by time."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.ids import is_uuid7, lower_bound, milliseconds_of, uuid7

moments = st.integers(0, 2**48 - 2)


@given(moments)
def test_an_identifier_is_a_version_7_uuid_that_tells_its_moment(moment: int) -> None:
    made = uuid7(moment)
    parsed = uuid.UUID(made)
    assert (parsed.version, parsed.variant, str(parsed)) == (7, uuid.RFC_4122, made)
    assert milliseconds_of(made) == moment
    assert is_uuid7(made)


@given(moments, moments)
def test_identifiers_of_different_moments_sort_by_time(one: int, other: int) -> None:
    if one != other:
        assert (uuid7(one) < uuid7(other)) == (one < other)


@given(moments)
def test_a_lower_bound_parts_a_moment_from_the_one_before(moment: int) -> None:
    assert lower_bound(moment) <= uuid7(moment) < lower_bound(moment + 1)


def test_identifiers_do_not_repeat() -> None:
    assert len({uuid7(5) for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "../../etc/passwd",
        "28a0f8ff-319b-4a66-bc35-15f10395ef30",
        "00000000-0005-73CC-9B64-ABFFFFA816E6",
        "00000000-0005-7a8c-b77a-61a93fcafbdc\n",
        "00000000-0005-7180-9e7c-640bc78a2fa",
    ],
)
def test_what_this_product_cannot_have_made_is_told(text: str) -> None:
    assert not is_uuid7(text)
