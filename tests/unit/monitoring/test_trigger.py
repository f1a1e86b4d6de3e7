from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lifecycle.clock import ManualClock
from lifecycle.feature_log.table import LogTables
from lifecycle.ids import uuid7
from lifecycle.ledger.sql import SqlLedger
from lifecycle.records import RetrainRun, Verdict
from monitoring.standing import standing
from monitoring.stores import Amendments
from monitoring.trigger import BY_VERDICT, Situation, Trigger, obstacle
from tests.unit.monitoring.making import MINUTE, START, config, newest_first, verdict

NOW = START + 100 * MINUTE
DRIFT = newest_first("warning", "drift")
SETTINGS = config(retrain={"cooldown_minutes": 60, "runs_per_month": 3, "minimum_rows": 200}).retrain


def run(state: str = "promoted", ago_minutes: float = 90, trigger: str = BY_VERDICT) -> RetrainRun:
    at = NOW - int(ago_minutes * MINUTE)
    fields: dict[str, Any] = {"state": state, "finished_at": at if state not in ("requested", "running") else None}
    return RetrainRun(uuid7(), at, trigger, **fields)


def blocked(
    history: Sequence[Verdict] = DRIFT, runs: Sequence[RetrainRun] = (), rows: int = 500, champion: int = 1
) -> str:
    return obstacle(Situation(NOW, standing(history, config().monitoring), champion, runs, rows), SETTINGS) or ""


def test_standing_drift_starts_a_retrain() -> None:
    assert blocked() == ""


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ({"history": newest_first("ok", "ok")}, "no verdict asks"),
        ({"history": newest_first("warning", "drift", "data_quality")}, "broken input"),
        ({"champion": 2}, "version 2 serves now"),
        ({"runs": [run("running")]}, "is running"),
        ({"runs": [run("requested")]}, "is requested"),
        ({"runs": [run("refused", ago_minutes=59)]}, "the next can start at"),
        ({"runs": [run(ago_minutes=90)] * 3}, "which is the budget"),
        ({"rows": 199}, "199 new labelled rows"),
    ],
)
def test_every_obstacle_is_a_sentence(reason: dict[str, Any], sentence: str) -> None:
    assert sentence in blocked(**reason)


def test_runs_on_demand_cost_no_budget() -> None:
    assert blocked(runs=[run(trigger="on demand")] * 3) == ""


def test_a_month_later_the_budget_is_whole_again() -> None:
    assert blocked(runs=[run(ago_minutes=31 * 24 * 60)] * 3) == ""


def test_retraining_can_be_turned_off() -> None:
    off = config(retrain={"mode": "off"}).retrain
    assert "turned off" in str(obstacle(Situation(NOW, standing(DRIFT, config().monitoring), 1, [], 500), off))


def looking(ledger: SqlLedger, clock: ManualClock, folder: Path, **retrain: Any) -> Trigger:
    settings = config(retrain=retrain)
    tables = LogTables(folder)
    return Trigger(ledger, Amendments(ledger), tables, clock, settings.monitoring, settings.retrain)


def drifting(ledger: SqlLedger) -> None:
    for item in DRIFT:
        ledger.save(item)
    ledger.flip(1, 0, "test", "first", START)


def test_the_reason_why_not_stands_on_the_verdict(ledger: SqlLedger, clock: ManualClock, tmp_path: Path) -> None:
    drifting(ledger)
    assert looking(ledger, clock, tmp_path).look() is None
    assert ledger.latest(1)[0].retrain == "no retrain: 0 new labelled rows are there; a retrain needs 200"


def test_a_window_starts_at_most_one_run_even_after_a_crash_before_its_note(
    ledger: SqlLedger, clock: ManualClock, tmp_path: Path
) -> None:
    drifting(ledger)
    started = RetrainRun(uuid7(), clock.now(), f"{BY_VERDICT}version 1 in the window 2023-11-14T22:15:00Z", "refused")
    ledger.save_run(started)
    assert looking(ledger, clock, tmp_path).look() is None
    assert ledger.latest(1)[0].retrain == f"started retrain {started.id}"
    assert len(ledger.runs()) == 1


def test_amendments_change_only_their_fields(ledger: SqlLedger) -> None:
    ledger.save(verdict(report="1.html"))
    Amendments(ledger).amend(START, retrain="no retrain: it rests")
    assert ledger.verdict(START) == replace(verdict(report="1.html"), retrain="no retrain: it rests")
    assert Amendments(ledger).amend(START + 1, retrain="") is None
