"""An export holds every row of its window once, in each format, and there is a whole file or none."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from evenkeel.__main__ import app
from evenkeel.log_export import ExportOptions, export, moment
from lifecycle.errors import InputRejected, ProjectInvalid, StoreUnavailable
from lifecycle.project import Project
from tests.builders import START
from tests.unit.evenkeel.making import answered, project

ROWS = 300


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    found = project(tmp_path_factory.mktemp("export"))
    answered(found, ROWS)
    return found


def from_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def from_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def from_parquet(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path, page_checksum_verification=True).to_pylist()
    return found


@pytest.mark.parametrize(
    ("name", "read"),
    [("rows.csv", from_csv), ("rows.jsonl", from_jsonl), ("rows.parquet", from_parquet)],
    ids=["csv", "jsonl", "parquet"],
)
def test_each_format_holds_every_row_with_its_label(
    made: Project, tmp_path: Path, name: str, read: Callable[[Path], list[dict[str, Any]]]
) -> None:
    path = tmp_path / name
    assert export(made.tables, path, ExportOptions(columns=["a", "prediction"], labels=True)) == ROWS
    found = read(path)
    assert sorted(float(row["feature_a"]) for row in found) == [float(number) for number in range(ROWS)]
    assert {(row["prediction"], row["label"]) for row in found} == {("yes", "no")}
    assert list(tmp_path.iterdir()) == [path], "nothing else is left"


def test_a_window_without_rows_is_a_file_without_rows(made: Project, tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    assert export(made.tables, path, ExportOptions(START, START + 1)) == 0
    assert pq.read_table(path).num_rows == 0


def test_a_column_that_there_is_not_is_refused_with_those_there_are(made: Project, tmp_path: Path) -> None:
    with pytest.raises(InputRejected, match=r"no column 'coffee'; it has id, .*feature_a"):
        export(made.tables, tmp_path / "rows.csv", ExportOptions(columns=["coffee"]))
    assert list(tmp_path.iterdir()) == []


def test_a_name_without_a_format_and_a_file_that_is_there_are_refused(made: Project, tmp_path: Path) -> None:
    with pytest.raises(ProjectInvalid, match=r"end its name in .parquet, .csv, .jsonl"):
        export(made.tables, tmp_path / "rows.txt", ExportOptions())
    path = tmp_path / "rows.csv"
    path.write_text("mine")
    with pytest.raises(ProjectInvalid, match="is there already"):
        export(made.tables, path, ExportOptions())
    assert path.read_text() == "mine"
    assert export(made.tables, path, ExportOptions(force=True)) == ROWS


def test_an_export_that_meets_damage_leaves_no_file(tmp_path: Path) -> None:
    made = project(tmp_path)
    answered(made, ROWS)
    (file,) = made.tables.predictions.files()
    damaged = made.tables.folder / "predictions" / file.path
    content = bytearray(damaged.read_bytes())
    content[300] ^= 1
    damaged.write_bytes(content)
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(StoreUnavailable, match="doctor --verify"):
        export(made.tables, target / "rows.csv", ExportOptions())
    assert list(target.iterdir()) == []


def test_the_command_takes_moments_and_names_and_says_how_many_rows(made: Project, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    words = ["--start", "2020-01-01", "--end", "2999-01-01T00:00:00+01:00", "--columns", "a, prediction", "--json"]
    done = CliRunner().invoke(app, ["log", "export", str(path), *words, "--project", str(made.path)])
    assert json.loads(done.stdout) == {"file": str(path), "rows": ROWS}


def test_a_moment_is_utc_unless_it_says_otherwise() -> None:
    assert moment("2023-11-14T22:13:20") == START
    assert moment("2023-11-15T00:13:20+02:00") == START
    with pytest.raises(InputRejected, match="'yesterday' is no moment"):
        moment("yesterday")
