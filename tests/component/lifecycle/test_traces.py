"""The search that proves an erasure: a token planted in any kind of file is found, packed or not."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.clock import ManualClock
from lifecycle.feature_log.table import LogTables
from lifecycle.feature_log.traces import search, search_storage
from tests import builders
from tests.component.lifecycle.filling import fill

ANNA, BERT = "p_" + "a" * 32, "p_" + "b" * 32
MOMENT = pa.timestamp("us", tz="UTC")


def _segment(path: Path, *, at: int = builders.START) -> None:
    writer = builders.writer(path.parent, ManualClock(at))
    writer.append_predictions(builders.batch(3, at=at, subjects=[BERT, ANNA, None]), builders.schema())
    writer.close()


def _page(path: Path, **columns: object) -> None:
    """A Parquet file whose bytes show nothing: packed, and without bounds."""
    pq.write_table(pa.table(columns), path, compression="zstd", write_statistics=False)


def _predictions(path: Path, subjects: list[str | None], moments: list[int], **more: object) -> None:
    _page(path, subject=pa.array(subjects, pa.string()), at=pa.array(moments, MOMENT), **more)


PLANTED: dict[str, Callable[[Path], object]] = {
    "a segment": _segment,
    "a packed page": lambda path: _page(path, feature_town=["Ghent", "Turin", ANNA] * 500),
    "a packed page of predictions": lambda path: _predictions(path, [BERT, ANNA] * 500, [1, 2] * 500),
    "another column of predictions": lambda path: _predictions(path, [BERT], [1], feature_town=[f"of {ANNA}"]),
    "a dictionary": lambda path: _page(path, town=pa.array(["Ghent", ANNA]).dictionary_encode()),
    "a list in a structure": lambda path: _page(path, add=pa.array([{"tags": ["x", ANNA]}])),
    "bounds in a footer": lambda path: pq.write_table(pa.table({"town": [ANNA]}), path),
    "a reference": lambda path: pd.DataFrame({"a": [1.0], "__subject__": [ANNA]}).to_parquet(path),
    "a report": lambda path: path.write_text(f"<html><script>{{'x': '{ANNA}'}}</script>"),
    "a commit": lambda path: path.write_text(f'{{"add": {{"stats": "{{\\"maxValues\\": \\"{ANNA}\\"}}"}}}}'),
    "a packed archive": lambda path: zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED).writestr("schema", ANNA * 9),
    "the end of a long file": lambda path: path.write_bytes(bytes(2**22) + ANNA.encode()),
}


@pytest.mark.parametrize("where", PLANTED)
def test_a_planted_token_is_found(tmp_path: Path, where: str) -> None:
    (tmp_path / "deep").mkdir()
    PLANTED[where](tmp_path / "deep" / "file")
    traces = search([tmp_path], ANNA, until=builders.START)
    assert len(traces.found) == traces.files == 1
    assert not traces.clean
    clean = search([tmp_path], "p_" + "c" * 32, until=builders.START)
    assert (clean.clean, clean.files, clean.bytes) == (True, 1, traces.bytes)


def test_the_bytes_of_a_packed_page_alone_would_not_show_it(tmp_path: Path) -> None:
    PLANTED["a packed page"](tmp_path / "file")
    assert ANNA.encode() not in (tmp_path / "file").read_bytes()


@pytest.mark.parametrize("until", [builders.START - 1, builders.START])
def test_rows_recorded_after_the_request_are_no_finding(tmp_path: Path, until: int) -> None:
    _segment(tmp_path / "segments" / "x")
    _predictions(tmp_path / "predictions.parquet", [BERT, ANNA], [1, builders.START])
    traces = search([tmp_path], ANNA, until=until)
    assert (len(traces.later), len(traces.found)) == ((2, 0) if until < builders.START else (0, 2))


def test_a_segment_that_holds_it_outside_its_later_rows_is_a_finding(tmp_path: Path) -> None:
    _segment(tmp_path / "x")
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes() + ANNA.encode())
    assert search([tmp_path], ANNA, until=0).found == (str(path),)


def test_a_file_that_cannot_be_unpacked_proves_nothing(tmp_path: Path) -> None:
    PLANTED["a packed page"](tmp_path / "file")
    whole = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(whole[:-100])
    traces = search([tmp_path], ANNA, until=0)
    assert (traces.clean, traces.unreadable) == (False, (str(tmp_path / "file"),))


def test_empty_files_links_and_folders_that_are_not_there_are_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("/etc/passwd")
    traces = search([tmp_path, tmp_path, tmp_path / "gone"], ANNA, until=0)
    assert (traces.clean, traces.files, traces.bytes) == (True, 1, 0)


def test_what_a_table_has_in_an_object_store_is_looked_through_too(tmp_path: Path) -> None:
    tables = LogTables(tmp_path)
    assert search_storage(tables.predictions.storage, ANNA, until=0).files == 0
    fill(tables, builders.batch(2, subjects=[ANNA, BERT]))
    storage = tables.predictions.storage
    found = search_storage(storage, ANNA, until=builders.START)
    assert found.found == tuple(f"{storage.url}/{path}" for path in storage.paths())
    assert found.files > 1, "the engine's log is looked through as well"
    assert len(search_storage(storage, ANNA, until=builders.START - 1).later) == 1
