"""Shapes of rows: what is taken, and the sentence for what is not."""

from typing import Any

import pytest

from lifecycle.errors import InputRejected
from service.exchange import Refused
from service.protocols import csv_rows
from service.protocols.rows import Columnar, RowReader, object_of, one_of
from service.strict_json import decode
from tests import builders

LIMIT = 5
READER = RowReader(("a", "b"), LIMIT)
ONE = RowReader(("a",), LIMIT)
CONTRACT = builders.contract()
ROW = builders.row()


def test_objects_are_handed_on_as_they_are() -> None:
    rows = [{"a": 1, "b": 2}, {"a": 3}]
    assert READER.rows(rows, "instances") is rows


def test_arrays_are_columns_in_the_order_of_the_features() -> None:
    assert READER.rows([[1, 2], [3, None]], "instances") == Columnar({"a": [1, 3], "b": [2, None]}, 2)


def test_bare_values_are_rows_where_there_is_one_feature() -> None:
    assert ONE.rows([1, None, 3], "instances") == Columnar({"a": [1, None, 3]}, 3)


def test_an_empty_list_is_no_rows() -> None:
    assert READER.rows([], "instances") == []
    assert READER.split({"columns": ["a"], "data": []}, "x") == Columnar({}, 0)


def test_one_object_is_one_row_where_that_is_the_form() -> None:
    assert READER.one_or_many({"a": 1}, "the body") == [{"a": 1}]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([[1, 2], [1]], "x[1] has 1 value(s) where there are 2 columns, in this order: a, b"),
        ([[1, 2], {"a": 1}], "x[1] is an object; the rows before it are arrays"),
        ([{"a": 1}, [1, 2]], "x[1] is a list; the rows before it are objects"),
        ([[1, 2], "no"], "x[1] is a text; the rows before it are arrays"),
        ([1, 2], "x[0] is a number; a row is an object, or an array of 2 value(s) in this order: a, b"),
        ([None], "x[0] is null; a row is an object, or an array of 2 value(s) in this order: a, b"),
    ],
    ids=["short", "object among arrays", "array among objects", "text", "numbers", "null"],
)
def test_a_row_of_another_shape_is_named(rows: list[Any], sentence: str) -> None:
    with pytest.raises(InputRejected) as caught:
        READER.rows(rows, "x")
    assert str(caught.value) == sentence
    assert caught.value.problems[0].row == int(sentence[2])


@pytest.mark.parametrize("found", [None, 1, "a", {"a": [1]}, True], ids=str)
def test_rows_are_a_list(found: object) -> None:
    with pytest.raises(Refused, match="x must be a list of rows, not") as caught:
        READER.rows(found, "x")
    assert caught.value.status == 400


def test_more_rows_than_the_limit_are_refused_before_they_are_turned() -> None:
    for refused in (
        lambda: READER.rows([[1, 2]] * (LIMIT + 1), "x"),
        lambda: READER.split({"data": [None] * (LIMIT + 1)}, "x"),
        lambda: csv_rows.read(b"1,2\n" * (LIMIT + 2), CONTRACT, READER),
    ):
        with pytest.raises(Refused, match=f"at most {LIMIT} rows") as caught:
            refused()
        assert caught.value.status == 413


def test_columns_may_have_the_shape_n_by_1() -> None:
    assert READER.columns({"a": [[1], [2]], "b": [3, 4]}, "inputs") == Columnar({"a": [1, 2], "b": [3, 4]}, 2)
    assert READER.columns({"a": [[1, 2]]}, "inputs") == Columnar({"a": [[1, 2]]}, 1)
    assert READER.columns({}, "inputs") == Columnar({}, 0)


def test_a_column_is_a_list() -> None:
    with pytest.raises(Refused, match=r"inputs.b must be a list with one value per row, not a number"):
        READER.columns({"a": [1], "b": 1}, "inputs")


def test_a_split_frame_names_its_columns_in_any_order() -> None:
    found = READER.split({"columns": ["b", "a"], "index": [7, 8], "data": [[1, 2], [3, 4]]}, "x")
    assert found == Columnar({"b": [1, 3], "a": [2, 4]}, 2)


def test_a_split_frame_without_columns_is_in_the_order_of_the_features() -> None:
    assert READER.split({"data": [[1, 2]]}, "x") == Columnar({"a": [1], "b": [2]}, 1)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ([], "x must be an object with columns and data, not a list"),
        ({}, "x.data must be a list of rows, each a list of values, not null"),
        ({"columns": "ab", "data": []}, "x.columns must be a list of feature names"),
        ({"columns": [1], "data": []}, "x.columns must be a list of feature names"),
        ({"columns": ["a", "a"], "data": []}, "x.columns names 'a' twice; send each column once"),
        ({"columns": ["a"], "data": [[1], 2]}, "x.data[1] must be a list of values, not a number"),
        (
            {"columns": ["a"], "data": [[1], [2, 3]]},
            "x.data[1] has 2 value(s) where there are 1 columns, in this order: a",
        ),
    ],
    ids=["list", "empty", "columns text", "columns numbers", "twice", "row number", "row long"],
)
def test_a_split_frame_of_another_shape_is_named(found: object, sentence: str) -> None:
    with pytest.raises((Refused, InputRejected)) as caught:
        READER.split(found, "x")
    assert str(caught.value) == sentence


def test_a_body_has_exactly_one_of_its_forms() -> None:
    assert one_of({"inputs": 1, "more": 2}, ("instances", "inputs")) == "inputs"
    with pytest.raises(Refused, match='exactly one of "instances" or "inputs"; it has none of them'):
        one_of({}, ("instances", "inputs"))
    with pytest.raises(Refused, match='it has "instances" and "inputs"'):
        one_of({"inputs": 1, "instances": 2}, ("instances", "inputs"))
    with pytest.raises(Refused, match="the body must be an object, not a list"):
        object_of([])


def read(body: str | bytes) -> tuple[dict[str, Any], bool]:
    """What the contract makes of CSV, and whether it has a header."""
    encoded = body.encode() if isinstance(body, str) else body
    found, has_header = csv_rows.read(encoded, CONTRACT, RowReader(CONTRACT.names, LIMIT))
    return CONTRACT.checker.columns(found.columns, found.count), has_header


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("2.5,3,true,Ghent,2024-05-01T12:00:00Z", [ROW]),
        ("2.5,3.0,1,Ghent,2024-05-01T12:00:00Z\n1e-3,-4,False,,\n", [ROW, {"size": 1e-3, "rooms": -4, "new": False}]),
        ('2.5,3,TRUE,"Ghent, ""east""",', [builders.row(town='Ghent, "east"', sold=None)]),
        ("1_0.5,3,true,Ghent,", None),
        ("٣,3,true,Ghent,", None),
        ("nan,3,true,Ghent,", None),
        ("inf,3,true,Ghent,", None),
        ("1e999,3,true,Ghent,", None),
        (",3,true,Ghent,", None),
        ("2.5,3.5,true,Ghent,", None),
        ("2.5,1_000,true,Ghent,", None),
        ("2.5,9223372036854775808,true,Ghent,", None),
        (f"2.5,{'9' * 5000},true,Ghent,", None),
        ("2.5,3,yes,Ghent,", None),
        ("2.5,3,true,Ghent,soon", None),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_cell_means_what_the_same_value_means_in_json(text: str, rows: list[dict[str, Any]] | None) -> None:
    if rows is None:
        with pytest.raises(InputRejected, match="row 0, field"):
            read(text)
    else:
        assert read(text) == (CONTRACT.check(rows), False)


@pytest.mark.parametrize(
    "number",
    [
        *("0", "-0", "-0.0", "0.1", "0.30000000000000004", "1e22", "5e-324", "2.2250738585072011e-308"),
        *("9007199254740993", "9223372036854775807", "18446744073709551616", "-12345678901234567890123"),
    ],
)
def test_a_number_is_the_double_that_json_gives(number: str) -> None:
    (found,) = read(f"{number},3,true,,")[0]["size"]
    (expected,) = CONTRACT.check([builders.row(size=decode(number.encode()))])["size"]
    assert found.hex() == expected.hex()


@pytest.mark.parametrize(
    "text",
    [
        "size,rooms,new,town,sold\n2.5,3,true,Ghent,2024-05-01T12:00:00Z\n",
        "\ufeffsize,rooms,new,town,sold\r\n\r\n2.5,3,true,Ghent,2024-05-01T12:00:00Z",
        "key,sold,town,new,rooms,size\n7,2024-05-01T12:00:00Z,Ghent,true,3,2.5\n",
        ",size,rooms,new,town,sold\n0,2.5,3,True,Ghent,2024-05-01T12:00:00Z\n",
    ],
    ids=["plain", "byte order mark, blank line", "another order, a column set aside", "with the index of pandas"],
)
def test_a_first_line_of_known_names_is_a_header(text: str) -> None:
    assert read(text) == (CONTRACT.check([ROW]), True)


def test_a_header_without_a_column_leaves_it_missing() -> None:
    assert read("size,rooms,new\n2.5,3,true\n") == (CONTRACT.check([builders.row(town=None, sold=None)]), True)
    with pytest.raises(InputRejected, match="field 'size' is missing"):
        read("rooms,new\n3,true\n")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"size,size\n1,2\n", "the header names a column twice"),
        (b"size,rooms\n1\n", r"row\[0\] has 1 value\(s\) where there are 2 columns"),
        (b"size,rooms,new,town,colour\n1,2,true,x,y\n", "row 0, field 'size' must be a finite number, not a text"),
        (b"1,2,3\n", r"row\[0\] has 3 value\(s\) where there are 5 columns, in this order: size, rooms"),
        (b'"1,2', "the body is not CSV"),
        (b'"1"2,3', "the body is not CSV"),
        (b"1,\x00", "row"),
        (b"\xff\xfe1", "the body is not UTF-8: byte 0"),
        (b"x" * 200_000, "the body is not CSV"),
    ],
    ids=[
        "twice",
        "short row",
        "unknown name",
        "short line",
        "open quote",
        "after a quote",
        "nul",
        "utf-16",
        "long cell",
    ],
)
def test_csv_that_cannot_be_read_is_refused_with_a_sentence(body: bytes, sentence: str) -> None:
    with pytest.raises((Refused, InputRejected), match=sentence):
        read(body)


def test_an_empty_body_is_no_rows() -> None:
    assert csv_rows.read(b"", CONTRACT, READER) == (Columnar({}, 0), False)
