"""The newest rows, wherever they are: each once, oldest first, and each new one as it comes."""

import json
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evenkeel.__main__ import app
from evenkeel.log_tail import follow, line, newest
from lifecycle.clock import ManualClock
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.table import LogTables
from tests.builders import START, batch, schema, writer
from tests.unit.evenkeel.making import answered, project

SECOND = 1_000_000


def record(tables: LogTables, *seconds: int, folded: bool) -> list[str]:
    """One row at each of `seconds` after START; their ids."""
    log = writer(tables.segments)
    made = []
    for offset in seconds:
        row = batch(at=START + offset * SECOND)
        log.append_predictions(row, schema())
        made += row.ids
    log.close()
    if folded:
        Folder(tables, ManualClock()).fold()
    return made


def ids(rows: list[dict[str, object]]) -> list[object]:
    return [row["id"] for row in rows]


@pytest.fixture
def tables(tmp_path: Path) -> LogTables:
    return LogTables(tmp_path)


def test_the_newest_rows_come_from_tables_and_segments_oldest_first(tables: LogTables) -> None:
    folded = record(tables, 5, 1, 9, folded=True)
    late = record(tables, 7, folded=True)
    waiting = record(tables, 8, 2, folded=False)
    in_order = [folded[1], waiting[1], folded[0], late[0], waiting[0], folded[2]]
    assert ids(newest(tables, 100)) == in_order
    assert ids(newest(tables, 3)) == in_order[-3:]


def test_rows_that_lie_far_apart_in_one_file_are_all_found(tables: LogTables) -> None:
    seconds = (0, 30, 600, 5_000, 5_001)
    made = record(tables, *seconds, folded=True)
    for count in range(1, len(seconds) + 1):
        assert ids(newest(tables, count)) == made[-count:]


def test_a_row_that_is_in_a_segment_and_in_the_table_is_told_once(tables: LogTables) -> None:
    (made,) = record(tables, 1, folded=False)
    (segment,) = tables.segments.iterdir()
    content = segment.read_bytes()
    Folder(tables, ManualClock()).fold()
    segment.write_bytes(content)
    assert ids(newest(tables, 10)) == [made]


def test_of_a_log_without_rows_nothing_is_told(tables: LogTables) -> None:
    assert newest(tables, 10) == []


def test_following_tells_each_new_row_once_also_while_it_is_folded(tables: LogTables) -> None:
    first = record(tables, 1, folded=False)
    stop = threading.Event()
    rows = follow(tables, 10, stop)
    told = [next(rows)["id"]]
    second = record(tables, 2, folded=True)
    told.append(next(rows)["id"])
    third = record(tables, 0, 3, folded=False)  # one of them late
    told += [next(rows)["id"], next(rows)["id"]]
    assert told == [*first, *second, *third]
    stop.set()
    assert list(rows) == []


def test_a_line_says_when_what_and_for_what() -> None:
    row = {"id": "x", "at": ManualClock(START).now(), "version": 3, "prediction": "yes", "feature_a": 1.5, "day": "d"}
    text = line(row | {"probability_yes": 0.75, "probability_no": 0.25, "categorical_feature_b": "k"})
    assert text.endswith("  v3  yes (0.750)  a=1.5 b=k  x")


def test_the_command_prints_lines_for_people_and_for_programs(tmp_path: Path) -> None:
    made = project(tmp_path)
    answered(made, 3)
    words = ["log", "tail", "-n", "2", "--project", str(made.path)]
    assert len(CliRunner().invoke(app, words).stdout.splitlines()) == 2
    rows = [json.loads(text) for text in CliRunner().invoke(app, [*words, "--json"]).stdout.splitlines()]
    assert {row["prediction"] for row in rows} == {"yes"}
