"""The console: one page of facts, rendered on the server, readable without scripts. It shows and changes nothing."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import jinja2

from lifecycle.clock import MICROSECONDS, to_text
from lifecycle.ports import Clock
from lifecycle.promotion import ALIVE_MICROSECONDS
from lifecycle.records import Verdict
from monitoring.metrics import last_labelled, last_scored
from monitoring.steps import Steps
from monitoring.stores import MonitorLedger

TIMELINE = 120
MOST_ROWS = 20
REFRESH_SECONDS = 10


@dataclass(frozen=True)
class Console:
    """Reads the ledger and the monitor's health for the page and for the API."""

    ledger: MonitorLedger
    clock: Clock
    steps: Steps
    model: str
    attempts: int

    def status(self) -> dict[str, Any]:
        """The state of everything in one object. Raises StoreUnavailable."""
        now = self.clock.now()
        pointer, fold = self.ledger.pointer(), self.ledger.fold_status()
        history = self.ledger.latest(1)
        pending, dead = self.ledger.outbox_counts(self.attempts)
        return {
            "model": self.model,
            "at": to_text(now),
            "leads": self.steps.leads,
            "failures": dict(self.steps.health.failures),
            "champion": asdict(pointer),
            "workers": [asdict(worker) for worker in self.ledger.workers(now - ALIVE_MICROSECONDS)],
            "verdict": asdict(history[0]) if history else None,
            "windows": dict(self.ledger.window_counts()),
            "runs": dict(self.ledger.run_counts()),
            "alerts_open": [alert.kind for alert in self.ledger.alerts(only_open=True)],
            "outbox": {"pending": pending, "dead": dead},
            "log": asdict(fold) | {"lag_seconds": round((now - fold.watermark) / MICROSECONDS, 1)} if fold else None,
        }

    def page(self) -> str:
        """The console as HTML. Raises StoreUnavailable."""
        history = self.ledger.latest(TIMELINE)
        told = self.ledger.judged(TIMELINE)
        scored = last_scored(told)
        return (
            _environment()
            .get_template("console.html")
            .render(
                status=self.status(),
                timeline=list(reversed(history)),
                recent=[verdict for verdict in history if verdict.rows][:MOST_ROWS],
                scored=scored,
                scores=_widest_first(scored),
                labelled=last_labelled(told),
                alerts=self.ledger.alerts(only_open=False, limit=MOST_ROWS),
                runs=self.ledger.runs(MOST_ROWS),
                moves=self.ledger.moves(MOST_ROWS),
                versions={version.number: version for version in self.ledger.versions()},
                reports=[verdict for verdict in told if verdict.report][:MOST_ROWS],
                refresh=REFRESH_SECONDS,
            )
        )


def _widest_first(verdict: Verdict | None) -> list[tuple[Any, float]]:
    """Each score with the width of its bar in per cent, where 50 is the threshold."""
    if verdict is None:
        return []
    pairs = [(score, (score.score or 0.0) / max(score.threshold, 1e-12)) for score in verdict.scores]
    return [(score, min(100.0, 50 * ratio)) for score, ratio in sorted(pairs, key=lambda pair: -pair[1])]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("monitoring"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters["moment"] = lambda value: to_text(value) if value else "-"
    environment.filters["clock"] = lambda value: to_text(value)[11:19]
    environment.filters["number"] = lambda value: "-" if value is None else f"{value:.4g}"
    environment.filters["compact"] = lambda value: json.dumps(value, sort_keys=True)
    return environment
