"""The console: a page of facts and one for each window, rendered on the server, readable without scripts. It shows and changes nothing."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jinja2

from lifecycle.clock import MICROSECONDS, to_text
from lifecycle.config import MonitoringSection
from lifecycle.ports import Clock
from lifecycle.promotion import ALIVE_MICROSECONDS
from lifecycle.records import ColumnScore, Performance
from monitoring import sentences
from monitoring.steps import Steps
from monitoring.stores import MonitorLedger
from monitoring.verdict_metrics import last_labelled, last_scored
from monitoring.verdicts import strongest

TIMELINE = 120
MOST_ROWS = 20
REFRESH_SECONDS = 10


@dataclass(frozen=True)
class Console:
    """Reads the ledger and the monitor's health for the page and for the API."""

    ledger: MonitorLedger
    clock: Clock
    steps: Steps
    settings: MonitoringSection
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
        return _rendered(
            "console.html",
            status=self.status(),
            timeline=list(reversed(history)),
            recent=[verdict for verdict in history if verdict.rows][:MOST_ROWS],
            scored=scored,
            scores=_with_bars(scored.scores) if scored else [],
            labelled=last_labelled(told),
            alerts=self.ledger.alerts(only_open=False, limit=MOST_ROWS),
            runs=self.ledger.runs(MOST_ROWS),
            moves=self.ledger.moves(MOST_ROWS),
            versions={version.number: version for version in self.ledger.versions()},
            reports=[verdict for verdict in told if verdict.report][:MOST_ROWS],
            refresh=REFRESH_SECONDS,
        )

    def window(self, start: int) -> str | None:
        """All that was found of the window that starts at `start`, as HTML; None when there is none. Raises StoreUnavailable."""
        verdict = self.ledger.verdict(start)
        if verdict is None:
            return None
        return _rendered(
            "window.html",
            model=self.model,
            verdict=verdict,
            scores=_with_bars(verdict.scores),
            measured=sentences.of_performance(verdict.performance, verdict.segments),
            metrics=_metrics(verdict.performance) if verdict.performance else [],
            estimated=sentences.of_estimate(verdict.estimate),
        )


def _with_bars(scores: Sequence[ColumnScore]) -> list[tuple[ColumnScore, float]]:
    """Each score, what matters most first, with the width of its bar in per cent, where 50 is the threshold."""
    below = sorted((score for score in scores if not score.drifted), key=_strength, reverse=True)
    return [(score, min(100.0, 50 * _strength(score))) for score in (*strongest(scores), *below)]


def _strength(score: ColumnScore) -> float:
    """The score in thresholds; 0 where there is no score."""
    return (score.score or 0.0) / max(score.threshold, 1e-12)


def _metrics(found: Performance) -> list[tuple[str, float, tuple[float, float] | None, float | None]]:
    """Each metric with its interval and what it is on the champion's hold-out, the loss first."""
    names = sorted(set(found.metrics) - {"loss_lower", "cut_off_rows"}, key=lambda name: (name != "loss", name))
    return [(name, found.metrics[name], found.intervals.get(name), found.reference.get(name)) for name in names]


def _rendered(template: str, **facts: Any) -> str:
    return _environment().get_template(template).render(facts)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("monitoring"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters["moment"] = lambda value: to_text(value) if value else "-"
    environment.filters["number"] = lambda value: "-" if value is None else f"{value:.4g}"
    environment.filters["share"] = lambda value: "-" if value is None else f"{value:.0%}"
    return environment
