from dataclasses import replace

import pytest

from lifecycle.clock import ManualClock
from lifecycle.ids import uuid7
from lifecycle.ledger.sql import SqlLedger
from lifecycle.records import RetrainRun
from monitoring.runs import LEASE, START_SECONDS, Runs
from tests.unit.monitoring.making import Jobs, config

SETTINGS = config(retrain={"timeout_minutes": 10}).retrain


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def runs(ledger: SqlLedger, jobs: Jobs, clock: ManualClock) -> Runs:
    return Runs(ledger, jobs, clock, SETTINGS)


def requested(ledger: SqlLedger, clock: ManualClock) -> RetrainRun:
    run = RetrainRun(uuid7(), clock.now(), "on demand", "requested")
    ledger.save_run(run)
    return run


def begin(ledger: SqlLedger, clock: ManualClock, run: RetrainRun) -> RetrainRun:
    """What the job itself does first."""
    current = ledger.run(run.id) or run
    ledger.acquire(LEASE, run.id, clock.now(), 10)
    running = replace(current, state="running", attempt=current.attempt + 1, started_at=clock.now())
    ledger.save_run(running)
    return running


def state(ledger: SqlLedger, run: RetrainRun) -> tuple[str, int]:
    found = ledger.run(run.id)
    assert found
    return found.state, found.attempt


def test_a_request_is_launched_once(ledger: SqlLedger, runs: Runs, jobs: Jobs, clock: ManualClock) -> None:
    run = requested(ledger, clock)
    runs.step()
    runs.step()
    assert jobs.started == [run.id]


def test_one_run_at_a_time_the_oldest_first(ledger: SqlLedger, runs: Runs, jobs: Jobs, clock: ManualClock) -> None:
    first = requested(ledger, clock)
    clock.advance(1)
    second = requested(ledger, clock)
    runs.step()
    running = begin(ledger, clock, first)
    runs.step()
    assert jobs.started == [first.id]
    ledger.save_run(replace(running, state="promoted", finished_at=clock.now()))
    jobs.ended.add(first.id)
    runs.step()
    assert jobs.started == [first.id, second.id]


def test_a_run_whose_process_died_is_tried_once_more_then_failed(
    ledger: SqlLedger, runs: Runs, jobs: Jobs, clock: ManualClock
) -> None:
    run = requested(ledger, clock)
    for attempt in (1, 2):
        runs.step()
        begin(ledger, clock, run)
        jobs.ended.add(run.id)
        runs.step()
        assert state(ledger, run) == ("running", attempt), "its lease has not lapsed yet"
        clock.advance(11)
        runs.step()
    assert jobs.started == [run.id, run.id]
    assert state(ledger, run) == ("failed", 2)
    failed = ledger.run(run.id)
    assert failed
    assert failed.finished_at == clock.now()
    assert "ended without a decision" in failed.decision["reasons"][0]


def test_a_run_that_another_monitor_left_running_is_taken_up(
    ledger: SqlLedger, runs: Runs, jobs: Jobs, clock: ManualClock
) -> None:
    run = begin(ledger, clock, requested(ledger, clock))
    runs.step()
    assert jobs.started == []
    clock.advance(11)
    runs.step()
    assert jobs.started == [run.id]


def test_a_process_that_ends_before_it_begins_counts_as_an_attempt(
    ledger: SqlLedger, runs: Runs, jobs: Jobs, clock: ManualClock
) -> None:
    run = requested(ledger, clock)
    for _ in range(2):
        runs.step()
        jobs.ended.add(run.id)
        runs.step()
    assert state(ledger, run) == ("failed", 2)


def test_a_process_that_never_begins_is_ended(ledger: SqlLedger, runs: Runs, jobs: Jobs, clock: ManualClock) -> None:
    run = requested(ledger, clock)
    runs.step()
    clock.advance(START_SECONDS + 1)
    runs.step()
    assert state(ledger, run) == ("requested", 1)
    assert jobs.started == [run.id, run.id]


def test_a_run_over_its_time_has_failed_and_says_so(
    ledger: SqlLedger, runs: Runs, jobs: Jobs, clock: ManualClock
) -> None:
    run = requested(ledger, clock)
    runs.step()
    begin(ledger, clock, run)
    clock.advance(601)
    jobs.ended.add(run.id)  # the launcher ends a job over its time
    runs.step()
    failed = ledger.run(run.id)
    assert failed
    assert "longer than 10 minutes" in failed.decision["reasons"][0]


def test_a_decision_made_meanwhile_is_never_overwritten(
    ledger: SqlLedger, runs: Runs, jobs: Jobs, clock: ManualClock
) -> None:
    run = requested(ledger, clock)
    runs.step()
    running = begin(ledger, clock, run)
    ledger.save_run(replace(running, state="refused", finished_at=clock.now()))
    jobs.ended.add(run.id)
    clock.advance(60)
    runs.step()
    assert state(ledger, run) == ("refused", 1)
