"""The past is judged: every window with rows around it, oldest first, once, resumably, and by nobody else meanwhile."""

import threading

import pytest

from evenkeel.backfill_command import moment
from lifecycle.clock import ManualClock
from lifecycle.errors import Conflict, InputRejected
from lifecycle.ledger.sql import SqlLedger
from monitoring.backfill import Backfill, Backfilled, monitors_lease
from monitoring.steps import Steps
from monitoring.stores import Amendments
from monitoring.windows import MOST_DUE
from tests.component.monitoring.watching import GO_ON, MINUTE, START, World, settings

EVER = 2**62


@pytest.fixture
def world(ledger: SqlLedger, clock: ManualClock) -> World:
    return World(ledger, clock, settings())


def backfill(world: World) -> Backfill:
    return Backfill(world.ledger, world.log, world.judge, world.clock, world.settings)


def since(minutes: float) -> int:
    return START + round(minutes * MINUTE)


def test_every_window_from_the_first_row_on_gets_a_verdict_oldest_first(world: World) -> None:
    world.rows(2.5, 4.5)
    world.at(6)
    found = backfill(world).run(since(0), EVER, GO_ON)
    assert world.windows() == [(2, 3, 1), (3, 4, 0), (4, 5, 1), (5, 6, 0)]
    assert [start for start, _, _ in world.judge.calls] == [since(minute) for minute in (2, 3, 4, 5)]
    assert (found.judged, found.states, found.reached) == (4, {"ok": 2, "no_traffic": 2}, since(6))


def test_only_windows_that_lie_in_the_period_are_judged(world: World) -> None:
    world.rows(0.5, 1.5, 2.5, 3.5)
    backfill(world.at(9)).run(since(0.75), since(3.5), GO_ON)
    assert world.windows() == [(1, 2, 1), (2, 3, 1)]


def test_what_is_not_folded_yet_is_left_for_the_next_time(world: World) -> None:
    world.rows(0.5)
    world.at(9).fold(watermark=since(2.5))
    assert backfill(world).run(since(0), EVER, GO_ON).judged == 2


def test_verdicts_that_are_there_stay(world: World) -> None:
    world.rows(0.5, 1.5)
    world.at(2).round()
    world.rows(-2.5)
    world.at(3)
    assert backfill(world).run(since(-10), since(2), GO_ON).judged == 3
    assert world.windows() == [(-3, -2, 1), (-2, -1, 0), (-1, 0, 0), (0, 1, 1), (1, 2, 1)]
    assert len(world.judge.calls) == 5


def test_again_judges_those_with_a_verdict_too_and_keeps_what_was_noted_on_them(world: World) -> None:
    world.rows(0.5, 2.5)
    world.at(2).round()
    Amendments(world.ledger).amend(START, report="1.html", retrain="no retrain: it rests")
    found = backfill(world.at(3)).run(since(0), EVER, GO_ON, again=True)
    assert (found.judged, found.again) == (3, 2)
    verdict = world.ledger.verdict(START)
    assert verdict
    assert (verdict.report, verdict.retrain) == ("1.html", "no retrain: it rests")


def test_a_backfill_that_was_stopped_goes_on_where_it_ended(world: World) -> None:
    stop = threading.Event()

    def after_two(found: Backfilled) -> None:
        if found.judged == 2:
            stop.set()

    world.rows(0.5, 3.5)
    world.at(4)
    assert backfill(world).run(since(0), EVER, stop, progress=after_two).stopped
    assert not backfill(world).run(since(0), EVER, GO_ON).stopped
    starts = [start for start, _, _ in world.judge.calls]
    assert starts == [since(minute) for minute in range(4)]


def test_a_monitor_goes_on_after_what_was_backfilled(world: World) -> None:
    world.rows(0.5, 1.5)
    backfill(world.at(2)).run(since(0), EVER, GO_ON)
    world.at(3).restarted()
    world.round()
    assert world.windows() == [(0, 1, 1), (1, 2, 1), (2, 3, 0)]


def test_a_window_is_judged_with_the_verdicts_before_it(world: World) -> None:
    world.rows(0.5, 1.5, 8.5)
    backfill(world.at(9)).run(since(8), EVER, GO_ON)
    backfill(world).run(since(0), since(2), GO_ON)
    assert world.judge.earlier == [since(0)]


def test_a_long_stretch_without_rows_is_passed_over_and_counted(world: World) -> None:
    far = 3 * MOST_DUE
    world.rows(0.5, far + 0.5)
    found = backfill(world.at(far + 1)).run(since(0), EVER, GO_ON)
    assert found.passed_over > MOST_DUE
    assert world.windows()[-1] == (far, far + 1, 1)


def test_a_log_without_rows_is_no_error(world: World) -> None:
    assert backfill(world.at(100)).run(since(0), EVER, GO_ON).judged == 0


def test_while_a_monitor_leads_there_is_no_backfill(ledger: SqlLedger, clock: ManualClock) -> None:
    monitor = Steps(ledger, clock, "monitor")
    monitor.renew()
    with pytest.raises(Conflict, match="a monitor is watching this project"), monitors_lease(ledger, clock):
        pass
    monitor.give_up()
    with monitors_lease(ledger, clock) as held:
        assert held()
        monitor.renew()
        assert not monitor.leads
    monitor.renew()
    assert monitor.leads


def test_a_backfill_that_lost_its_lease_saves_nothing(world: World) -> None:
    world.rows(0.5)
    lost = Backfill(world.ledger, world.log, world.judge, world.at(2).clock, world.settings, lambda: False)
    with pytest.raises(Conflict, match="taken over"):
        lost.run(since(0), EVER, GO_ON)
    assert world.windows() == []


@pytest.mark.parametrize(
    "text", ["2023-11-14", "2023-11-14T00:00", "2023-11-14T00:00:00Z", "2023-11-14T01:00:00+01:00"]
)
def test_a_moment_is_a_date_or_iso_8601(text: str) -> None:
    assert moment(text, "--since") == 1_699_920_000_000_000


@pytest.mark.parametrize("text", ["", "yesterday", "2023-13-01", "9999-12-31T23:59:59-10:00", "1e308"])
def test_what_is_no_moment_is_said(text: str) -> None:
    with pytest.raises(InputRejected, match="is no moment; write a date such as 2026-01-01"):
        moment(text, "--since")
