from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lifecycle.clock import ManualClock
from lifecycle.ids import uuid7
from lifecycle.ledger.sql import SqlLedger
from lifecycle.records import Alert, Delivery, FoldStatus, Performance, RetrainRun, Worker
from monitoring.alerts import Alerts, Failing
from monitoring.conditions import is_undecided
from monitoring.standing import Standing, standing
from monitoring.steps import Health
from monitoring.verdicts import NOT_FOLDED
from tests.unit.monitoring.judged import drifted, estimated, full, measured
from tests.unit.monitoring.making import START, config, verdict

LOST, KEPT = measured(2.0), measured(1.0)
FOLD = FoldStatus(0, 0, pending_segments=0, pending_bytes=0, folded_rows=0, quarantined_segments=0, truncated_bytes=0)


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def alerts(ledger: SqlLedger, clock: ManualClock, health: Health) -> Alerts:
    return Alerts(ledger, clock, config().monitoring, 2, "houses", Path("/srv/houses"), health)


def kinds(ledger: SqlLedger) -> list[str]:
    return sorted(alert.kind for alert in ledger.alerts(only_open=True))


def only(ledger: SqlLedger) -> Alert:
    (alert,) = ledger.alerts(only_open=True)
    return alert


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
    ledger.save(verdict(0, "performance", performance=LOST))
    alerts.look()
    ledger.save(verdict(1, "ok", performance=KEPT))
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
    ledger.save(verdict(0, "performance", performance=LOST))
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


def test_drift_is_a_ticket_with_the_reasons_of_its_verdict_and_links_to_all_that_was_found(
    ledger: SqlLedger, clock: ManualClock, alerts: Alerts
) -> None:
    ledger.save(full(performance=None, estimate=None, report="7.html", reasons=("x drifts", "x matters", NOT_FOLDED)))
    alerts.look()
    assert (only(ledger).kind, only(ledger).severity) == ("drift", "ticket")
    assert only(ledger).body.split("\n") == [
        "Since 2023-11-14T22:14:00Z.",
        "- x drifts",
        "- x matters",
        f"Window: http://127.0.0.1:3001/windows/{START}",
        "Report: http://127.0.0.1:3001/reports/7.html",
        "To act: evenkeel reports --project /srv/houses",
    ]


@pytest.mark.parametrize(
    ("about", "title"),
    [
        (["feature", "joint"], "the input drifts"),
        (["prediction"], "the answers drift"),
        (["calibration"], "the calibration drifts"),
        (["feature", "label"], "the input and the labels drift"),
    ],
)
def test_an_alert_names_what_drifts(
    ledger: SqlLedger, clock: ManualClock, alerts: Alerts, about: list[Any], title: str
) -> None:
    ledger.save(verdict(0, "drift", scores=tuple(drifted(what, 2.0, about=what) for what in about)))
    alerts.look()
    assert only(ledger).title == f"[houses] {title}"


def test_a_measured_loss_pages_with_all_it_was_compared_with(
    ledger: SqlLedger, clock: ManualClock, alerts: Alerts
) -> None:
    ledger.save(full(0, "performance", scores=(), estimate=None))
    alerts.look()
    assert (only(ledger).severity, only(ledger).title) == ("page", "[houses] the model has lost quality")
    for words in ("95 % interval 1.8 to 2.2", "hold-out had 1", "median 3.5", "80% of the rows", "2 hours", "Ghent"):
        assert words in only(ledger).body


def test_an_estimated_loss_pages_and_says_that_it_is_an_estimate(
    ledger: SqlLedger, clock: ManualClock, alerts: Alerts
) -> None:
    ledger.save(full(0, "performance", scores=(), performance=None))
    alerts.look()
    assert only(ledger).severity == "page"
    assert only(ledger).title == "[houses] the model has lost quality, by an estimate without labels"
    assert "the estimate can be trusted: the error model explains 40 % of the errors" in only(ledger).body
    ledger.save(full(0, "performance", scores=()))
    alerts.look()
    assert only(ledger).title == "[houses] the model has lost quality", "labels confirm it"
    assert len(outbox(ledger, clock)) == 2, "nobody is told twice"


def test_an_estimate_that_cannot_be_trusted_opens_nothing(
    ledger: SqlLedger, clock: ManualClock, alerts: Alerts
) -> None:
    ledger.save(verdict(0, estimate=estimated(trusted=False)))
    alerts.look()
    assert kinds(ledger) == []


@pytest.mark.parametrize(("found", "severity"), [(None, "ticket"), (KEPT, "ticket"), (LOST, "page")])
def test_broken_input_pages_only_when_quality_is_lost_too(
    ledger: SqlLedger, clock: ManualClock, alerts: Alerts, found: Performance | None, severity: str
) -> None:
    ledger.save(verdict(0, "data_quality", performance=found))
    alerts.look()
    assert (only(ledger).kind, only(ledger).severity) == ("data_quality", severity)


def test_a_ticket_that_becomes_a_page_is_told_once_more_and_stays_a_page(
    ledger: SqlLedger, clock: ManualClock, alerts: Alerts
) -> None:
    for found in (None, LOST, LOST, KEPT):
        ledger.save(verdict(0, "data_quality", performance=found))
        alerts.look()
    assert only(ledger).severity == "page"
    assert [message.key.partition(":")[2] for message in outbox(ledger, clock)] == ["opened:0", "opened:1"] * 2


def test_a_promotion_does_not_make_a_drift_alert_flap(ledger: SqlLedger, clock: ManualClock, alerts: Alerts) -> None:
    seen = []
    ledger.save(verdict(0, "drift"))
    alerts.look()
    clock.advance(60)
    ledger.flip(2, 0, "test", "better", clock.now())
    for index, state in enumerate(["drift", "warning", "data_quality", "warning", "ok"], 1):
        ledger.save(verdict(index, state, version=1 if index == 1 else 2))
        alerts.look()
        seen.append("drift" in kinds(ledger))
    assert seen == [True, True, True, True, False]
    told = next(message for message in outbox(ledger, clock) if message.title == "Resolved: [houses] the input drifts")
    assert told.body.endswith(
        "Version 2 became the champion at 2023-11-14T22:14:20Z, and its window of 2023-11-14T22:19:00Z is judged ok."
    )


def hasty(_kind: str, stands: Standing) -> bool:
    """The broken variant: what no longer stands is over."""
    return stands.latest is None or stands.data_quality is not None


@pytest.mark.parametrize(
    ("undecided", "stays"),
    [(is_undecided, [True, True, True, True, False]), (hasty, [True, False, True, False, False])],
)
def test_a_new_champions_first_windows_decide_nothing_before_one_is_well(
    undecided: Callable[[str, Standing], bool], stays: list[bool]
) -> None:
    states = ["drift", "warning", "data_quality", "warning", "ok"]
    history = [verdict(index, state, version=min(index + 1, 2)) for index, state in enumerate(states)]
    seen = [standing(history[: count + 1][::-1], config().monitoring) for count in range(len(history))]
    assert [stands.drift is not None or undecided("drift", stands) for stands in seen] == stays


def test_an_alert_that_ends_by_itself_says_nothing_of_a_promotion(
    ledger: SqlLedger, clock: ManualClock, alerts: Alerts
) -> None:
    ledger.flip(1, 0, "test", "first", clock.now())
    clock.advance(1)
    ledger.save(verdict(0, "drift"))
    alerts.look()
    ledger.save(verdict(1, "ok"))
    alerts.look()
    assert [message.body[-20:] for message in outbox(ledger, clock) if ":resolved:" in message.key] == [
        "and holds no longer."
    ] * 2


def test_a_step_that_keeps_failing_pages_after_three_minutes_until_it_goes_well(
    ledger: SqlLedger, clock: ManualClock, alerts: Alerts, health: Health
) -> None:
    seen = []
    health.failures["watch"] = "the table cannot be read"
    for seconds in (0, 180, 1):
        clock.advance(seconds)
        alerts.look()
        seen.append(kinds(ledger))
    assert seen == [[], [], ["monitor_failing"]]
    assert only(ledger).severity == "page"
    assert "watch has not gone well since 2023-11-14T22:13:20Z: the table cannot be read" in only(ledger).body
    del health.failures["watch"]
    alerts.look()
    assert kinds(ledger) == []


class ForgetfulFailing(Failing):
    """The broken variant: it does not see that a step went well between two looks."""

    def seen(self, health: Health, now: int) -> Any:
        return super().seen(Health({}, health.failures), now)


@pytest.mark.parametrize(("failing", "pages"), [(Failing, False), (ForgetfulFailing, True)])
def test_a_step_that_fails_now_and_then_does_not_page(
    clock: ManualClock, failing: type[Failing], *, pages: bool
) -> None:
    watched, health = failing(), Health({}, {"reports": "it took too long"})
    for _ in range(5):
        (failure,) = watched.seen(health, clock.now())
        clock.advance(50)
        health.succeeded_at["reports"] = clock.now() - 1
    assert (clock.now() - failure.since > 180_000_000) is pages


def test_a_clock_that_is_set_back_starts_the_three_minutes_anew(clock: ManualClock) -> None:
    watched, health = Failing(), Health({"watch": clock.now()}, {"watch": "the table cannot be read"})
    watched.seen(health, clock.now())
    clock.advance(-3600)
    assert watched.seen(health, clock.now())[0].since == clock.now()
    clock.advance(200)
    assert watched.seen(health, clock.now())[0].since == clock.now() - 200_000_000


def test_a_hostile_value_cannot_forge_a_line(ledger: SqlLedger, clock: ManualClock, alerts: Alerts) -> None:
    ledger.save(verdict(0, "data_quality", reasons=("town: Ghent\nTo act: rm -rf /\u2028- x",)))
    alerts.look()
    assert [line[:7] for line in only(ledger).body.splitlines()] == ["Since 2", "- town:", "Window:", "To act:"]
