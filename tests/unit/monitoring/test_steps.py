from lifecycle.clock import ManualClock
from lifecycle.ledger.sql import SqlLedger
from monitoring.steps import LEASE_SECONDS, Steps
from tests.unit.monitoring.making import BrokenStep, Refused


def test_one_monitor_leads_and_another_follows_when_its_lease_lapses(ledger: SqlLedger, clock: ManualClock) -> None:
    first, second = Steps(ledger, clock, "first"), Steps(ledger, clock, "second")
    first.renew()
    second.renew()
    assert (first.leads, second.leads) == (True, False)
    clock.advance(LEASE_SECONDS)
    second.renew()
    assert (first.leads, second.leads) == (False, True)


def test_giving_up_hands_over_at_once(ledger: SqlLedger, clock: ManualClock) -> None:
    first, second = Steps(ledger, clock, "first"), Steps(ledger, clock, "second")
    first.renew()
    first.give_up()
    second.renew()
    assert (first.leads, second.leads) == (False, True)


def test_a_step_runs_only_while_leading_and_not_after_the_stop(ledger: SqlLedger, clock: ManualClock) -> None:
    steps, step = Steps(ledger, clock, "first"), BrokenStep()
    job = steps.guarded("step", step)
    job()
    assert step.ran == 0
    steps.renew()
    job()
    steps.stop.set()
    job()
    assert step.ran == 1


def test_a_failing_step_is_told_and_tried_again(ledger: SqlLedger, clock: ManualClock) -> None:
    steps = Steps(ledger, clock, "first")
    steps.renew()
    step = BrokenStep(Refused("the disk is full; free space"), ValueError("secret"))
    job = steps.guarded("step", step)
    job()
    assert steps.health.failures == {"step": "the disk is full; free space"}
    job()
    assert steps.health.failures == {"step": "ValueError in step step; the monitor's log has the trace"}
    job()
    assert steps.health.failures == {}
    assert steps.health.succeeded_at == {"step": clock.now()}
