"""The round over real tables, a real model store and an in-memory ledger; only the scorer and the clock are fakes."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lifecycle.clock import ManualClock
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.table import LogTables
from lifecycle.ledger.sql import SqlLedger
from lifecycle.model_store import LocalModelStore
from lifecycle.records import Label, LogSchema, Verdict
from monitoring.judge import NOT_FOLDED, Judge, References
from monitoring.stores import Amendments
from monitoring.watch import Watch
from monitoring.windows import Window
from tests import builders
from tests.unit.monitoring.making import MINUTE, START, DistanceOfMeans, config, states

NEVER = threading.Event()


@dataclass
class World:
    """A project with version 1 promoted, and traffic on demand."""

    folder: Path
    ledger: SqlLedger
    clock: ManualClock

    def __post_init__(self) -> None:
        self.clock.at = START
        self.tables = LogTables(self.folder / "log")
        self.store = LocalModelStore(self.folder / "models")
        self.settings = config(monitoring={"window_minutes": 1, "minimum_rows": 10, "minimum_labels": 10}).monitoring
        builders.registered(self.store, self.ledger, self.clock, "regression")
        self.ledger.flip(1, 0, "test", "first", self.clock.now())
        self.fold = Folder(self.tables, self.clock)
        self.writer = builders.writer(self.tables.segments, self.clock)

    def watch(self) -> Watch:
        """A monitor's watch, as after a start."""
        references = References(self.store, self.ledger)
        judge = Judge(self.tables, references, DistanceOfMeans(), self.clock, self.settings, 0)
        return Watch(self.ledger, Amendments(self.ledger), self.tables, judge, self.clock, self.settings)

    def traffic(self, rows: int = 30, shift: float = 0.0, seed: int = 0) -> list[str]:
        """One answered request now."""
        random = np.random.default_rng(seed)
        columns = {name: (random.normal(size=rows) + shift).tolist() for name in ("a", "b")}
        batch = builders.batch(
            rows,
            at=self.clock.now(),
            columns=columns,
            predictions=[2 * a + 2 * b for a, b in zip(columns["a"], columns["b"], strict=True)],
            probabilities={},
        )
        self.writer.append_predictions(batch, LogSchema(1, {"a": "numeric", "b": "numeric"}, ()))
        return batch.ids

    def label(self, ids: list[str], value: float = 100.0) -> None:
        now = self.clock.now()
        self.writer.append_labels([Label(identifier, value, now, now) for identifier in ids])

    def folded(self) -> None:
        self.writer.close()
        self.ledger.save_fold(self.fold.fold())

    def history(self) -> list[str]:
        return states(self.ledger.latest(1_000)[::-1])


@pytest.fixture
def world(tmp_path: Path, ledger: SqlLedger, clock: ManualClock) -> World:
    return World(tmp_path, ledger, clock)


def test_every_window_closes_traffic_or_not(world: World) -> None:
    watch = world.watch()
    for rows in (30, 0, 5):
        if rows:
            world.traffic(rows)
        world.clock.advance(60)
    world.clock.advance(3)
    world.folded()
    assert watch.close_due(NEVER) == 3
    assert world.history() == ["ok", "no_traffic", "insufficient_data"]
    assert watch.close_due(NEVER) == 0


def test_drift_is_a_warning_then_a_verdict(world: World) -> None:
    watch = world.watch()
    for shift in (0.0, 3.0, 3.0):
        world.traffic(shift=shift)
        world.clock.advance(60)
    world.clock.advance(3)
    world.folded()
    watch.close_due(NEVER)
    assert world.history() == ["ok", "warning", "drift"]


def test_a_restart_neither_skips_nor_repeats(world: World) -> None:
    for _ in range(4):
        world.clock.advance(60)
        world.folded()
        world.watch().close_due(NEVER)
    world.clock.advance(60 * 5 + 3)
    world.folded()
    world.watch().close_due(NEVER)
    bounds = [(item.start, item.end) for item in world.ledger.latest(100)[::-1]]
    assert len(bounds) == len(set(bounds))
    assert all(before[1] == after[0] for before, after in pairwise(bounds))
    assert bounds[0][0] == START + MINUTE, "the window in which the first of them started"
    assert bounds[-1][1] >= world.clock.now() - MINUTE


def test_a_watch_that_starts_late_begins_with_the_first_traffic(world: World) -> None:
    world.clock.advance(600)
    world.traffic()
    world.clock.advance(600)
    world.folded()
    world.watch().close_due(NEVER)
    assert world.ledger.latest(100)[-1].start == START + 10 * MINUTE


def test_a_window_judged_before_the_fold_says_so(world: World) -> None:
    watch = world.watch()
    world.traffic()
    world.clock.advance(120)
    watch.close_due(NEVER)
    verdict = world.ledger.latest(1)[0]
    assert (verdict.state, verdict.reasons[0]) == ("insufficient_data", NOT_FOLDED), "no_traffic would be untrue"


def test_labels_that_arrive_late_change_the_verdict(world: World) -> None:
    watch = world.watch()
    ids = world.traffic()
    world.clock.advance(63)
    world.folded()
    watch.close_due(NEVER)
    assert world.history() == ["ok"]
    world.label(ids[:20])
    world.clock.advance(1)
    world.folded()
    assert watch.relabel() == 1
    verdict = world.ledger.latest(1)[0]
    assert verdict.state == "performance"
    assert verdict.performance
    assert verdict.performance.coverage == pytest.approx(2 / 3)
    assert watch.relabel() == 0


def test_labels_reach_the_windows_they_belong_to_and_leave_the_others_alone(world: World) -> None:
    watch = world.watch()
    first = world.traffic()
    world.clock.advance(60)
    second = world.traffic()
    world.clock.advance(63)
    world.folded()
    watch.close_due(NEVER)
    world.label(first[:10])
    world.folded()
    watch.relabel()
    world.label(second[:15])
    world.folded()
    assert watch.relabel() == 1
    newest, oldest = world.ledger.latest(2)
    assert newest.performance
    assert oldest.performance
    assert (newest.performance.rows, oldest.performance.rows) == (15, 10)


def test_a_window_closed_after_its_labels_arrived_has_them(world: World) -> None:
    watch = world.watch()
    world.label(world.traffic())
    world.folded()
    watch.relabel()
    world.clock.advance(63)
    world.folded()
    watch.close_due(NEVER)
    assert world.history() == ["performance"]


def test_other_changes_to_a_verdict_survive_its_labels(world: World) -> None:
    watch = world.watch()
    ids = world.traffic()
    world.clock.advance(63)
    world.folded()
    watch.close_due(NEVER)
    Amendments(world.ledger).amend(START, report="1.html", retrain="no retrain: it rests")
    world.label(ids)
    world.folded()
    watch.relabel()
    verdict = world.ledger.latest(1)[0]
    assert (verdict.report, verdict.retrain) == ("1.html", "no retrain: it rests")


def test_a_reference_that_cannot_be_read_is_a_verdict_not_a_halt(world: World) -> None:
    watch = world.watch()
    world.traffic()
    (world.store.root / "000001" / "reference.parquet").chmod(0o600)
    (world.store.root / "000001" / "reference.parquet").write_bytes(b"damaged")
    world.clock.advance(63)
    world.folded()
    watch.close_due(NEVER)
    verdict = world.ledger.latest(1)[0]
    assert verdict.state == "insufficient_data"
    assert "could not be compared" in verdict.reasons[0]


def test_a_window_that_cannot_be_judged_closes_all_the_same_and_the_next_ones_come(world: World) -> None:
    class Failing(Judge):
        def judge(self, window: Window, earlier: Sequence[Verdict]) -> Verdict:
            if window.start == START:
                raise OverflowError("a moment that has no number")
            return super().judge(window, earlier)

    references = References(world.store, world.ledger)
    judge = Failing(world.tables, references, DistanceOfMeans(), world.clock, world.settings, 0)
    watch = Watch(world.ledger, Amendments(world.ledger), world.tables, judge, world.clock, world.settings)
    world.traffic()
    world.clock.advance(123)
    world.folded()
    watch.close_due(NEVER)
    assert world.history() == ["insufficient_data", "no_traffic"]
    assert "OverflowError" in world.ledger.latest(2)[1].reasons[0]


def test_a_stop_ends_the_round_between_windows(world: World) -> None:
    stop = threading.Event()
    stop.set()
    world.clock.advance(600)
    assert world.watch().close_due(stop) == 0


def test_before_a_first_promotion_there_is_nothing_to_watch(
    tmp_path: Path, ledger: SqlLedger, clock: ManualClock
) -> None:
    settings = config().monitoring
    tables = LogTables(tmp_path)
    judge = Judge(tables, References(LocalModelStore(tmp_path), ledger), DistanceOfMeans(), clock, settings, 0)
    clock.advance(100_000)
    assert Watch(ledger, Amendments(ledger), tables, judge, clock, settings).close_due(NEVER) == 0
