"""FeatureLog: what was appended is kept as it was given, in order; what failed is not kept at all."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from lifecycle.clock import ManualClock
from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log.frames import read_segment
from lifecycle.feature_log.memory import MemoryFeatureLog
from lifecycle.feature_log.writer import Durability, SegmentWriter
from lifecycle.ports import FeatureLog
from lifecycle.records import Label, LogSchema, PredictionBatch
from tests import builders

Kept = tuple[list[PredictionBatch], list[Label], dict[int, LogSchema]]
PATIENCE = 10


def _nothing() -> None:
    """Needs no push."""


@dataclass
class Case:
    """An implementation, how to read what it kept, how to make it fail and work again, and what makes it go on."""

    log: FeatureLog
    kept: Callable[[], Kept]
    break_it: Callable[[], object]
    mend_it: Callable[[], object]
    push: Callable[[], object] = _nothing

    def done(self, future: Future[None] | None) -> None:
        """Returns when what was appended is as durable as it is to be, or raises."""
        self.push()
        if future:
            future.result(PATIENCE)


def _segments(durability: Durability, folder: Path) -> Case:
    def kept() -> Kept:
        contents = [read_segment(path.read_bytes(), sealed=True) for path in sorted(folder.glob("*.seg"))]
        assert not any(segment.corrupt_frames for segment in contents)
        return (
            [batch for segment in contents for batch in segment.predictions],
            [label for segment in contents for label in segment.labels],
            {number: schema for segment in contents for number, schema in segment.schemas.items()},
        )

    log = SegmentWriter(folder, ManualClock(), seal_bytes=2**20, seal_seconds=60, durability=durability)
    return Case(log, kept, folder.touch, folder.unlink)


def _memory(syncing: bool, _folder: Path) -> Case:
    log = MemoryFeatureLog(syncing=syncing)
    return Case(
        log,
        lambda: (log.predictions, log.labels, log.schemas),
        lambda: setattr(log, "failing", True),
        lambda: setattr(log, "failing", False),
        log.synced,
    )


CASES = {
    "segments": partial(_segments, "process"),
    "segments on disk": partial(_segments, "disk"),
    "memory": partial(_memory, False),
    "memory as slow as a disk": partial(_memory, True),
}
QUEUED = {"segments behind a queue": partial(_segments, "memory")}


@pytest.fixture(params=CASES.values(), ids=[*CASES])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    made: Case = request.param(tmp_path / "segments")
    return made


@pytest.fixture(params=(CASES | QUEUED).values(), ids=[*CASES, *QUEUED])
def any_case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    made: Case = request.param(tmp_path / "segments")
    return made


def test_predictions_and_labels_are_kept_as_given_and_in_order(any_case: Case) -> None:
    batches = [
        builders.batch(1),
        builders.batch(3, external_ids=["A-1", None, "A-3"], subjects=["p_1", None, None], sampling_rate=0.25),
        builders.batch(2),
    ]
    labels = [builders.label(batches[0].ids[0]), Label(None, "no", 5, 6, "key", external_id="A-1")]
    for batch in batches:
        any_case.done(any_case.log.append_predictions(batch, builders.schema()))
    any_case.done(any_case.log.append_labels(labels))
    any_case.log.close()
    assert any_case.kept() == (batches, labels, {1: builders.schema()})


def test_each_version_brings_its_schema(any_case: Case) -> None:
    other = builders.schema(2, kinds={"a": "numeric", "town": "categorical", "new": "boolean"})
    columns = {"a": [1.0], "town": [None], "new": [True]}
    any_case.log.append_predictions(builders.batch(), builders.schema())
    any_case.log.append_predictions(builders.batch(version=2, columns=columns), other)
    any_case.log.close()
    assert any_case.kept()[2] == {1: builders.schema(), 2: other}


def test_what_failed_is_not_kept_and_the_next_append_works(case: Case) -> None:
    case.break_it()
    with pytest.raises(StoreUnavailable):
        case.done(case.log.append_predictions(builders.batch(), builders.schema()))
    with pytest.raises(StoreUnavailable):
        case.done(case.log.append_labels([builders.label(builders.batch().ids[0])]))
    case.mend_it()
    later = builders.batch()
    case.done(case.log.append_predictions(later, builders.schema()))
    case.log.close()
    assert case.kept()[0] == [later]
    assert case.kept()[1] == []


def test_closing_makes_everything_durable_that_was_appended(any_case: Case) -> None:
    futures = [any_case.log.append_predictions(builders.batch(), builders.schema()) for _ in range(5)]
    any_case.log.close()
    assert all(future is None or future.result(0) is None for future in futures)
    assert len(any_case.kept()[0]) == 5


def test_closing_twice_and_sealing_nothing_are_harmless(any_case: Case) -> None:
    any_case.log.seal_if_old()
    any_case.log.close()
    any_case.log.close()
    assert any_case.kept() == ([], [], {})
