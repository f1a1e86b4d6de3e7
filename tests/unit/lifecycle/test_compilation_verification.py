"""Verification: a compiled pipeline that differs anywhere a caller could look is refused, in a sentence that says where."""

from collections.abc import Callable
from typing import Any

import pytest

from lifecycle.compilation.features import CannotCompile
from lifecycle.compilation.verification import largest_difference, verify
from lifecycle.contract import Column, Columns, Contract, Target

COLUMNS = (
    Column(name="size", kind="numeric", nullable=True),
    Column(name="rooms", kind="integer"),
    Column(name="new", kind="boolean"),
    Column(name="town", kind="categorical"),
)
CONTRACT = Contract(target=Target(name="t", task="binary", classes=("no", "yes")), columns=COLUMNS)
VALUES = Contract(target=Target(name="t", task="regression"), columns=COLUMNS)
REFERENCE: Columns = {
    "size": [0.5, 1.5, None],
    "rooms": [1, 2, 3],
    "new": [True, False, True],
    "town": ["Ghent", "Turin", "Ghent"],
}
Row = dict[str, Any]


class Chances:
    """Answers with a chance for each row; `alone` is added when a row comes alone."""

    inline_rows = 0

    def __init__(self, chance: Callable[[Row], float], alone: float = 0.0) -> None:
        self._chance = chance
        self._alone = alone

    def predict(self, columns: Columns) -> tuple[list[Any], dict[str, list[float]]]:
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        extra = self._alone if len(rows) == 1 else 0.0
        chances = [self._chance(row) + extra for row in rows]
        labels = ["yes" if chance > 0.5 else "no" for chance in chances]
        return labels, {"no": [1 - chance for chance in chances], "yes": chances}


class Values(Chances):
    """Answers with a value for each row."""

    def predict(self, columns: Columns) -> tuple[list[Any], dict[str, list[float]]]:
        return super().predict(columns)[1]["yes"], {}


def _always(chance: float) -> Callable[[Row], float]:
    return lambda _: chance


_even = _always(0.25)


def test_equal_answers_are_verified_on_the_reference_and_all_its_variants() -> None:
    verified = verify(CONTRACT, Chances(_even), Chances(_even), REFERENCE)
    assert verified.difference == 0
    assert verified.rows == 3 * (
        1 + 3 + 2 + 2 + 1
    )  # the reference; missing, above, below; above, below; true, false; unseen


def test_a_difference_within_the_tolerance_is_told() -> None:
    verified = verify(CONTRACT, Chances(_even), Chances(_always(0.25 * (1 + 5e-7))), REFERENCE)
    assert verified.difference == pytest.approx(5e-7, rel=1e-3)


@pytest.mark.parametrize(
    "broken",
    [
        Chances(_always(0.25 * (1 + 2e-6))),
        Chances(_even, alone=1e-3),
        Chances(lambda row: 0.3 if row["size"] is None else 0.25),
        Chances(lambda row: 0.3 if row["town"] not in {"Ghent", "Turin"} else 0.25),
        Chances(lambda row: 0.3 if row["rooms"] > 3 else 0.25),
        Chances(lambda row: 0.3 if row["rooms"] < 1 else 0.25),
        Chances(lambda row: 0.3 if not row["new"] and row["rooms"] == 3 else 0.25),
        Chances(lambda row: float("nan") if row["rooms"] == 2 else 0.25),
    ],
    ids=["everywhere", "one row alone", "missing", "unseen", "above", "below", "boolean", "not a number"],
)
def test_a_difference_in_any_corner_is_refused(broken: Chances) -> None:
    with pytest.raises(CannotCompile, match="probabilities differ from scikit-learn's"):
        verify(CONTRACT, Chances(_even), broken, REFERENCE)


def test_one_other_label_is_refused_however_close_the_probabilities() -> None:
    with pytest.raises(CannotCompile, match="labels differ"):
        verify(CONTRACT, Chances(_always(0.5)), Chances(_always(0.5 + 1e-9)), REFERENCE)


def test_values_of_a_regression_are_compared_relative_to_their_size() -> None:
    exact = Values(_always(1e6))
    assert verify(VALUES, exact, Values(_always(1e6 + 0.5)), REFERENCE).difference == pytest.approx(5e-7, rel=1e-3)
    with pytest.raises(CannotCompile, match="values differ"):
        verify(VALUES, exact, Values(_always(1e6 + 2)), REFERENCE)


def test_rows_that_scikit_learn_itself_refuses_are_named() -> None:
    def refusing(row: Row) -> float:
        if row["size"] is None:
            raise ValueError("input contains NaN")
        return 0.25

    complete = REFERENCE | {"size": [0.5, 1.5, 2.5]}
    with pytest.raises(CannotCompile, match="raises ValueError for missing values in column 'size'"):
        verify(CONTRACT, Chances(refusing), Chances(_even), complete)


def test_rounding_far_below_the_size_of_the_answers_is_no_difference() -> None:
    assert largest_difference([1.0, 1e-14], [1.0, 2e-14], 1.0) == 0
    assert largest_difference([1.0, 1e-14], [1.0, 2e-14], 1e-9) == pytest.approx(0.5)
    assert largest_difference([float("inf")], [1.0], 1.0) == float("inf")
