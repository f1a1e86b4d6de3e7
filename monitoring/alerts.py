"""Alerts, derived from the ledger in every round: which conditions hold, and what opened or resolved since.

At most one alert per kind is open. Opening and resolving put one delivery per target into the outbox in the same
transaction, so a crash between a verdict and its alert heals in the next round and nothing is announced twice.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import structlog

from lifecycle.clock import to_text
from lifecycle.config import MonitoringSection
from lifecycle.ids import uuid7
from lifecycle.ports import Clock
from lifecycle.promotion import ALIVE_MICROSECONDS
from lifecycle.records import Alert, Delivery, FoldStatus
from monitoring.conditions import KINDS, Condition, Facts, Failure, conditions, ending, is_undecided
from monitoring.standing import of_late, standing
from monitoring.steps import Health
from monitoring.stores import MonitorLedger

Transition = Literal["opened", "resolved"]
LOOKED_BACK = 100
BACKLOG_BYTES = 64 * 2**20
MOST_EVIDENCE = 10
log = structlog.get_logger(__name__)


class Backlog:
    """Since when what waits to be folded has not become less, from one look at it to the next."""

    def __init__(self) -> None:
        self._lowest = 0
        self._since: int | None = None

    def seen(self, fold: FoldStatus | None) -> int | None:
        """That moment, now that `fold` is known; None while there is no backlog."""
        if fold is None or fold.pending_bytes < BACKLOG_BYTES:
            self._since = None
        elif self._since is None or fold.pending_bytes < self._lowest:
            self._lowest, self._since = fold.pending_bytes, fold.at
        return self._since


class Failing:
    """Since when each step of the monitor has not gone well, from one look at its health to the next."""

    def __init__(self) -> None:
        self._since: dict[str, int] = {}

    def seen(self, health: Health, now: int) -> Sequence[Failure]:
        """The steps that fail now. A step that went well between two looks begins anew."""
        failures, succeeded_at = dict(health.failures), dict(health.succeeded_at)
        self._since = {name: self._begun(name, succeeded_at.get(name, 0), now) for name in failures}
        return [Failure(name, sentence, self._since[name]) for name, sentence in failures.items()]

    def _begun(self, name: str, succeeded_at: int, now: int) -> int:
        """Never in the future: the clock may have been set back."""
        began = min(self._since.get(name, now), now)
        return max(began, succeeded_at) if succeeded_at <= now else began


class Alerts:
    """Brings the ledger's open alerts in line with the conditions that hold."""

    def __init__(
        self,
        ledger: MonitorLedger,
        clock: Clock,
        settings: MonitoringSection,
        targets: int,
        model: str,
        project: Path,
        health: Health | None = None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._settings = settings
        self._targets = targets
        self._model = model
        self._project = project
        self._health = health or Health()
        self._backlog = Backlog()
        self._failing = Failing()

    def look(self) -> None:
        """Open, update and resolve alerts."""
        facts = self._facts()
        holding = {condition.kind: condition for condition in conditions(facts)}
        opened = {alert.kind: alert for alert in self._ledger.alerts(only_open=True)}
        for kind in KINDS:
            condition, alert = holding.get(kind), opened.get(kind)
            if condition:
                self._tell(condition, alert, facts.now)
            elif alert and not is_undecided(kind, facts.standing):
                self._resolve(alert, facts)

    def _facts(self) -> Facts:
        now = self._clock.now()
        stands = standing(of_late(self._ledger.judged(LOOKED_BACK), now, self._settings), self._settings)
        workers = self._ledger.workers(now - ALIVE_MICROSECONDS)
        fold = self._ledger.fold_status()
        runs, pointer = self._ledger.runs(10), self._ledger.pointer()
        failures = self._failing.seen(self._health, now)
        return Facts(now, stands, runs, fold, pointer, workers, self._backlog.seen(fold), failures)

    def _tell(self, condition: Condition, alert: Alert | None, now: int) -> None:
        """An open ticket that has become a page is closed without a word and opened again, so that people hear of it."""
        if alert is None:
            self._open(condition, now)
        elif (condition.severity, alert.severity) == ("page", "ticket"):
            self._ledger.save_alert(replace(alert, updated_at=now, resolved_at=now), [])
            self._open(condition, now)
        else:
            self._update(alert, condition, now)

    def _open(self, condition: Condition, now: int) -> None:
        title, body = f"[{self._model}] {condition.title}", self._body(condition)
        alert = Alert(uuid7(), condition.kind, condition.severity, title, body, now, now)
        self._ledger.save_alert(alert, self._deliveries(alert, "opened", title, body, now))
        log.info("alert_opened", kind=alert.kind, severity=alert.severity, alert=alert.id)

    def _update(self, alert: Alert, condition: Condition, now: int) -> None:
        body = self._body(condition)
        title = f"[{self._model}] {condition.title}"
        if (body, title) != (alert.body, alert.title):
            self._ledger.save_alert(replace(alert, title=title, body=body, updated_at=now), [])

    def _resolve(self, alert: Alert, facts: Facts) -> None:
        now = facts.now
        resolved = replace(alert, updated_at=now, resolved_at=now)
        title = f"Resolved: {alert.title}"
        body = (
            f"This held from {to_text(alert.opened_at)} to {to_text(now)} and holds no longer. {ending(alert, facts)}"
        )
        self._ledger.save_alert(resolved, self._deliveries(resolved, "resolved", title, body.rstrip(), now))
        log.info("alert_resolved", kind=alert.kind, alert=alert.id)

    def _deliveries(self, alert: Alert, transition: Transition, title: str, body: str, now: int) -> list[Delivery]:
        targets = range(self._targets)
        keys = [f"{alert.id}:{transition}:{target}" for target in targets]
        return [Delivery(keys[target], alert.id, transition, target, title, body, 0, now) for target in targets]

    def _body(self, condition: Condition) -> str:
        lines = [f"Since {to_text(condition.since)}."]
        lines += [f"- {_one_line(sentence)}" for sentence in condition.evidence[:MOST_EVIDENCE]]
        lines += [f"{name}: {self._address}{path}" for name, path in _links(condition).items()]
        lines.append(f"To act: {condition.act} --project {self._project}")
        return "\n".join(lines)

    @property
    def _address(self) -> str:
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"http://{host}:{self._settings.port}/"


def _links(condition: Condition) -> dict[str, str]:
    links = {} if condition.window is None else {"Window": f"windows/{condition.window}"}
    if condition.report:
        links["Report"] = f"reports/{condition.report}"
    return links or {"Console": ""}


def _one_line(sentence: str) -> str:
    """Names and values are the callers': none may look like a line of its own."""
    return " ".join(sentence.split())
