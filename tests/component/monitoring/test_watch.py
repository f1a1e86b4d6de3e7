"""The watch's rounds over the ledger: which windows it closes, and which it looks at again."""

import threading
from itertools import pairwise
from pathlib import Path

import pytest

from lifecycle.clock import ManualClock
from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.table import LogTables
from lifecycle.ledger.sql import SqlLedger
from monitoring.arrivals import LogMoments
from monitoring.stores import Amendments
from monitoring.watch import PASSED_OVER, WENT_BACK, Watch
from monitoring.windows import MOST_DUE
from tests import builders
from tests.component.monitoring.watching import GO_ON, MINUTE, SECOND, START, Counting, Log, World, settings


@pytest.fixture
def world(ledger: SqlLedger, clock: ManualClock) -> World:
    return World(ledger, clock, settings())


def states(world: World) -> list[str]:
    return [verdict.state for verdict in world.ledger.latest(1_000)[::-1]]


def test_every_window_closes_traffic_or_not(world: World) -> None:
    world.rows(0.5, 2.5)
    assert world.at(3).round() == 3
    assert world.windows() == [(0, 1, 1), (1, 2, 0), (2, 3, 1)]
    assert states(world) == ["ok", "no_traffic", "ok"]
    assert world.round() == 0


def test_a_watch_that_starts_late_begins_with_the_first_traffic(world: World) -> None:
    world.rows(10.5)
    world.at(12).restarted()
    world.round()
    assert world.windows() == [(10, 11, 1), (11, 12, 0)]


def test_without_traffic_a_watch_begins_with_its_start_and_a_restart_agrees(world: World) -> None:
    world.at(5.5).restarted().close_due(GO_ON)
    world.at(7.5).restarted().close_due(GO_ON)
    assert [start for start, _, _ in world.windows()] == [5, 6]


def test_before_a_first_promotion_there_is_nothing_to_watch(ledger: SqlLedger, clock: ManualClock) -> None:
    log = Log()
    watch = Watch(ledger, Amendments(ledger), log, Counting(log, clock), clock, settings())
    clock.advance(100_000)
    assert watch.close_due(GO_ON) == 0


def test_a_window_waits_until_its_rows_are_folded(world: World) -> None:
    world.at(1).fold(watermark=START + MINUTE - 1)
    assert world.watch.close_due(GO_ON) == 0
    world.fold()
    assert world.watch.close_due(GO_ON) == 1


def test_a_window_closes_without_the_fold_after_its_grace_and_is_marked(world: World) -> None:
    for seconds in (0, 20, 20, 20, 20):
        world.clock.advance(seconds)
        assert world.watch.close_due(GO_ON) == 0
    world.clock.advance(1)
    world.watch.close_due(GO_ON)
    assert world.ledger.latest(1)[0].reasons == ("not folded",)


def test_after_a_downtime_the_fold_gets_its_grace_anew(world: World) -> None:
    world.at(0).round()
    world.clock.at = START + 100 * MINUTE
    world.restarted()
    assert world.watch.close_due(GO_ON) == 0
    world.clock.advance(20)
    assert world.watch.close_due(GO_ON) == 0
    world.clock.advance(2)
    assert world.watch.close_due(GO_ON) == 100


def test_a_swap_splits_a_window(world: World) -> None:
    world.at(0.25).swap(2)
    world.at(1).round()
    assert world.windows() == [(0, 0.25, 0), (0.25, 1, 0)]


def test_windows_close_with_the_row_that_makes_them_full(ledger: SqlLedger, clock: ManualClock) -> None:
    world = World(ledger, clock, settings(window_rows=2))
    world.rows(0.1, 0.2, 0.3, 0.4, 0.5)
    world.at(0.75).round()
    after = 1 / MINUTE
    assert world.windows() == [(0, 0.2 + after, 2), (0.2 + after, 0.4 + after, 2)]
    world.at(1.5).round()
    assert world.windows()[2:] == [(0.4 + after, 1.4 + after, 1)]


@pytest.mark.parametrize("rows", [0, 2])
def test_a_restart_goes_on_with_the_next_sliding_window(ledger: SqlLedger, clock: ManualClock, rows: int) -> None:
    world = World(ledger, clock, settings(window_minutes=4, window_step=0.5, window_rows=rows))
    world.rows(*(index + 0.5 for index in range(20)))
    for minute in range(1, 20):
        world.at(minute).restarted()
        world.round()
    calls = [start for start, _, _ in world.judge.calls]
    assert calls == sorted(set(calls)), "none twice, none left out and judged later"
    stepped = [round(after - before, 3) for (before, *_), (after, *_) in pairwise(world.windows())]
    assert set(stepped[1:]) == {1.0 if rows else 2.0}


def test_a_stop_ends_the_round_between_windows(world: World) -> None:
    stop = threading.Event()
    stop.set()
    assert world.at(10).watch.close_due(stop) == 0


def test_a_verdict_that_is_there_is_never_overwritten(world: World) -> None:
    world.at(2).round()
    world.watch._timeline._windows = {}
    world.watch._timeline._settled = type(world.watch._timeline._settled)()
    calls = len(world.judge.calls)
    world.watch.close_due(GO_ON)
    assert len(world.judge.calls) == calls


def test_a_window_that_cannot_be_judged_closes_all_the_same_and_the_next_ones_come(world: World) -> None:
    world.judge.failing[START] = OverflowError("a moment that has no number")
    world.at(2).round()
    assert states(world) == ["insufficient_data", "no_traffic"]
    assert "OverflowError" in world.ledger.latest(2)[1].reasons[0]


def test_a_store_that_is_away_is_waited_for(world: World) -> None:
    world.judge.failing[START] = StoreUnavailable("the table cannot be read; mount its disk")
    with pytest.raises(StoreUnavailable):
        world.at(2).round()
    assert world.round() == 2


# the clock jumps


def test_after_a_jump_of_years_windows_without_rows_are_passed_over_and_those_with_rows_are_judged(
    world: World,
) -> None:
    world.rows(1.5, 500_000.5)
    world.at(2).round()
    world.at(1_000_000).round()
    while world.round():
        pass
    found = world.windows()
    assert [window for window in found if window[2]] == [(1, 2, 1), (500_000, 500_001, 1)]
    assert found[-1][1] == 1_000_000
    assert len(found) < 4 * MOST_DUE
    told = world.audited(PASSED_OVER)
    assert told[0]["windows"] == 500_000 - 2
    world.restarted()
    world.round()
    assert world.audited(PASSED_OVER) == told, "a restart does not tell it again"


def test_after_a_jump_back_the_watch_goes_on_and_nothing_is_judged_twice(world: World) -> None:
    world.at(2).round()
    world.at(62).round()
    calls = len(world.judge.calls)
    world.rows(2.5)
    world.at(3.2).round()
    assert len(world.judge.calls) == calls + 1, "only the window that a row came to"
    assert world.windows()[2] == (2, 3, 1)
    assert len(world.audited(WENT_BACK)) == 1
    world.at(63).round()
    assert len(world.windows()) == 63


def test_a_window_judged_ahead_of_the_clock_waits_for_its_end(world: World) -> None:
    world.at(60).round()
    world.rows(2.5)
    world.at(2.75).round()
    assert world.windows()[2] == (2, 3, 0)
    world.at(3).round()
    assert world.windows()[2] == (2, 3, 1)


def test_a_watch_that_began_while_the_clock_ran_ahead_begins_anew(ledger: SqlLedger, clock: ManualClock) -> None:
    world = World(ledger, clock, settings())
    world.at(500_000).restarted()
    world.round()
    world.at(10).restarted()
    world.round()
    world.rows(10.5)
    world.at(11).round()
    assert world.windows() == [(10, 11, 1)]


def test_rows_that_come_to_a_stretch_that_was_passed_over_are_judged(world: World) -> None:
    world.at(1).round()
    world.at(10 * MOST_DUE).round()
    world.rows(5 * MOST_DUE + 0.5)
    world.fold()
    world.round()
    while world.round():
        pass
    assert (5 * MOST_DUE, 5 * MOST_DUE + 1, 1) in world.windows()


# late rows and labels


def test_rows_that_come_late_are_judged_with_the_others(world: World) -> None:
    world.rows(0.1)
    world.at(2).round()
    Amendments(world.ledger).amend(START, report="1.html", retrain="no retrain: it rests")
    world.rows(0.2, 0.3)
    world.at(2.5).round()
    verdict = world.ledger.verdict(START)
    assert verdict
    assert (verdict.rows, verdict.report, verdict.retrain) == (3, "1.html", "no retrain: it rests")


def test_late_rows_are_judged_with_the_verdicts_before_them(world: World) -> None:
    world.rows(0.5, 1.5, 2.5)
    world.at(4).round()
    world.rows(2.6)
    world.at(5).round()
    assert world.judge.earlier[:2] == [START + MINUTE, START]


def test_rows_older_than_the_horizon_are_left_to_a_backfill(world: World) -> None:
    world.rows(0.5)
    world.at(62).round()
    world.rows(0.6)
    world.at(63).round()
    assert world.windows()[0] == (0, 1, 1)


def test_a_restart_finds_rows_that_came_while_nobody_watched(world: World) -> None:
    world.rows(0.5)
    world.at(2).round()
    world.rows(0.6)
    world.at(3).restarted()
    world.round()
    assert world.windows()[0] == (0, 1, 2)


def test_a_window_that_cannot_be_judged_again_keeps_its_verdict(world: World) -> None:
    world.rows(0.5)
    world.at(2).round()
    world.judge.failing[START] = OverflowError("a moment that has no number")
    world.rows(0.6)
    world.at(3).round()
    assert world.windows()[0] == (0, 1, 1)
    assert states(world)[0] == "ok"


def test_late_rows_wait_for_a_store_that_is_away(world: World) -> None:
    world.rows(0.5)
    world.at(2).round()
    world.judge.failing[START] = StoreUnavailable("the table cannot be read; mount its disk")
    world.rows(0.6)
    with pytest.raises(StoreUnavailable):
        world.at(3).round()
    world.round()
    assert world.windows()[0] == (0, 1, 2)


def test_the_window_after_a_changed_one_is_looked_at_too_for_its_streaks_depend_on_it(world: World) -> None:
    world.rows(0.2, 1.2, 2.2)
    world.at(4).round()
    world.log.label(START + round(0.2 * MINUTE))
    world.judge.relabelled.clear()
    world.at(5).round()
    assert world.judge.relabelled == [START, START + MINUTE], "and no further, for the second did not change"


def test_labels_that_arrive_late_change_the_verdict_they_belong_to(world: World) -> None:
    world.rows(0.5, 1.5)
    world.at(10).round()
    world.log.label(START + MINUTE // 2)
    assert world.watch.look_again() == 1
    labelled = [verdict.start for verdict in world.ledger.latest(100) if verdict.performance]
    assert labelled == [START]
    assert world.watch.look_again() == 0


# over real tables


def test_the_log_says_what_came_since_the_last_look(tmp_path: Path, clock: ManualClock) -> None:
    tables = LogTables(tmp_path)
    moments, folder = LogMoments(tables), Folder(tables, clock)
    log = builders.writer(tables.segments, clock)

    def came(*at: int) -> None:
        for moment in at:
            batch = builders.batch(at=moment)
            log.append_predictions(batch, builders.schema())
            log.append_labels([builders.label(batch.ids[0])])
        log.close()
        folder.fold()

    assert moments.new_rows(START) is not None, "nothing is there yet"
    came(START, START + SECOND)
    found = moments.new_rows(START + 5 * SECOND)
    assert found is not None
    assert found.tolist() == [START, START + SECOND]
    assert moments.new_labels() is None, "at the first look anything may be new"
    log = builders.writer(tables.segments, clock)
    came(START + 9 * SECOND, START + 2 * SECOND)
    found = moments.new_rows(START + 5 * SECOND)
    assert found is not None
    assert found.tolist() == [START + 2 * SECOND], "what no verdict is about yet is not late"
    labelled = moments.new_labels()
    assert labelled is not None
    assert len(labelled) == 2
    rows = [at for batch in moments.answered(START, START + 3 * SECOND) for at in batch.tolist()]
    assert rows == [START, START + SECOND, START + 2 * SECOND]
    assert moments.most(START, START + 3 * SECOND) == 4
