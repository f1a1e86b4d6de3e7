"""The folder: exactly once, whatever step it is killed at; damage is set aside and counted."""

import fcntl
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lifecycle.clock import ManualClock
from lifecycle.config import FeatureLogSection
from lifecycle.errors import Conflict, StoreUnavailable
from lifecycle.feature_log.compaction import tidy
from lifecycle.feature_log.data_files import DataFile
from lifecycle.feature_log.delta import LogTable
from lifecycle.feature_log.fold import MOST_FAILURES, Folder
from lifecycle.feature_log.table import LogTables
from lifecycle.ids import uuid7
from lifecycle.records import LogSchema, PredictionBatch
from tests import builders

DAY = 86_400_000_000


@pytest.fixture
def tables(tmp_path: Path) -> LogTables:
    return LogTables(tmp_path / "log")


@pytest.fixture
def folder(tables: LogTables, clock: ManualClock) -> Folder:
    return Folder(tables, clock)


def _append(
    tables: LogTables,
    *batches: PredictionBatch,
    labels: bool = False,
    seal: bool = True,
    schema: LogSchema | None = None,
) -> Path:
    """A new writer's one segment with `batches`."""
    before = set(tables.segments.glob("*"))
    writer = builders.writer(tables.segments)
    for batch in batches:
        writer.append_predictions(batch, schema or builders.schema(batch.version))
        if labels:
            writer.append_labels([builders.label(identifier) for identifier in batch.ids])
    if seal:
        writer.close()
    else:
        _LIVE.append(writer)
    (path,) = set(tables.segments.glob("*")) - before
    return path


_LIVE: list[object] = []
"""Writers that tests leave open, kept so that their locks stay held."""


def _rows(tables: LogTables) -> list[str]:
    ids: list[str] = tables.rows(builders.START - DAY, builders.START + DAY)["id"].to_pylist()
    return ids


def _label_rows(tables: LogTables) -> int:
    labelled = tables.rows(builders.START - DAY, builders.START + DAY, labels=True)["label"]
    return len(labelled) - int(labelled.null_count)


def test_folded_rows_are_what_was_answered(tables: LogTables, folder: Folder) -> None:
    batch = builders.batch(2)
    path = _append(tables, batch)
    status = folder.fold()
    rows = tables.rows(builders.START - DAY, builders.START + DAY).to_pylist()
    assert [row["id"] for row in rows] == sorted(batch.ids)
    first = next(row for row in rows if row["id"] == batch.ids[0])
    assert (first["request_id"], first["version"], first["feature_a"]) == (batch.request_id, 1, 0.0)
    assert (first["prediction"], first["probability_yes"], first["latency_us"]) == ("yes", 0.75, 900)
    assert (status.folded_rows, status.pending_segments, path.exists()) == (2, 0, False)


def test_nothing_to_fold_is_harmless(tables: LogTables, folder: Folder) -> None:
    assert folder.fold().folded_rows == 0
    assert _rows(tables) == []


def _nothing_more(tables: LogTables) -> None:
    """Killed after both commits, before the segment was deleted."""


def _lose_labels(tables: LogTables) -> None:
    """Killed between the two commits."""
    shutil.rmtree(tables.folder / "labels")


def _lose_both(tables: LogTables) -> None:
    """Killed before the first commit."""
    shutil.rmtree(tables.folder / "labels")
    shutil.rmtree(tables.folder / "predictions")


@pytest.mark.parametrize("undo", [_nothing_more, _lose_labels, _lose_both])
def test_a_folder_killed_before_it_deleted_the_segment_changes_nothing(
    tables: LogTables, folder: Folder, clock: ManualClock, undo: Callable[[LogTables], None]
) -> None:
    batch = builders.batch(3)
    path = _append(tables, batch, labels=True)
    segment = path.read_bytes()
    folder.fold()
    undo(tables)
    path.write_bytes(segment)
    Folder(tables, clock).fold()
    assert _rows(tables) == sorted(batch.ids)
    assert _label_rows(tables) == 3
    assert not path.exists()


def test_the_check_sees_a_segment_that_was_folded_twice(tables: LogTables, folder: Folder) -> None:
    path = _append(tables, builders.batch(3))
    segment = path.read_bytes()
    folder.fold()
    path.with_name(f"{uuid7()}.{1:010d}.seg").write_bytes(segment)  # a folder that does not know the writer again
    folder.fold()
    assert len(_rows(tables)) == 6


def test_a_later_segment_of_the_same_writer_is_not_taken_for_an_earlier_one(tables: LogTables, folder: Folder) -> None:
    writer = builders.writer(tables.segments)
    for _ in range(3):
        writer.append_predictions(builders.batch(), builders.schema())
        writer.close()
        folder.fold()
    assert len(_rows(tables)) == 3


def test_a_segment_whose_sealing_failed_is_not_passed_over(tables: LogTables, folder: Folder) -> None:
    writer = builders.writer(tables.segments)
    for _ in range(2):
        writer.append_predictions(builders.batch(), builders.schema())
        writer.close()
    first = min(tables.segments.iterdir())
    unsealed = first.rename(first.with_suffix(".open"))
    with unsealed.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert folder.fold().pending_segments == 2
    folder.fold()
    assert len(_rows(tables)) == 2


def test_what_is_no_segment_is_left_alone(tables: LogTables, folder: Folder) -> None:
    strange = _append(tables, builders.batch()).with_name("copy of a segment.seg")
    strange.write_bytes(b"evenkeel-segment")
    status = folder.fold()
    assert (status.folded_rows, status.pending_segments, strange.exists()) == (1, 0, True)


def test_an_open_segment_is_left_to_its_living_writer(tables: LogTables, folder: Folder) -> None:
    path = _append(tables, builders.batch(), seal=False)
    status = folder.fold()
    assert (status.folded_rows, status.pending_segments, path.exists()) == (0, 1, True)


def test_an_open_segment_of_a_dead_writer_is_adopted_without_its_torn_end(tables: LogTables, folder: Folder) -> None:
    batch = builders.batch(2)
    path = _append(tables, batch)
    orphan = path.rename(path.with_suffix(".open"))
    with orphan.open("ab") as file:
        file.write(b"\x99\x00\x00\x00half a frame")
    status = folder.fold()
    assert _rows(tables) == sorted(batch.ids)
    assert (status.truncated_bytes, status.quarantined_segments, status.pending_segments) == (16, 0, 0)


@pytest.mark.parametrize("content", [b"", b"even", b"evenkeel-segment-3\n\x05\x00"])
def test_a_dead_writer_that_wrote_nothing_whole_leaves_nothing(
    tables: LogTables, folder: Folder, content: bytes
) -> None:
    tables.segments.mkdir(parents=True)
    (tables.segments / f"{uuid7()}.{1:010d}.open").write_bytes(content)
    status = folder.fold()
    assert (status.pending_segments, status.quarantined_segments) == (0, 0)


@pytest.mark.parametrize("frame", ["schema", "predictions"])
def test_corruption_is_quarantined_and_the_rest_is_folded(tables: LogTables, folder: Folder, frame: str) -> None:
    damaged, sound = builders.batch(), builders.batch()
    path = _append(tables, damaged, labels=True)
    other = _append(tables, sound)
    content = bytearray(path.read_bytes())
    content[content.index(b'"kinds"' if frame == "schema" else damaged.ids[0].encode())] ^= 1
    path.write_bytes(content)
    status = folder.fold()
    assert _rows(tables) == sound.ids
    assert status.quarantined_segments >= 1
    assert [kept.name for kept in tables.quarantine.iterdir()] == [path.name]
    assert not other.exists()


class Refusing(LogTable):
    """A table that cannot take rows of one request, for a reason no retry will mend."""

    def __init__(self, inner: LogTable, request_id: str) -> None:
        super().__init__(inner.name, inner.storage, inner.keys)
        self._request_id = request_id

    def append(self, rows: pa.Table | Sequence[pa.Table], transactions: Mapping[str, int]) -> list[DataFile]:
        if any(self._request_id in part["request_id"].to_pylist() for part in rows):
            raise ValueError("no row of this request")
        return super().append(rows, transactions)


def test_a_segment_the_table_cannot_take_is_put_aside_and_holds_nobody_up(tables: LogTables, folder: Folder) -> None:
    refused, sound = builders.batch(), builders.batch()
    poison = _append(tables, refused)
    _append(tables, sound)
    tables.predictions = Refusing(tables.predictions, refused.request_id)
    statuses = [folder.fold() for _ in range(MOST_FAILURES)]
    assert _rows(tables) == sound.ids
    assert [status.pending_segments for status in statuses] == [1, 1, 0]
    assert [kept.name for kept in tables.quarantine.iterdir()] == [poison.name]


def test_the_watermark_is_not_ahead_of_what_is_still_open(
    tables: LogTables, folder: Folder, clock: ManualClock
) -> None:
    opened = clock.now()
    _append(tables, builders.batch(), seal=False)
    clock.advance(60)
    assert folder.fold().watermark <= opened


def test_the_watermark_follows_the_clock_when_all_is_folded(
    tables: LogTables, folder: Folder, clock: ManualClock
) -> None:
    _append(tables, builders.batch())
    clock.advance(60)
    assert clock.now() - folder.fold().watermark <= 2_000_000


def test_versions_with_other_columns_share_the_table(tables: LogTables, folder: Folder) -> None:
    writer = builders.writer(tables.segments)
    kinds = {"a": "numeric", "town": "categorical", "new": "boolean"}
    writer.append_predictions(builders.batch(), builders.schema())
    columns = {"a": [1.0], "town": [None], "new": [True]}
    writer.append_predictions(builders.batch(version=2, columns=columns), builders.schema(2, kinds=kinds))
    writer.close()
    folder.fold()
    rows = tables.rows(builders.START - DAY, builders.START + DAY).to_pylist()
    assert {(row["version"], row["feature_new"]) for row in rows} == {(1, None), (2, True)}


class Altering(LogTable):
    """A table whose files do not hold what was written: a disk or a memory that lies."""

    def append(self, rows: pa.Table | Sequence[pa.Table], transactions: Mapping[str, int]) -> list[DataFile]:
        changed = [
            part.set_column(part.schema.get_field_index("latency_us"), "latency_us", pc.add(part["latency_us"], 1))
            for part in rows
        ]
        return super().append(changed, transactions)


class Losing(LogTable):
    """A table that takes a row less than it was given."""

    def append(self, rows: pa.Table | Sequence[pa.Table], transactions: Mapping[str, int]) -> list[DataFile]:
        return super().append([part.slice(1) for part in rows], transactions)


@pytest.mark.parametrize("wrong", [Altering, Losing])
def test_a_segment_is_kept_when_the_table_does_not_hold_what_was_written(
    tables: LogTables, folder: Folder, wrong: type[LogTable]
) -> None:
    path = _append(tables, builders.batch(3))
    segment = path.read_bytes()
    inner = tables.predictions
    tables.predictions = wrong(inner.name, inner.storage, inner.keys)
    assert folder.fold().quarantined_segments == 1
    assert (tables.quarantine / path.name).read_bytes() == segment


class Away(LogTable):
    """A table whose store cannot be reached."""

    def transaction(self, *_: Any) -> Any:
        raise StoreUnavailable("the store is away")

    def transactions(self, *_: Any) -> Any:
        raise StoreUnavailable("the store is away")

    def row_count(self) -> int:
        raise StoreUnavailable("the store is away")


class Unlisted(LogTable):
    """A table that takes rows and cannot be looked through."""

    def files(self, *_: Any) -> Any:
        raise StoreUnavailable("a file of labels is damaged")


def test_while_the_store_is_away_the_backlog_is_told_and_nothing_is_lost(
    tables: LogTables, folder: Folder, clock: ManualClock
) -> None:
    _append(tables, builders.batch(3))
    folder.fold()
    opened = clock.now()
    _append(tables, builders.batch(2))
    sound, tables.predictions = tables.predictions, Away("predictions", tables.predictions.storage, ("at", "id"))
    clock.advance(60)
    status = folder.fold()
    assert (status.pending_segments, status.folded_rows, status.watermark <= opened) == (1, 3, True)
    assert status.problem
    assert "the store is away" in status.problem
    again = Folder(tables, clock, before=status).fold()
    assert (again.pending_segments, again.folded_rows) == (1, 3)
    tables.predictions = sound
    status = folder.fold()
    assert (status.pending_segments, status.folded_rows, status.problem) == (0, 5, None)


def test_labels_that_cannot_be_settled_hold_up_no_rows_and_no_status(tables: LogTables, folder: Folder) -> None:
    batch = builders.batch()
    _append(tables, batch)
    tables.parked = Unlisted("parked", tables.parked.storage, tables.parked.keys)
    status = folder.fold()
    assert (status.pending_segments, _rows(tables)) == (0, batch.ids)
    assert status.problem == "a file of labels is damaged"


@pytest.mark.parametrize("suffix", [".open", ".10.seg"])
def test_what_cannot_be_read_holds_up_its_own_writer_alone_and_not_for_long(
    tables: LogTables, folder: Folder, suffix: str
) -> None:
    batch = builders.batch()
    _append(tables, batch)
    strange = tables.segments / f"{uuid7()}.{1:010d}{suffix}"
    strange.mkdir()
    status = folder.fold()
    assert _rows(tables) == batch.ids
    assert (status.pending_segments, strange.name in str(status.problem)) == (1, True)
    for _ in range(MOST_FAILURES):
        status = folder.fold()
    assert status.quarantined_segments == (suffix != ".open")


class Unreadable(LogTable):
    """A table whose files cannot be read, as when their pages are damaged."""

    def scan(self, *arguments: Any) -> Any:
        raise StoreUnavailable("a page is damaged")


def test_a_segment_whose_rows_cannot_be_read_back_is_kept_and_holds_nobody_up(
    tables: LogTables, folder: Folder
) -> None:
    path = _append(tables, builders.batch(3))
    sound = tables.predictions
    tables.predictions = Unreadable(sound.name, sound.storage, sound.keys)
    for _ in range(MOST_FAILURES - 1):
        assert folder.fold().problem == "a page is damaged"
        assert path.exists()
    assert folder.fold().quarantined_segments == 1
    tables.predictions = sound
    later = builders.batch()
    _append(tables, later)
    assert folder.fold().pending_segments == 0
    assert sound.row_count() == 4


def test_a_segment_an_earlier_folder_committed_is_deleted_only_if_its_rows_are_there(
    tables: LogTables, folder: Folder
) -> None:
    path = _append(tables, builders.batch(3))
    segment = path.read_bytes()
    folder.fold()
    tables.predictions.replace(tables.predictions.files(), ())
    path.write_bytes(segment)
    assert folder.fold().quarantined_segments == 1


def test_damage_is_counted_frame_by_frame_and_the_count_goes_on_in_the_next_folder(
    tables: LogTables, folder: Folder, clock: ManualClock
) -> None:
    batches = [builders.batch() for _ in range(4)]
    path = _append(tables, *batches)
    content = bytearray(path.read_bytes())
    for batch in batches[1:3]:
        content[content.index(batch.ids[0].encode())] ^= 1
    path.write_bytes(content)
    status = folder.fold()
    assert (status.corrupt_frames, status.quarantined_segments) == (2, 1)
    assert _rows(tables) == sorted([*batches[0].ids, *batches[3].ids])
    assert Folder(tables, clock, before=status).fold().corrupt_frames == 2


def test_a_record_that_is_no_row_of_its_schema_costs_itself_alone(tables: LogTables, folder: Folder) -> None:
    sound, wrong = builders.batch(), builders.batch(columns={"a": ["no number"], "town": ["Ghent"]})
    _append(tables, sound, wrong, builders.batch(columns={"a": [1.0, 2.0], "town": ["Ghent"]}))
    status = folder.fold()
    assert _rows(tables) == sound.ids
    assert (status.corrupt_frames, status.quarantined_segments) == (2, 1)


def test_a_folder_that_lost_its_lease_commits_nothing(tables: LogTables, clock: ManualClock) -> None:
    path = _append(tables, builders.batch())
    with pytest.raises(Conflict, match="held elsewhere"):
        Folder(tables, clock, held=lambda: False).fold()
    assert (tables.row_count(), path.exists()) == (0, True)


class Hurried(ManualClock):
    """Each look at it takes two seconds."""

    def now(self) -> int:
        self.advance(2)
        return super().now()


def test_a_long_backlog_is_folded_in_rounds_that_each_report(tables: LogTables) -> None:
    numbers = np.arange(30_000, dtype=float)
    columns = {"a": numbers, "town": [None] * len(numbers)}
    for _ in range(8):
        _append(tables, builders.batch(len(numbers), columns=columns))
    folder = Folder(tables, Hurried())
    first = folder.fold()
    assert (first.folded_rows, first.pending_segments, folder.behind) == (210_000, 1, True)
    second = folder.fold()
    assert (second.folded_rows, second.pending_segments, folder.behind) == (240_000, 0, False)


def test_compaction_keeps_every_row(tables: LogTables, folder: Folder, clock: ManualClock) -> None:
    ids = []
    for _ in range(12):
        batch = builders.batch()
        ids += batch.ids
        _append(tables, batch)
        folder.fold()
        tidy(tables, clock, FeatureLogSection(compact_files=4))
    assert _rows(tables) == sorted(ids)
    assert len(tables.predictions.files()) < 8
