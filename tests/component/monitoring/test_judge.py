"""One window, end to end, over a real log: what is compared with what, what is left out, and what is said."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lifecycle import versions
from lifecycle.clock import ManualClock
from lifecycle.config import Config
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.table import LogTables
from lifecycle.ids import uuid7
from lifecycle.ledger.sql import SqlLedger
from lifecycle.model_store import LocalModelStore
from lifecycle.records import Label, LogSchema, Verdict
from lifecycle.versions import LABEL
from monitoring.judge import Judge
from monitoring.opening import open_judge
from monitoring.verdicts import NOT_FOLDED
from monitoring.windows import Window
from tests import builders

HOUR = 3_600_000_000
START = builders.START // HOUR * HOUR
SCHEMA = {"a": "numeric", "b": "numeric"}


class World:
    """A regression that answers 2a + 2b; its log can be written in any hour."""

    def __init__(self, folder: Path, ledger: SqlLedger) -> None:
        self.clock = ManualClock(START)
        self.ledger = ledger
        self.store = LocalModelStore(folder / "models")
        self.tables = LogTables(folder / "log")
        candidate = builders.candidate("regression", rows=2_000)
        held = self._rows(500, 99, 0.0)
        held[LABEL] = 2 * held["a"] + 2 * held["b"] + np.random.default_rng(5).normal(0, 0.5, 500)
        measured = {"loss": 0.4, "trivial_loss": 2.2}
        for _ in range(2):
            versions.register(
                replace(candidate, holdout=held, metrics=measured), self.store, ledger, self.clock, "skops"
            )

    def judge(self, **settings: Any) -> Judge:
        config = Config.model_validate({"model": {"name": "m"}, "monitoring": settings})
        return open_judge(self.ledger, self.store, self.tables, self.clock, config)

    def answer(
        self, hour: int, count: int = 300, shift: float = 0.0, *, version: int = 1, seed: int | None = None
    ) -> list[str]:
        """Rows answered in the `hour`-th hour; returns their ids."""
        columns = self._rows(count, hour if seed is None else seed, shift)
        at = [START + hour * HOUR + place * (HOUR // count) for place in range(count)]
        ids = [uuid7(moment // 1000) for moment in at]
        writer = builders.writer(self.tables.segments, self.clock)
        for place in range(count):
            batch = builders.batch(
                at=at[place],
                ids=[ids[place]],
                version=version,
                columns={name: [columns[name].iloc[place]] for name in SCHEMA},
                predictions=[2 * columns["a"].iloc[place] + 2 * columns["b"].iloc[place]],
                probabilities={},
            )
            writer.append_predictions(batch, LogSchema(version, SCHEMA, ()))
        writer.close()
        self._fold()
        return ids

    def label(self, ids: list[str], value: float) -> None:
        writer = builders.writer(self.tables.segments, self.clock)
        writer.append_labels([Label(identifier, value, START, START + HOUR) for identifier in ids])
        writer.close()
        self._fold()

    def _fold(self) -> None:
        self.clock.advance(1)
        Folder(self.tables, self.clock).fold()

    def _rows(self, count: int, seed: int, shift: float) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        return pd.DataFrame({name: random.normal(shift if name == "a" else 0.0, 1.0, count) for name in SCHEMA})


@pytest.fixture
def world(tmp_path: Path, ledger: SqlLedger) -> World:
    return World(tmp_path, ledger)


def hour(number: int, *, complete: bool = True) -> Window:
    return Window(START + number * HOUR, START + (number + 1) * HOUR, complete)


def judged(judge: Judge, *numbers: int) -> list[Verdict]:
    """The verdicts on these hours, each knowing those before it; newest first."""
    history: list[Verdict] = []
    for number in numbers:
        history.insert(0, judge.judge(hour(number), history))
    return history


def test_a_quiet_window_is_ok_and_says_what_it_was_compared_with(world: World) -> None:
    world.answer(0)
    verdict = world.judge().judge(hour(0), [])
    assert (verdict.state, verdict.rows, verdict.version) == ("ok", 300, 1)
    assert verdict.reference == "the 2000 training rows of version 1"
    assert {score.column for score in verdict.scores} == {"a", "b", "prediction", "joint"}
    assert verdict.impact == 0


def test_a_shift_is_a_warning_then_drift_and_names_what_moved(world: World) -> None:
    for number in range(3):
        world.answer(number, shift=0.0 if number == 0 else 0.6)
    newest, second, first = judged(world.judge(), 0, 1, 2)
    assert [first.state, second.state, newest.state] == ["ok", "warning", "drift"]
    assert {score.column for score in newest.scores if score.drifted} == {"a", "prediction"}
    assert "2 windows in a row" in newest.reasons[0]
    assert newest.impact == pytest.approx(0.5, abs=0.1)


def test_answers_are_compared_with_rows_the_version_was_not_trained_on(world: World) -> None:
    world.answer(0)
    judge = world.judge()
    (prediction,) = (score for score in judge.judge(hour(0), []).scores if score.about == "prediction")
    whole = judge.judge(hour(0), []).scores
    assert prediction.threshold > next(score.threshold for score in whole if score.column == "a")  # 500 against 2,000


def test_rows_of_another_version_are_left_out_and_counted(world: World) -> None:
    world.answer(0)
    world.answer(0, 120, shift=3.0, version=2, seed=7)
    verdict = world.judge().judge(hour(0), [])
    assert (verdict.state, verdict.rows, verdict.version) == ("ok", 420, 1)
    assert "120 rows were answered by other versions than 1 and are left out" in verdict.reasons


def test_no_traffic_few_rows_and_an_unfolded_log_are_verdicts(world: World) -> None:
    judge = world.judge()
    assert judge.judge(hour(0), []).state == "no_traffic"
    unfolded = judge.judge(hour(0, complete=False), [])
    assert (unfolded.state, unfolded.reasons[0]) == ("insufficient_data", NOT_FOLDED)
    world.answer(1, 30)
    assert judge.judge(hour(1), []).state == "insufficient_data"


def test_a_version_that_is_not_known_leaves_a_sentence(world: World) -> None:
    world.answer(0, version=9)
    verdict = world.judge().judge(hour(0), [])
    assert verdict.state == "insufficient_data"
    assert "version 9 answered but is not in the ledger" in verdict.reasons[0]


def test_labels_that_come_late_change_the_verdict_and_nothing_else_does(world: World) -> None:
    ids = world.answer(0)
    judge = world.judge()
    first = judge.judge(hour(0), [])
    assert judge.relabel(first, []) is None
    world.label(ids, 50.0)
    again = judge.relabel(first, [])
    assert again is not None
    assert (first.state, again.state) == ("ok", "performance")
    assert again.performance is not None
    assert (again.performance.rows, again.performance.coverage) == (300, 1.0)
    assert [score for score in again.scores if score.about != "label"] == list(first.scores)


def test_the_previous_sound_window_can_be_the_reference(world: World) -> None:
    for number, shift in enumerate([0.0, 1.0, 1.0, 1.0]):
        world.answer(number, shift=shift, seed=number % 2)
    history = judged(world.judge(reference="previous"), 0, 1, 2, 3)
    assert [verdict.state for verdict in history[::-1]] == ["ok", "warning", "drift", "ok"], "the jump is over"
    assert "previous window" in str(history[0].reference)
    assert "training rows" in str(history[3].reference)


def test_rows_that_are_gone_take_nothing_back_of_what_was_said(world: World) -> None:
    world.label(world.answer(0)[:200], 1.0)
    judge = world.judge()
    verdict = judge.judge(hour(0), [])
    assert judge.relabel(replace(verdict, rows=301, performance=None), []) is None
    assert judge.relabel(replace(verdict, performance=None), []) is not None


def test_a_name_in_the_configuration_that_no_column_has_is_told(world: World) -> None:
    world.answer(0)
    verdict = world.judge(thresholds={"aa": 0.5}).judge(hour(0), [])
    assert any("names 'aa', which is no column that is scored" in reason for reason in verdict.reasons)
