"""What a column's values are, whichever way the file wrote them."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from evenkeel.amounts import amount
from evenkeel.column_types import as_text, kind_of, moments, stored, typed
from lifecycle.errors import ProjectInvalid


def column(*values: Any) -> pd.Series:
    return pd.Series(list(values), name="size", dtype=object)


def arrow(values: list[Any], kind: pa.DataType | None = None) -> pd.Series:
    series: pd.Series = pa.array(values, type=kind).to_pandas(types_mapper=pd.ArrowDtype)
    return series.rename("size")


@pytest.mark.parametrize(
    ("values", "kind", "held"),
    [
        (("1", "2", "-3"), "integer", [1, 2, -3]),
        (("1", None, "3"), "integer", [1.0, None, 3.0]),
        (("1.5", "2", "3e2"), "numeric", [1.5, 2.0, 300.0]),
        (("1.0", "2.0"), "numeric", [1.0, 2.0]),
        (("1.0", None, "2.0"), "integer", [1.0, None, 2.0]),
        (("inf", "1.5", "-inf"), "numeric", [None, 1.5, None]),
        (("true", "False", "TRUE"), "boolean", [True, False, True]),
        (("true", None), "boolean", [True, None]),
        (("yes", "no"), "categorical", ["yes", "no"]),
        ((" a ", "b", " "), "categorical", ["a", "b", None]),
        (("007", "12"), "categorical", ["007", "12"]),
        (("1970-01-01", "1970-01-02T00:00:00Z"), "datetime", [0, 86_400_000_000]),
        (("1970-01-01T01:00:00+01:00", None), "datetime", [0.0, None]),
        (("99999999999999999999999", "1"), "categorical", ["99999999999999999999999", "1"]),
        ((None, None), "categorical", [None, None]),
    ],
)
def test_text_cells_are_read_for_what_they_hold(values: tuple[Any, ...], kind: str, held: list[Any]) -> None:
    found = typed(column(*values))
    assert kind_of(found) == kind
    assert [None if pd.isna(value) else value for value in stored(found, kind_of(found)).tolist()] == held


@pytest.mark.parametrize(
    ("series", "kind"),
    [
        (arrow([1, None], pa.int8()), "integer"),
        (arrow([1, 2**63], pa.uint64()), "numeric"),
        (arrow([1.5, None]), "numeric"),
        (arrow([1.0, None]), "integer"),
        (arrow([Decimal("1.25"), None]), "numeric"),
        (arrow([True, None]), "boolean"),
        (arrow(["a", None]), "categorical"),
        (arrow(["a", None]).astype("category"), "categorical"),
        (arrow([dt.date(2024, 1, 1), None]), "datetime"),
        (arrow([dt.datetime(2024, 1, 1, tzinfo=dt.UTC), None]), "datetime"),
        (arrow([None, None], pa.null()), "categorical"),
        (pd.Series(["a", "b"], name="size", dtype="category"), "categorical"),
    ],
)
def test_columns_of_parquet_keep_their_meaning(series: pd.Series, kind: str) -> None:
    assert kind_of(typed(series)) == kind


def test_a_column_of_numbers_and_text_is_refused_with_an_example_of_each() -> None:
    said = r"'size' mixes numbers and text: '1' in row 1 but 'two' in row 3 \(3 of 4 values are numbers\).*--drop size"
    with pytest.raises(ProjectInvalid, match=said):
        typed(column("1", None, "two", "3", "4"))


def test_a_column_of_dates_and_text_is_refused() -> None:
    with pytest.raises(ProjectInvalid, match="mixes dates and text: '2024-01-01' in row 1 but 'soon' in row 3"):
        typed(column("2024-01-01", "2024-01-02", "soon"))


def test_rare_numbers_among_texts_are_texts() -> None:
    assert kind_of(typed(column(*["left"] * 30, "7"))) == "categorical"


@pytest.mark.parametrize("values", [[[1], [2]], [b"a", b"b"], [dt.timedelta(1), None]])
def test_values_that_are_no_feature_are_refused(values: list[Any]) -> None:
    with pytest.raises(ProjectInvalid, match="no numbers, texts or dates; name another target"):
        typed(arrow(values), "name another target")


def test_times_are_read_in_usual_notations() -> None:
    iso = moments(column("2024-01-02", "2024-01-01T00:00:00"))
    assert iso.argsort().tolist() == [1, 0]
    assert moments(column("31/01/2024 10:00", "01/02/2024 09:00")).argsort().tolist() == [0, 1]
    assert moments(column("01/02/2024", "01/03/2024", "02/01/2024")).argsort().tolist() == [0, 1, 2]
    assert moments(column("01/02/2024", "02/03/2024", "03/04/2024")).argsort().tolist() == [0, 1, 2]
    assert moments(column("20", "3")).argsort().tolist() == [1, 0]


@pytest.mark.parametrize("values", [("2024-01-02", "later"), ("02/01/2024", "01/02/2024", "01/01/2024")])
def test_times_that_cannot_be_read_in_one_notation_are_refused(values: tuple[str, ...]) -> None:
    with pytest.raises(ProjectInvalid, match=f"cannot be read as dates in one notation .row 1 holds '{values[0]}'"):
        moments(column(*values))


def test_text_keeps_none_as_none() -> None:
    assert as_text(column("a", None, float("nan"), 3)).tolist() == ["a", None, None, "3"]


@pytest.mark.parametrize(
    "values", [("1,5", "2,25"), ("2", "1,5", "-3"), ("1.234,5", "7,0"), ("1 234,50", None, "0,5"), ("1,234", "5,678")]
)
def test_numbers_with_a_comma_are_refused_with_an_example(values: tuple[Any, ...]) -> None:
    example = next(value for value in values if value and "," in value)
    with pytest.raises(
        ProjectInvalid, match=f"'size' holds numbers written with a comma .'{example}' in row .*--drop size"
    ):
        typed(column(*values))


@pytest.mark.parametrize("values", [("1,2,3", "2,4,5"), ("a,1", "b,2"), ("Ghent, 5", "1,5", "York", "Turin")])
def test_texts_that_merely_hold_commas_stay_text(values: tuple[str, ...]) -> None:
    assert typed(column(*values)).tolist() == list(values)


@pytest.mark.parametrize(
    "text",
    [
        "$5",
        "$1,234.50",
        "-$3",
        "($3.20)",
        "US$7",
        "5 €",
        "1.234,50 €",
        "€\u00a05",
        "EUR 10",
        "12%",
        "12,5 %",
        "1,234.5",
    ],
)
def test_amounts_are_recognised(text: str) -> None:
    assert amount(typed(column(text, "unknown", None))) == f"{text!r} in row 1"


@pytest.mark.parametrize("text", ["B5", "007", "192.168.0.1", "5 km", "555 1234", "AB 12", "2026-01-31", "1,2,3", "%"])
def test_codes_are_no_amounts(text: str) -> None:
    assert amount(typed(column(text, text))) is None
