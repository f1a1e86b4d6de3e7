"""Tables at a terminal: whole words, and every column, however narrow the place is."""

import io

import pytest
from rich.console import Console

from evenkeel import show

COLUMNS = ("version", "role", "created by", "detail")
ROWS = [(1, "champion", "init", "first model of all"), (2, "challenger", "retrain", None)]


def shown(width: int) -> str:
    sink = io.StringIO()
    show.table("models", COLUMNS, ROWS, Console(file=sink, width=width, highlight=False))
    return sink.getvalue()


@pytest.mark.parametrize("width", [10, 30, 36, 45, 60, 200])
def test_no_word_is_broken_and_nothing_is_left_out_at_any_width(width: int) -> None:
    words = shown(width).replace(":", " ").split()
    expected = " ".join(str(cell) for row in [COLUMNS, *ROWS] for cell in row if cell is not None)
    assert set(expected.split()) <= set(words)
    assert "\u2026" not in shown(width)


def test_a_table_that_does_not_fit_is_a_record_for_each_row() -> None:
    assert "version: 2\nrole: challenger\ncreated by: retrain\ndetail: -\n" in shown(20)
    assert "version: " not in shown(60)
    assert max(map(len, shown(45).splitlines())) <= 45
