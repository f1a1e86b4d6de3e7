"""Rows as text: every value in a form that other programs read, and none that breaks a line."""

import io
import json
import math
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from evenkeel.log_rows import cell, json_line, write_csv, write_json_lines

MOMENT = datetime(2026, 1, 31, 14, 5, 0, 250, tzinfo=UTC)


def test_a_row_is_one_line_of_json_with_moments_in_utc_and_null_for_no_number() -> None:
    line = json_line({"at": MOMENT, "text": "two\nlines", "nothing": math.nan, "odd": 2j})
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "at": "2026-01-31T14:05:00.000250Z",
        "text": "two\nlines",
        "nothing": None,
        "odd": "2j",
    }


def test_every_row_of_every_batch_is_written_and_counted() -> None:
    batches = [pa.record_batch({"a": [1, 2]}), pa.record_batch({"a": [3]})]
    sink = io.BytesIO()
    assert write_json_lines(batches, sink) == 3
    assert sink.getvalue() == b'{"a":1}\n{"a":2}\n{"a":3}\n'


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pa.array([MOMENT], pa.timestamp("us", tz="UTC")), '"2026-01-31T14:05:00.000250Z"'),
        (pa.array([['a,"b"', "c"]]), '"[\'a,""b""\', \'c\']"'),
        (pa.array(["it is \n so"]), '"it is \n so"'),
        (pa.array([None], pa.string()), ""),
        (pa.array([0.1]), "0.1"),
        (pa.array([True]), "true"),
    ],
    ids=["moment", "list", "text", "null", "number", "boolean"],
)
def test_csv_holds_values_of_any_type(values: pa.Array, text: str) -> None:
    sink = io.BytesIO()
    batch = pa.record_batch({"x": values})
    assert write_csv(batch.schema, [batch], sink) == 1
    assert sink.getvalue().decode() == f'"x"\n{text}\n'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (1 / 3, "0.333333"),
        (math.inf, "inf"),
        (MOMENT, "2026-01-31T14:05:00.000Z"),
        ("two\nlines", "two lines"),
        ("\x1b[2Jgone\u202e", " [2Jgone "),
        (True, "True"),
    ],
    ids=["nothing", "number", "infinity", "moment", "lines", "commands", "boolean"],
)
def test_a_cell_is_short_and_on_one_line(value: Any, text: str) -> None:
    assert cell(value) == text
