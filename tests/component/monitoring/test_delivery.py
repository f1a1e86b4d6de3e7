from pathlib import Path

import pytest

from lifecycle.clock import ManualClock
from lifecycle.ledger.sql import SqlLedger
from lifecycle.records import Alert, Delivery
from monitoring.delivery import AppriseSink, DeliveryFailed, Dispatcher
from tests.unit.monitoring.making import Mailbox, config

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
"""Apprise imports it when it loads its services; nothing here depends on it."""

TARGETS = ("json://first/secret-token", "json://second")


def outbox(ledger: SqlLedger, clock: ManualClock, *targets: int) -> None:
    now = clock.now()
    alert = Alert("a", "drift", "ticket", "title", "body", now, now)
    ledger.save_alert(alert, [Delivery(f"a:opened:{n}", "a", "opened", n, "title", "body", 0, now) for n in targets])


def dispatcher(ledger: SqlLedger, clock: ManualClock, sink: Mailbox, attempts: int = 3) -> Dispatcher:
    return Dispatcher(ledger, sink, clock, config(alerts={"targets": TARGETS, "attempts": attempts}).alerts)


def test_each_delivery_reaches_its_target_once(ledger: SqlLedger, clock: ManualClock) -> None:
    outbox(ledger, clock, 0, 1)
    sink = Mailbox()
    both = dispatcher(ledger, clock, sink)
    assert (both.deliver(), both.deliver()) == (2, 0)
    assert [(target, key) for target, _, _, key in sink.sent] == [
        (TARGETS[0], "a:opened:0"),
        (TARGETS[1], "a:opened:1"),
    ]


def test_a_refused_delivery_waits_longer_each_time(ledger: SqlLedger, clock: ManualClock) -> None:
    outbox(ledger, clock, 0)
    sink = Mailbox(refusals=2)
    patient = dispatcher(ledger, clock, sink)
    pauses = []
    while not sink.sent:
        waited = 0
        while not (patient.deliver() or ledger.due(clock.now(), 3) or waited > 60):
            clock.advance(1)
            waited += 1
        pauses.append(waited)
    assert sum(pauses) == 3, "a pause of one second, then one of two"


def test_a_delivery_that_is_never_taken_becomes_a_dead_letter(ledger: SqlLedger, clock: ManualClock) -> None:
    outbox(ledger, clock, 0)
    stubborn = dispatcher(ledger, clock, Mailbox(refusals=100))
    for _ in range(5):
        stubborn.deliver()
        clock.advance(3_600)
    assert ledger.outbox_counts(3) == (0, 1)


def test_one_broken_target_does_not_hold_up_another(ledger: SqlLedger, clock: ManualClock) -> None:
    outbox(ledger, clock, 0, 1)
    sink = Mailbox(refusals=1)
    dispatcher(ledger, clock, sink).deliver()
    assert [target for target, *_ in sink.sent] == [TARGETS[1]]


def test_a_target_that_is_no_longer_configured_is_not_an_error(ledger: SqlLedger, clock: ManualClock) -> None:
    outbox(ledger, clock, 7)
    assert dispatcher(ledger, clock, Mailbox()).deliver() == 0


def test_an_address_nobody_understands_is_refused_without_naming_it() -> None:
    with pytest.raises(DeliveryFailed) as caught:
        AppriseSink(1).send("nonsense://user:hunter2@host", "title", "body", "key")
    assert "hunter2" not in str(caught.value)


def test_no_secret_reaches_the_ledger(clock: ManualClock, tmp_path: Path) -> None:
    ledger = SqlLedger("sqlite:///ledger.db", tmp_path)
    outbox(ledger, clock, 0)
    settings = config(alerts={"targets": ["nonsense://user:hunter2@host"]}).alerts
    Dispatcher(ledger, AppriseSink(1), clock, settings).deliver()
    ledger.close()
    assert b"hunter2" not in (tmp_path / "ledger.db").read_bytes()
