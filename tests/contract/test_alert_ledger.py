"""AlertLedger: alerts, and an outbox from which no delivery is lost."""

from dataclasses import replace

from lifecycle.ledger.sql import SqlLedger
from lifecycle.records import Alert, Delivery

ALERT = Alert("a1", "drift", "ticket", "drift", "two columns drifted", 10, 10)
DELIVERY = Delivery("a1:opened:0", "a1", "opened", 0, "drift", "two columns drifted", next_attempt_at=10)


def test_open_alerts_and_all_alerts(any_ledger: SqlLedger) -> None:
    any_ledger.save_alert(ALERT, [])
    any_ledger.save_alert(replace(ALERT, id="a2", opened_at=20), [])
    any_ledger.save_alert(replace(ALERT, updated_at=30, resolved_at=30), [])
    assert [alert.id for alert in any_ledger.alerts(only_open=True)] == ["a2"]
    assert [alert.id for alert in any_ledger.alerts(only_open=False)] == ["a2", "a1"]
    assert any_ledger.alerts(only_open=False)[1].resolved_at == 30


def test_deliveries_are_due_when_their_time_has_come_oldest_first(any_ledger: SqlLedger) -> None:
    later = replace(DELIVERY, key="a1:opened:1", target=1, next_attempt_at=20)
    any_ledger.save_alert(ALERT, [later, DELIVERY])
    assert any_ledger.due(9, 3) == []
    assert any_ledger.due(10, 3) == [DELIVERY]
    assert any_ledger.due(20, 3) == [DELIVERY, later]


def test_a_failed_attempt_comes_back_until_it_is_given_up(any_ledger: SqlLedger) -> None:
    any_ledger.save_alert(ALERT, [DELIVERY])
    any_ledger.settle(DELIVERY.key, delivered=False, next_attempt_at=50, error="timeout")
    assert any_ledger.due(49, 2) == []
    assert [delivery.attempts for delivery in any_ledger.due(50, 2)] == [1]
    assert any_ledger.outbox_counts(2) == (1, 0)
    any_ledger.settle(DELIVERY.key, delivered=False, next_attempt_at=60, error="timeout")
    assert any_ledger.due(99, 2) == []
    assert any_ledger.outbox_counts(2) == (0, 1)


def test_a_delivered_message_is_never_due_again(any_ledger: SqlLedger) -> None:
    any_ledger.save_alert(ALERT, [DELIVERY])
    any_ledger.settle(DELIVERY.key, delivered=True, next_attempt_at=0, error=None)
    assert any_ledger.due(10_000, 99) == []
    assert any_ledger.outbox_counts(99) == (0, 0)
