"""FeatureLog: what was appended is kept as it was given, in order; what failed is not kept at all."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log.frames import read_segment
from lifecycle.feature_log.memory import MemoryFeatureLog
from lifecycle.ports import FeatureLog
from lifecycle.records import Label, LogSchema, PredictionBatch
from tests import builders

Kept = tuple[list[PredictionBatch], list[Label], dict[int, LogSchema]]


@dataclass
class Case:
    """An implementation, how to read what it kept, and how to make it fail and work again."""

    log: FeatureLog
    kept: Callable[[], Kept]
    break_it: Callable[[], object]
    mend_it: Callable[[], object]


def _segments(folder: Path) -> Case:
    def kept() -> Kept:
        contents = [read_segment(path, sealed=True) for path in sorted(folder.glob("*.seg"))]
        assert not any(segment.corrupt_frames for segment in contents)
        return (
            [batch for segment in contents for batch in segment.predictions],
            [label for segment in contents for label in segment.labels],
            {number: schema for segment in contents for number, schema in segment.schemas.items()},
        )

    def mend() -> None:
        folder.unlink()

    return Case(builders.writer(folder), kept, folder.touch, mend)


def _memory(_folder: Path) -> Case:
    log = MemoryFeatureLog()
    return Case(
        log,
        lambda: (log.predictions, log.labels, log.schemas),
        lambda: setattr(log, "failing", True),
        lambda: setattr(log, "failing", False),
    )


@pytest.fixture(params=[_segments, _memory], ids=["segments", "memory"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    made: Case = request.param(tmp_path / "segments")
    return made


def test_predictions_and_labels_are_kept_as_given_and_in_order(case: Case) -> None:
    batches = [builders.batch(rows) for rows in (1, 3, 2)]
    labels = [builders.label(batches[0].ids[0]), builders.label(batches[1].ids[0], "no")]
    for batch in batches:
        case.log.append_predictions(batch, builders.schema())
    case.log.append_labels(labels)
    case.log.close()
    assert case.kept() == (batches, labels, {1: builders.schema()})


def test_each_version_brings_its_schema(case: Case) -> None:
    other = builders.schema(2, kinds={"a": "numeric", "town": "categorical", "new": "boolean"})
    columns = {"a": [1.0], "town": [None], "new": [True]}
    case.log.append_predictions(builders.batch(), builders.schema())
    case.log.append_predictions(builders.batch(version=2, columns=columns), other)
    case.log.close()
    assert case.kept()[2] == {1: builders.schema(), 2: other}


def test_what_failed_is_not_kept_and_the_next_append_works(case: Case) -> None:
    case.break_it()
    with pytest.raises(StoreUnavailable):
        case.log.append_predictions(builders.batch(), builders.schema())
    with pytest.raises(StoreUnavailable):
        case.log.append_labels([builders.label(builders.batch().ids[0])])
    case.mend_it()
    later = builders.batch()
    case.log.append_predictions(later, builders.schema())
    case.log.close()
    assert case.kept()[0] == [later]
    assert case.kept()[1] == []


def test_closing_twice_and_sealing_nothing_are_harmless(case: Case) -> None:
    case.log.seal_if_old()
    case.log.close()
    case.log.close()
    assert case.kept() == ([], [], {})
