from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lifecycle.clock import ManualClock
from lifecycle.ids import uuid7
from lifecycle.ledger.sql import SqlLedger
from lifecycle.records import Delivery, FoldStatus, RetrainRun, Worker
from monitoring.alerts import Alerts
from tests.unit.monitoring.making import config, kept, lost, verdict

FOLD = FoldStatus(0, 0, pending_segments=0, pending_bytes=0, folded_rows=0, quarantined_segments=0, truncated_bytes=0)


@pytest.fixture
def alerts(ledger: SqlLedger, clock: ManualClock) -> Alerts:
    return Alerts(ledger, clock, config().monitoring, 2, "houses", Path("/srv/houses"))


def kinds(ledger: SqlLedger) -> list[str]:
    return sorted(alert.kind for alert in ledger.alerts(only_open=True))


def outbox(ledger: SqlLedger, clock: ManualClock) -> list[Delivery]:
    return ledger.due(clock.now() + 1, 8)


def ended(clock: ManualClock, state: str, *reasons: str) -> RetrainRun:
    fields: dict[str, Any] = {"state": state, "finished_at": clock.now(), "decision": {"reasons": list(reasons)}}
    return RetrainRun(uuid7(), clock.now(), "on demand", **fields)


def test_an_alarm_opens_one_alert_and_tells_every_target_once(
    ledger: SqlLedger, clock: ManualClock, alerts: Alerts
) -> None:
    ledger.save(verdict(0, "data_quality", reasons=("x: 80% of the values are missing",)))
    alerts.look()
    alerts.look()
    assert kinds(ledger) == ["data_quality"]
    messages = outbox(ledger, clock)
    assert [message.target for message in messages] == [0, 1]
    assert messages[0].key.endswith(":opened:0")
    assert messages[0].title == "[houses] the input is broken, and retraining is blocked"
    assert "80% of the values are missing" in messages[0].body
    assert "evenkeel status --project /srv/houses" in messages[0].body


def test_an_alert_resolves_when_the_world_is_well_again(ledger: SqlLedger, clock: ManualClock, alerts: Alerts) -> None:
    ledger.save(verdict(0, "performance", performance=lost()))
    alerts.look()
    ledger.save(verdict(1, "ok", performance=kept()))
    clock.advance(60)
    alerts.look()
    assert kinds(ledger) == []
    assert sum(":resolved:" in message.key for message in outbox(ledger, clock)) == 2


def test_windows_without_traffic_leave_an_alert_open(ledger: SqlLedger, clock: ManualClock, alerts: Alerts) -> None:
    for index, state in enumerate(["warning", "drift", "no_traffic"]):
        ledger.save(verdict(index, state))
    alerts.look()
    assert kinds(ledger) == ["drift"]


def test_a_long_silence_leaves_an_alert_open(ledger: SqlLedger, clock: ManualClock, alerts: Alerts) -> None:
    for index, state in enumerate(["warning", "drift", *["no_traffic"] * 150]):
        ledger.save(verdict(index, state))
    alerts.look()
    assert kinds(ledger) == ["drift"]


def test_a_broken_window_says_nothing_of_lost_quality(ledger: SqlLedger, clock: ManualClock, alerts: Alerts) -> None:
    ledger.save(verdict(0, "performance", performance=lost()))
    alerts.look()
    ledger.save(verdict(1, "data_quality"))
    alerts.look()
    assert kinds(ledger) == ["data_quality", "performance"]


def test_news_on_an_open_alert_updates_it_without_another_message(
    ledger: SqlLedger, clock: ManualClock, alerts: Alerts
) -> None:
    ledger.save(verdict(0, "data_quality", reasons=("first",)))
    alerts.look()
    ledger.save(verdict(1, "data_quality", reasons=("second",)))
    alerts.look()
    assert "second" in ledger.alerts(only_open=True)[0].body
    assert len(outbox(ledger, clock)) == 2


def test_a_refused_and_a_failed_retrain_are_told_until_one_is_promoted(
    ledger: SqlLedger, clock: ManualClock, alerts: Alerts
) -> None:
    seen = []
    for state in ("refused", "failed", "promoted"):
        clock.advance(1)
        ledger.save_run(ended(clock, state, "it was no better"))
        alerts.look()
        seen.append(kinds(ledger))
    assert seen == [["retrain_refused"], ["retrain_failed"], []]


@pytest.mark.parametrize(
    ("seconds_ago", "changes", "opens"),
    [
        (1, {}, False),
        (1, {"quarantined_segments": 1}, True),
        (31, {}, True),
        (1, {"watermark": 0}, True),
        (1, {"problem": "the disk is full"}, True),
    ],
)
def test_a_degraded_log_is_told(
    ledger: SqlLedger, clock: ManualClock, alerts: Alerts, seconds_ago: int, changes: dict[str, Any], *, opens: bool
) -> None:
    at = clock.now() - seconds_ago * 1_000_000
    ledger.save_fold(
        replace(FOLD, at=at, watermark=at) if not changes else replace(FOLD, **{"at": at, "watermark": at} | changes)
    )
    alerts.look()
    assert (kinds(ledger) == ["log_degraded"]) is opens


@pytest.mark.parametrize(
    ("mebibytes", "opens"),
    [([99, 99], True), ([99, 120], True), ([99, 98], False), ([63, 63], False), ([99, 0], False)],
)
def test_a_backlog_that_does_not_shrink_is_told(
    ledger: SqlLedger, clock: ManualClock, alerts: Alerts, mebibytes: list[int], *, opens: bool
) -> None:
    for waiting in mebibytes:
        at = clock.now()
        ledger.save_fold(replace(FOLD, at=at, watermark=at, pending_bytes=waiting * 2**20))
        alerts.look()
        clock.advance(61)
    clock.advance(-61)
    assert (kinds(ledger) == ["log_degraded"]) is opens
    if opens:
        assert "have not become less since 2023-11-14T22:13:20Z" in ledger.alerts(only_open=True)[0].body


def test_damage_is_told_with_what_could_not_be_read(ledger: SqlLedger, clock: ManualClock, alerts: Alerts) -> None:
    ledger.save_fold(replace(FOLD, at=clock.now(), watermark=clock.now(), quarantined_segments=2, corrupt_frames=7))
    alerts.look()
    assert "2 damaged segments" in ledger.alerts(only_open=True)[0].body
    assert "7 of all their records" in ledger.alerts(only_open=True)[0].body


def test_a_worker_that_stays_behind_is_told(ledger: SqlLedger, clock: ManualClock, alerts: Alerts) -> None:
    ledger.flip(1, 0, "test", "first", clock.now())
    clock.advance(31)
    ledger.report(Worker(uuid7(), 1, clock.now(), None, 0, None))
    alerts.look()
    assert kinds(ledger) == ["not_converged"]


def test_a_crash_after_the_verdict_heals_in_the_next_round(ledger: SqlLedger, clock: ManualClock) -> None:
    ledger.save(verdict(0, "data_quality"))
    restarted = Alerts(ledger, clock, config().monitoring, 1, "houses", Path("/srv"))
    restarted.look()
    assert kinds(ledger) == ["data_quality"]
