"""A replay sends a file's rows once and in order, each label after its answer, and says how well they were answered."""

import threading
import time
from typing import Any

import pandas as pd
import pytest

from evenkeel.replay import Replay, ReplayResult, VersionTally
from lifecycle.contract import Column
from lifecycle.errors import InputRejected
from tests.builders import numeric_contract
from tests.unit.evenkeel.making import MemoryService

FAST = 1e6


def ignore(_: ReplayResult) -> None:
    """Nobody watches."""


def source(rows: int, **columns: Any) -> pd.DataFrame:
    """Rows as `read_source` gives them, with the target 1 above `a` + `b`."""
    frame = {"a": range(rows), "b": [0.5] * rows, "target": [index + 1.5 for index in range(rows)]}
    return pd.DataFrame(frame | columns).astype(str)


def service(task: str = "regression") -> MemoryService:
    return MemoryService(numeric_contract(task))


def replay(
    there: MemoryService, stop: threading.Event | None = None, *, rate: float = FAST, delay: float = 0, batch: int = 1
) -> Replay:
    stop = stop or threading.Event()
    return Replay(there.client(stop), stop, rate=rate, delay=delay, batch=batch)


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_every_row_is_sent_once_in_order_and_labelled_with_its_own_label(batch: int) -> None:
    there = service()
    result = replay(there, batch=batch).run(source(10), ignore)
    assert [row["a"] for row in there.rows] == list(range(10))
    assert there.labels == [{"id": f"id {index}", "label": index + 1.5} for index in range(10)]
    assert max(there.batches) == min(batch, 10)
    assert (result.rows, result.labels, result.failed) == (10, 10, 0)
    assert result.requests == len(there.requests)


def test_the_loss_is_told_by_the_version_that_answered() -> None:
    there = service()

    def promoted(result: ReplayResult) -> None:
        there.version = 2 if result.rows >= 4 else 1

    result = replay(there).run(source(10), promoted)
    assert result.by_version == {1: VersionTally(4, 4.0), 2: VersionTally(6, 6.0)}
    assert (result.metric, result.loss) == ("mae", 1.0)
    assert result.describe()["by_version"][1]["rows"] == 4


def test_classes_are_counted_as_wrong_or_right() -> None:
    labels = pd.Series(["yes", "no", "yes", None], dtype=object)
    result = replay(service("binary")).run(source(4).assign(target=labels), ignore)
    assert (result.rows, result.labels, result.metric) == (4, 3, "error_rate")
    assert result.loss == pytest.approx(1 / 3)


def test_a_file_without_labels_is_replayed_without() -> None:
    there = service()
    result = replay(there).run(source(5).drop(columns="target"), ignore)
    assert (result.rows, result.labels, result.loss, there.labels) == (5, 0, None, [])


def test_no_label_is_sent_before_its_time() -> None:
    there = service()
    assert replay(there, delay=0.2).run(source(3), ignore).labels == 3
    waited = [there.labelled_at[name] - moment for name, moment in there.answered_at.items()]
    assert len(waited) == 3
    assert min(waited) >= 0.2


def test_rows_keep_the_pace() -> None:
    began = time.monotonic()
    replay(service(), rate=50).run(source(6), ignore)
    assert time.monotonic() - began >= 0.1


def test_a_stop_ends_it_with_what_was_done() -> None:
    stop = threading.Event()

    def interrupt(result: ReplayResult) -> None:
        if result.rows == 3:
            stop.set()

    there = service()
    result = replay(there, stop, delay=60).run(source(10), interrupt)
    assert (result.rows, result.labels, len(there.rows)) == (3, 0, 3)


def test_a_file_that_lacks_a_column_is_refused_before_anything_is_sent() -> None:
    there = service()
    with pytest.raises(InputRejected, match="the file lacks 'b', which the model needs; it has 'a', 'target'"):
        replay(there).run(source(3).drop(columns="b"), ignore)
    assert there.requests == ["GET /model"]


def test_a_column_that_may_be_missing_may_be_missing_everywhere() -> None:
    columns = (*numeric_contract().columns, Column(name="c", kind="numeric", nullable=True))
    there = MemoryService(numeric_contract("regression").model_copy(update={"columns": columns}))
    assert replay(there).run(source(2), ignore).rows == 2
