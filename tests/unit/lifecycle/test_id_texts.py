"""The callers' own ids: texts and numbers that can be kept, refused with the row where they cannot."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.checking import LONGEST_ID, id_text, id_texts
from lifecycle.errors import InputRejected

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("A-17", "A-17"),
        (" A 17 ", " A 17 "),
        ("Zo\u00eb", "Zo\u00eb"),
        ("x" * LONGEST_ID, "x" * LONGEST_ID),
        (0, "0"),
        (-17, "-17"),
        (2**64 - 1, "18446744073709551615"),
        (17.0, "17"),
        (-0.0, "0"),
        (17.25, "17.25"),
        (1e-7, "1e-07"),
        (float(2**53 - 1), "9007199254740991"),
    ],
    ids=repr,
)
def test_a_text_is_kept_as_it_is_and_a_number_as_its_text(value: object, text: str) -> None:
    assert id_text(value) == text


REFUSED: list[Any] = [
    *(True, None, "", [], ["A-17"], {}, {"id": 1}, math.nan, math.inf, -math.inf),
    *("x" * (LONGEST_ID + 1), "x" * 10**6, "a\nb", "a\0b", "\x1b[2J", "\x7f", "\x85", "\ud800"),
    *(10**400, -(10**30), 2**64, float(2**53), 1e300),
]


@pytest.mark.parametrize("value", REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_an_id_is_none(value: object) -> None:
    assert id_text(value) is None


def test_null_nan_and_an_empty_text_are_no_id() -> None:
    assert id_texts("key", [None, "", "A", 0]) == [None, None, "A", "0"]
    assert id_texts("key", np.array([1.0, math.nan])) == ["1", None]


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (np.array([1, 2]), ["1", "2"]),
        (np.array([2**64 - 1], np.uint64), ["18446744073709551615"]),
        (np.array([17.0, 0.5], np.float32), ["17", "0.5"]),
    ],
    ids=["int64", "uint64", "float32"],
)
def test_arrays_of_numbers_are_ids(array: Any, texts: list[str]) -> None:
    assert id_texts("key", array) == texts


@pytest.mark.parametrize(
    "array",
    [np.array([True]), np.array(["2026-01-01"], "datetime64[us]"), np.array([math.inf]), np.array([1e300])],
    ids=["flags", "moments", "infinite", "huge"],
)
def test_arrays_of_anything_else_are_refused(array: Any) -> None:
    with pytest.raises(InputRejected, match="field 'key' must be a text of at most 200 characters"):
        id_texts("key", array)


def test_every_row_with_a_wrong_id_is_named_and_none_is_repeated() -> None:
    with pytest.raises(InputRejected) as caught:
        id_texts("key", ["A", "secret\n", "B", True])
    assert [(problem.row, problem.field) for problem in caught.value.problems] == [(1, "key"), (3, "key")]
    assert "secret" not in f"{caught.value}{caught.value.problems}"


@given(json_values)
def test_any_json_value_is_an_id_or_is_not(value: object) -> None:
    text = id_text(value)
    assert text is None or (0 < len(text) <= LONGEST_ID and id_text(text) == text)
