"""The tables as others read them: every code block of the document is run, and all see the same rows and values."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable

from evenkeel.log_query import query
from lifecycle.clock import SystemClock
from lifecycle.feature_log.fold import Folder
from lifecycle.project import Project
from tests.builders import batch, label, schema, writer

DOCUMENT = Path(__file__).parents[3] / "docs" / "feature_log.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
ROWS = 5
TABLE = "shop/.evenkeel/feature_log/predictions"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project `shop`, whose log has rows of three versions: a feature more, and one of another kind."""
    folder = tmp_path_factory.mktemp("readers")
    (folder / "shop").mkdir()
    (folder / "shop" / "evenkeel.toml").write_text('[model]\nname = "shop"\n')
    project = Project.open(folder / "shop")
    clock = SystemClock()
    now = clock.now()
    rows = batch(ROWS, at=now)
    more = {**rows.columns, "depth": [0.5] * ROWS}
    other = {"a": ["many"] * ROWS, "town": ["Ghent"] * ROWS}
    kinds = {"a": "numeric", "town": "categorical"}
    log = writer(project.tables.segments, clock)
    log.append_predictions(rows, schema())
    log.append_predictions(batch(ROWS, at=now, version=2, columns=more), schema(2, {**kinds, "depth": "numeric"}))
    log.append_predictions(batch(ROWS, at=now, version=3, columns=other), schema(3, {**kinds, "a": "categorical"}))
    log.append_labels([label(name, "yes", received_at=now) for name in rows.ids])
    log.append_labels([label(rows.ids[0], "no", received_at=now - 1), label(rows.ids[1], "no", received_at=now + 1)])
    log.close()
    Folder(project.tables, clock).fold()
    return folder


def run(block: str, here: Path) -> dict[str, Any]:
    """The names that a block leaves behind, run beside the project."""
    names: dict[str, Any] = {}
    exec(compile(block.replace('"shop', f'"{here}/shop'), str(DOCUMENT), "exec"), names)
    return names


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_code_block_of_the_document_runs_and_sees_every_row(here: Path, number: int) -> None:
    assert len(BLOCKS) == 4
    joined = "latest" in BLOCKS[number]
    names = run(BLOCKS[number], here)
    assert names["answered"] == (ROWS if joined else 3 * ROWS)
    if joined:  # a correction each way: of one that was wrong first, and of one that was right
        assert names["right"] == ROWS - 1


@pytest.mark.parametrize("number", [number for number, block in enumerate(BLOCKS) if "latest" in block])
def test_a_code_block_that_joined_all_labels_would_be_caught(here: Path, number: int) -> None:
    wrong = BLOCKS[number].replace('.unique("id", keep="last")', "").replace("JOIN latest l", "JOIN labels l")
    assert run(wrong, here)["answered"] == ROWS + 2


def test_the_command_of_the_document_joins_the_latest_label_of_each_row(here: Path) -> None:
    (sql,) = re.findall(r'log query "(SELECT[^"]*JOIN[^"]*)"', DOCUMENT.read_text())
    tables = Project.open(here / "shop").tables
    found = [row for batch_ in query(tables, sql)[1] for row in batch_.to_pylist()]
    assert {(row["label"], row["answered"]) for row in found} == {("yes", ROWS - 1), ("no", 1)}


def test_the_document_says_every_column_that_there_is(here: Path) -> None:
    text = DOCUMENT.read_text()
    tables = Project.open(here / "shop").tables
    for table in (tables.predictions, tables.labels):
        plain = [name for name in table.schema().names if not re.match(r"(categorical_)?feature_|probability_", name)]
        assert [name for name in plain if f"`{name}`" not in text] == []


def by_pandas(place: str) -> pd.DataFrame:
    return DeltaTable(place).to_pandas()


def by_polars(place: str) -> pd.DataFrame:
    return pl.read_delta(place).to_pandas()


def by_dataset(place: str) -> pd.DataFrame:
    frame: pd.DataFrame = DeltaTable(place).to_pyarrow_dataset().to_table().to_pandas()
    return frame


def by_duckdb(place: str) -> pd.DataFrame:
    files = [uri.removeprefix("file://") for uri in DeltaTable(place).file_uris()]
    how = "hive_partitioning = true, hive_types_autocast = false, union_by_name = true"  # else a day becomes a date
    return duckdb.execute(f"SELECT * FROM read_parquet(?, {how})", [files]).df()


def by_verifying_dataset(place: str) -> pd.DataFrame:
    table = DeltaTable(place)
    checked = ds.ParquetFileFormat(
        default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    )
    schema_ = table.to_pyarrow_dataset().schema
    frame: pd.DataFrame = (
        ds.dataset(table.file_uris(), schema=schema_, partitioning="hive", format=checked).to_table().to_pandas()
    )
    return frame


READERS: list[Callable[[str], pd.DataFrame]] = [by_polars, by_dataset, by_duckdb, by_verifying_dataset]


def plain(frame: pd.DataFrame) -> list[list[Any]]:
    """Rows in order of id, columns in order of name, values as Python's own."""
    ordered = frame.sort_values("id")[sorted(frame.columns)]
    return [[None if pd.isna(value) else str(value) for value in row] for row in ordered.itertuples(index=False)]


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_every_reader_sees_the_same_values_also_of_versions_with_other_features(
    here: Path, read: Callable[[str], pd.DataFrame]
) -> None:
    place = str(here / TABLE)
    expected = by_pandas(place)
    assert {"feature_a", "feature_depth", "categorical_feature_a"} <= set(expected.columns)
    assert expected["feature_depth"].notna().sum() == ROWS
    assert plain(read(place)) == plain(expected)
