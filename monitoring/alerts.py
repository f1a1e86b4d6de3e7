"""Alerts, derived from the ledger in every round: which conditions hold, and what opened or resolved since.

At most one alert per kind is open. Opening and resolving put one delivery per target into the outbox in the same
transaction, so a crash between a verdict and its alert heals in the next round and nothing is announced twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import structlog

from lifecycle.clock import MICROSECONDS, to_text
from lifecycle.config import MonitoringSection
from lifecycle.ids import uuid7
from lifecycle.ports import Clock
from lifecycle.promotion import ALIVE_MICROSECONDS
from lifecycle.records import Alert, Delivery, FoldStatus, Pointer, RetrainRun, Severity, Worker
from monitoring.judge import NOT_FOLDED
from monitoring.standing import Holding, Standing, standing
from monitoring.stores import MonitorLedger

Transition = Literal["opened", "resolved"]
KINDS = (
    "drift",
    "performance",
    "data_quality",
    "retrain_refused",
    "retrain_failed",
    "log_degraded",
    "not_converged",
)
LOOKED_BACK = 100
LAG_SECONDS = 60
BACKLOG_BYTES = 64 * 2**20
BACKLOG_SECONDS = 60
"""A backlog of so many bytes is told when it has not become less for so long."""
SILENT_SECONDS = 30
CONVERGED_SECONDS = 30
MOST_EVIDENCE = 3
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Condition:
    """Something that holds now and is worth telling: plain text, one or a few sentences each."""

    kind: str
    severity: Severity
    title: str
    evidence: tuple[str, ...]
    act: str
    since: int
    report: str | None = None


@dataclass(frozen=True)
class Facts:
    """What the conditions are read from."""

    now: int
    standing: Standing
    runs: Sequence[RetrainRun]
    fold: FoldStatus | None
    pointer: Pointer
    workers: Sequence[Worker]
    backlog_since: int | None = None


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


class Alerts:
    """Brings the ledger's open alerts in line with the conditions that hold."""

    def __init__(
        self, ledger: MonitorLedger, clock: Clock, settings: MonitoringSection, targets: int, model: str, project: Path
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._settings = settings
        self._targets = targets
        self._model = model
        self._project = project
        self._backlog = Backlog()

    def look(self) -> None:
        """Open, update and resolve alerts."""
        facts = self._facts()
        holding = {condition.kind: condition for condition in conditions(facts)}
        opened = {alert.kind: alert for alert in self._ledger.alerts(only_open=True)}
        for kind in KINDS:
            condition, alert = holding.get(kind), opened.get(kind)
            if condition and alert is None:
                self._open(condition, facts.now)
            elif condition and alert:
                self._update(alert, condition, facts.now)
            elif alert and not _undecided(kind, facts.standing):
                self._resolve(alert, facts.now)

    def _facts(self) -> Facts:
        now = self._clock.now()
        history = self._ledger.judged(LOOKED_BACK)
        stands = standing(history, self._settings.minimum_labels, self._settings.persistence)
        workers = self._ledger.workers(now - ALIVE_MICROSECONDS)
        fold = self._ledger.fold_status()
        runs, pointer = self._ledger.runs(10), self._ledger.pointer()
        return Facts(now, stands, runs, fold, pointer, workers, self._backlog.seen(fold))

    def _open(self, condition: Condition, now: int) -> None:
        title, body = f"[{self._model}] {condition.title}", self._body(condition)
        alert = Alert(uuid7(), condition.kind, condition.severity, title, body, now, now)
        self._ledger.save_alert(alert, self._deliveries(alert, "opened", title, body, now))
        log.info("alert_opened", kind=alert.kind, alert=alert.id)

    def _update(self, alert: Alert, condition: Condition, now: int) -> None:
        body = self._body(condition)
        title = f"[{self._model}] {condition.title}"
        if (body, title) != (alert.body, alert.title):
            self._ledger.save_alert(replace(alert, title=title, body=body, updated_at=now), [])

    def _resolve(self, alert: Alert, now: int) -> None:
        resolved = replace(alert, updated_at=now, resolved_at=now)
        title = f"Resolved: {alert.title}"
        body = f"This held from {to_text(alert.opened_at)} to {to_text(now)} and holds no longer."
        self._ledger.save_alert(resolved, self._deliveries(resolved, "resolved", title, body, now))
        log.info("alert_resolved", kind=alert.kind, alert=alert.id)

    def _deliveries(self, alert: Alert, transition: Transition, title: str, body: str, now: int) -> list[Delivery]:
        targets = range(self._targets)
        keys = [f"{alert.id}:{transition}:{target}" for target in targets]
        return [Delivery(keys[target], alert.id, transition, target, title, body, 0, now) for target in targets]

    def _body(self, condition: Condition) -> str:
        lines = [f"Since {to_text(condition.since)}.", *(f"- {line}" for line in condition.evidence[:MOST_EVIDENCE])]
        address = f"http://{self._settings.host}:{self._settings.port}/"
        lines.append(f"Report: {address}reports/{condition.report}" if condition.report else f"Console: {address}")
        lines.append(f"To act: {condition.act} --project {self._project}")
        return "\n".join(lines)


def conditions(facts: Facts) -> list[Condition]:
    """Every condition that holds."""
    return [*_of_verdicts(facts.standing), *_of_runs(facts.runs), *_of_log(facts), *_of_workers(facts)]


def _undecided(kind: str, stands: Standing) -> bool:
    """While the newest window is broken, or none is judged, nothing is known of drift and quality, so they stay."""
    if kind == "data_quality":
        return stands.latest is None
    return kind in ("drift", "performance") and (stands.latest is None or stands.data_quality is not None)


def _of_verdicts(stands: Standing) -> list[Condition]:
    found = []
    if stands.drift:
        found.append(_condition("drift", "ticket", "the input drifts", stands.drift, "evenkeel reports"))
    if stands.performance:
        found.append(
            _condition("performance", "page", "the model has lost quality", stands.performance, "evenkeel status")
        )
    if stands.data_quality:
        title = "the input is broken, and retraining is blocked"
        found.append(_condition("data_quality", "page", title, stands.data_quality, "evenkeel status"))
    return found


def _condition(kind: str, severity: Severity, title: str, holding: Holding, act: str) -> Condition:
    verdict = holding.verdict
    evidence = tuple(reason for reason in verdict.reasons if reason != NOT_FOLDED)
    return Condition(kind, severity, title, evidence, act, holding.since, holding.report)


def _of_runs(runs: Sequence[RetrainRun]) -> list[Condition]:
    ended = [run for run in runs if run.state in ("promoted", "refused", "failed")]
    last = max(ended, key=lambda run: run.finished_at or 0, default=None)
    if last is None or last.state == "promoted":
        return []
    reasons = tuple(str(reason) for reason in last.decision.get("reasons", ())) or ("no reason was recorded",)
    since = last.finished_at or last.requested_at
    if last.state == "refused":
        return [Condition("retrain_refused", "ticket", "a retrain was refused", reasons, "evenkeel models", since)]
    return [Condition("retrain_failed", "page", "a retrain failed", reasons, "evenkeel retrain", since)]


def _of_log(facts: Facts) -> list[Condition]:
    fold = facts.fold
    if fold is None:
        return []
    evidence = []
    if fold.quarantined_segments:
        evidence.append(
            f"{fold.quarantined_segments} damaged segments were put aside in the feature log's quarantine folder, and "
            f"{fold.corrupt_frames} of all their records could not be read; look at them, then move them away"
        )
    if fold.problem:
        evidence.append(f"the fold is hindered: {fold.problem}")
    if facts.now - fold.at > SILENT_SECONDS * MICROSECONDS:
        evidence.append(f"the fold has not reported since {to_text(fold.at)}; start it with `evenkeel up`")
    elif facts.now - fold.watermark > LAG_SECONDS * MICROSECONDS:
        evidence.append(
            f"the table ends at {to_text(fold.watermark)}; {fold.pending_segments} segments wait to be folded"
        )
    since = facts.backlog_since
    if since is not None and fold.at - since > BACKLOG_SECONDS * MICROSECONDS:
        evidence.append(
            f"{fold.pending_bytes // 2**20} MiB wait to be folded, and have not become less since {to_text(since)}; "
            "look for what keeps the fold from writing, or give it more of the machine"
        )
    if not evidence:
        return []
    return [
        Condition("log_degraded", "page", "the feature log is degraded", tuple(evidence), "evenkeel doctor", fold.at)
    ]


def _of_workers(facts: Facts) -> list[Condition]:
    moved_at = facts.pointer.moved_at
    if moved_at is None or facts.now - moved_at < CONVERGED_SECONDS * MICROSECONDS:
        return []
    behind = [worker for worker in facts.workers if worker.generation < facts.pointer.generation]
    if not behind:
        return []
    line = f"{len(behind)} of {len(facts.workers)} workers do not serve version {facts.pointer.version}"
    return [
        Condition("not_converged", "page", "workers do not follow the champion", (line,), "evenkeel doctor", moved_at)
    ]
