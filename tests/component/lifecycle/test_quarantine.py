"""Segments that were put aside: a subject's rows leave them, everybody else's stay as they were."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lifecycle.clock import ManualClock
from lifecycle.feature_log import quarantine
from lifecycle.feature_log.files import LocalFiles
from lifecycle.feature_log.frames import SegmentContents, read_segment
from lifecycle.ids import uuid7
from lifecycle.records import Label, PredictionBatch
from tests import builders

ANNA, BERT = "p_" + "a" * 32, "p_" + "b" * 32
FILES = LocalFiles()
NOTHING = {"quarantined_rows": 0, "quarantined_labels": 0, "quarantined_damage": 0}


def _segment(
    folder: Path, batches: Sequence[PredictionBatch], labels: Sequence[Label] = (), at: int = builders.START
) -> Path:
    before = set(FILES.names(folder))
    writer = builders.writer(folder, ManualClock(at))
    for batch in batches:
        writer.append_predictions(batch, builders.schema())
    if labels:
        writer.append_labels(list(labels))
    writer.close()
    (name,) = set(FILES.names(folder)) - before
    return folder / name


def _read(path: Path) -> SegmentContents:
    return read_segment(path.read_bytes(), sealed=True)


def test_rows_and_labels_of_the_subject_go_and_the_others_stay(tmp_path: Path) -> None:
    mixed = builders.batch(
        3,
        subjects=[BERT, ANNA, None],
        external_ids=["b-1", "a-1", None],
        columns={"a": np.array([1.0, 2.0, np.nan]), "town": ["Ghent", "Turin", None]},
    )
    hers, other = builders.batch(1, subjects=[ANNA]), builders.batch(2)
    labels = [
        builders.label(mixed.ids[0]),
        builders.label(hers.ids[0]),
        Label(None, "yes", 1, 1, external_id="a-1"),
        Label(None, "no", 1, 1, external_id="b-1"),
    ]
    path = _segment(tmp_path, [mixed, hers, other], labels)
    found = list(quarantine.rows_about(tmp_path, ANNA, FILES))
    assert [batch.ids for batch in found] == [[mixed.ids[1]], hers.ids]
    gone = quarantine.forget(tmp_path, ANNA, {mixed.ids[1], *hers.ids}, {"a-1"}, FILES)
    assert gone == {"quarantined_rows": 2, "quarantined_labels": 2, "quarantined_damage": 0}
    contents = _read(path)
    assert contents.corrupt_frames == contents.torn_bytes == 0
    assert [batch.ids for batch in contents.predictions] == [[mixed.ids[0], mixed.ids[2]], other.ids]
    kept = contents.predictions[0]
    assert kept.columns == {"a": [1.0, None], "town": ["Ghent", None]}
    assert (kept.subjects, kept.external_ids) == ([BERT, None], ["b-1", None])
    assert contents.labels == [labels[0], labels[3]]
    assert ANNA.encode() not in path.read_bytes()


def test_damage_goes_too_since_nobody_can_say_whom_it_is_about(tmp_path: Path) -> None:
    first, second = builders.batch(1, subjects=[ANNA]), builders.batch(1, subjects=[BERT])
    path = _segment(tmp_path, [first, second])
    damaged = path.read_bytes().replace(b'"houses"', b'"Houses"', 1)
    path.write_bytes(damaged)
    assert _read(path).corrupt_frames == 1
    assert list(quarantine.rows_about(tmp_path, ANNA, FILES)) == []
    assert quarantine.forget(tmp_path, ANNA, set(), set(), FILES) == NOTHING | {"quarantined_damage": 1}
    assert [batch.ids for batch in _read(path).predictions] == [second.ids]
    assert ANNA.encode() not in path.read_bytes()


def test_a_segment_without_anything_left_is_removed(tmp_path: Path) -> None:
    path = _segment(tmp_path, [builders.batch(2, subjects=[ANNA, ANNA])])
    unreadable = tmp_path / f"{uuid7()}.0000000001.seg"
    unreadable.write_bytes(b"nothing of ours")
    quarantine.forget(tmp_path, ANNA, set(), set(), FILES)
    assert not path.exists()
    assert not unreadable.exists()


def test_what_is_nobody_elses_business_is_not_written_again(tmp_path: Path) -> None:
    path = _segment(tmp_path, [builders.batch(2, subjects=[BERT, None]), builders.batch()])
    before = path.stat().st_ino
    assert quarantine.forget(tmp_path, ANNA, set(), set(), FILES) == NOTHING
    assert path.stat().st_ino == before


def test_only_segments_with_nothing_newer_are_dropped(tmp_path: Path) -> None:
    day = 86_400_000_000
    old = _segment(tmp_path, [builders.batch()])
    long = _segment(tmp_path, [builders.batch(), builders.batch(at=builders.START + day)])
    labelled = _segment(tmp_path, [builders.batch()], [builders.label(uuid7(), received_at=builders.START + day)])
    unreadable = tmp_path / f"{uuid7(builders.START // 1000)}.0000000001.seg"
    unreadable.write_bytes(b"nothing of ours")
    (tmp_path / "notes.txt").write_text("not a segment")
    assert quarantine.drop_before(tmp_path, builders.START + 1_000, FILES) == 2
    assert not old.exists()
    assert not unreadable.exists()
    assert FILES.names(tmp_path) == sorted([long.name, labelled.name, "notes.txt"])


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert quarantine.forget(tmp_path / "gone", ANNA, set(), set(), FILES) == NOTHING
    assert quarantine.drop_before(tmp_path / "gone", builders.START, FILES) == 0
