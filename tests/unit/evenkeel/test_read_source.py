"""A file is read as it is, or refused in one sentence with the way out."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evenkeel.read_source import read_source
from lifecycle.errors import ProjectInvalid
from tests.unit.evenkeel.tables import table, write

ROWS = b"size,town\n1.5,Ghent\n2.5,Turin\n"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.csv", None, "there is no file .*absent.csv; check the path"),
        ("notes.txt", ROWS, "neither .csv nor .parquet .*'.txt'"),
        ("zipped.csv.gz", ROWS, "neither .csv nor .parquet"),
        ("empty.csv", b"", r"is empty \(0 bytes\)"),
        ("blank.csv", b"\n \n\n", "only blank lines"),
        ("header.csv", b"size,town\n", "a header of 2 columns but no rows"),
        ("twice.csv", b"size,town,size\n1,2,3\n", "more than one column named 'size'"),
        (
            "latin.csv",
            "size,town\n1,Gent\n2,Zürich\n".encode("latin-1"),
            "not UTF-8 text: line 3 holds the byte 0xfc.*iconv",
        ),
        ("binary.csv", b"size,town\n\x00\x01,2\n", "binary content"),
        ("long.csv", ROWS + b"1,2,3,4\n", "not a regular table .*line 4"),
        ("longer.csv", b"size,town\n1,2,3\n4,5,6\n", "more cells than the header's 2"),
        ("quote.csv", ROWS + b'"open,2\n', "not a regular table"),
        ("control.csv", b"size,to\x1bwn\n1,2\n", "names column 2 .*control characters; rename"),
        ("text.parquet", ROWS, "not a readable Parquet file"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_the_way_out(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ProjectInvalid, match=said) as refusal:
        read_source(path)
    assert "\n" not in str(refusal.value)
    assert ";" in str(refusal.value)


def test_a_parquet_file_with_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.parquet"
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["size", "size"]), path)
    with pytest.raises(ProjectInvalid, match="more than one column named 'size'"):
        read_source(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "folder.csv"
    path.mkdir()
    with pytest.raises(ProjectInvalid, match="is a folder"):
        read_source(path)


@pytest.mark.parametrize(
    "content",
    [
        ROWS,
        b"\xef\xbb\xbf" + ROWS,
        ROWS.decode().encode("utf-16"),
        ROWS.replace(b",", b";"),
        ROWS.replace(b",", b"\t"),
        b"\n\n" + ROWS.replace(b"\n", b"\r\n"),
    ],
)
def test_usual_dialects_of_csv_give_the_same_table(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "houses.csv"
    path.write_bytes(content)
    found = read_source(path)
    assert found.to_dict("list") == {"size": ["1.5", "2.5"], "town": ["Ghent", "Turin"]}


def test_cells_of_a_csv_stay_text_and_empty_ones_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "codes.csv"
    path.write_text("code,note\n007,\n008,NA\n", encoding="utf-8")
    found = read_source(path)
    assert found["code"].tolist() == ["007", "008"]
    assert found["note"].isna().all()


def test_a_blank_column_name_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    path.write_text(",size\n0,1\n", encoding="utf-8")
    assert list(read_source(path).columns) == ["unnamed_1", "size"]


def test_parquet_and_csv_hold_the_same_table(tmp_path: Path) -> None:
    source = table(60)
    from_parquet = read_source(write(tmp_path, source, "houses.parquet"))
    from_csv = read_source(write(tmp_path, source))
    assert list(from_parquet.columns) == list(from_csv.columns)
    assert from_parquet["size"].tolist() == pd.to_numeric(from_csv["size"]).tolist()
