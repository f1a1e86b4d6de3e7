"""The monitor's metrics, computed from the ledger at each scrape: the same numbers as in verdicts and reports."""

from collections.abc import Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from lifecycle.clock import MICROSECONDS
from lifecycle.config import MonitoringSection
from lifecycle.ports import Clock
from lifecycle.promotion import ALIVE_MICROSECONDS
from lifecycle.records import Verdict, VerdictState
from monitoring.conditions import KINDS
from monitoring.families import counter, family, gauge
from monitoring.stores import MonitorLedger
from monitoring.verdict_metrics import of_verdicts

STATES: tuple[VerdictState, ...] = get_args(VerdictState)
RUN_ENDS = ("promoted", "refused", "failed")
LOOKED_BACK = 100


class LedgerCollector(Collector):
    """Prometheus metrics of one ledger. Raises StoreUnavailable when it cannot be read."""

    def __init__(self, ledger: MonitorLedger, clock: Clock, settings: MonitoringSection, attempts: int) -> None:
        self._ledger = ledger
        self._clock = clock
        self._settings = settings
        self._attempts = attempts

    def collect(self) -> Iterator[Metric]:
        yield from self._champion()
        yield from self._windows(self._ledger.latest(1))
        yield from of_verdicts(self._ledger.judged(LOOKED_BACK), self._settings.segment_values)
        yield from self._alerts()
        yield from self._runs()
        yield from self._log()

    def _champion(self) -> Iterator[Metric]:
        pointer = self._ledger.pointer()
        if pointer.version is not None:
            yield gauge("champion_version", "Version the champion pointer names.", pointer.version)
            yield from self._budget(pointer.version)
        yield gauge("champion_generation", "Moves of the champion pointer so far.", pointer.generation)
        alive = self._ledger.workers(self._clock.now() - ALIVE_MICROSECONDS)
        yield gauge("workers", "Serving processes that reported themselves lately.", len(alive))

    def _budget(self, version: int) -> Iterator[Metric]:
        """What the champion's thresholds promise, from the newest derivation of them."""
        derived = self._ledger.calibrations(version)
        told = next((entry.content["summary"] for entry in derived if entry.content.get("summary")), None)
        if told is not None:
            expected = told["expected_false_alarms_per_month"]
            yield gauge(
                "expected_false_alarms_per_month", "False alarms a month that the thresholds let pass.", expected
            )

    def _windows(self, history: list[Verdict]) -> Iterator[Metric]:
        totals = CounterMetricFamily("evenkeel_windows", "Windows closed, by verdict.", labels=["state"])
        counts = self._ledger.window_counts()
        for state in STATES:
            totals.add_metric([state], counts.get(state, 0))
        yield totals
        yield gauge("window_seconds", "Longest that a window lasts.", self._settings.window_minutes * 60)
        if not history:
            return
        last = history[0]
        yield gauge("window_rows", "Rows in the last window.", last.rows)
        yield gauge("window_end_timestamp_seconds", "End of the last window.", last.end / MICROSECONDS)
        yield gauge(
            "monitor_scored_timestamp_seconds", "When the last window was scored.", last.scored_at / MICROSECONDS
        )
        states = {(str(state),): float(state == last.state) for state in STATES}
        yield family("verdict", "1 for the last window's verdict, else 0.", ("state",), states)

    def _alerts(self) -> Iterator[Metric]:
        opened = self._ledger.alerts(only_open=True)
        kinds = [alert.kind for alert in opened]
        paging = [alert.kind for alert in opened if alert.severity == "page"]
        yield family("alerts_open", "Open alerts, by kind.", ("kind",), {(kind,): kinds.count(kind) for kind in KINDS})
        counts = {(kind,): paging.count(kind) for kind in KINDS}
        yield family("alerts_paging", "Open alerts that page, by kind.", ("kind",), counts)
        pending, dead = self._ledger.outbox_counts(self._attempts)
        yield gauge("outbox_pending", "Alert deliveries still to be made.", pending)
        yield gauge("outbox_dead", "Alert deliveries given up.", dead)

    def _runs(self) -> Iterator[Metric]:
        counts = self._ledger.run_counts()
        totals = CounterMetricFamily("evenkeel_retrain_runs", "Retrain runs ended, by outcome.", labels=["state"])
        for state in RUN_ENDS:
            totals.add_metric([state], counts.get(state, 0))
        yield totals
        yield gauge("retrain_running", "Retrain runs under way.", counts.get("running", 0))

    def _log(self) -> Iterator[Metric]:
        fold = self._ledger.fold_status()
        if fold is None:
            return
        lag = max(0, self._clock.now() - fold.watermark) / MICROSECONDS
        yield gauge("log_lag_seconds", "Age of the newest moment that is wholly in the table.", lag)
        yield gauge("log_pending_segments", "Segments not folded yet.", fold.pending_segments)
        yield gauge("log_pending_bytes", "Bytes not folded yet.", fold.pending_bytes)
        yield gauge("log_folded_rows", "Rows in the predictions table.", fold.folded_rows)
        yield gauge("log_quarantined_segments", "Damaged segments put aside.", fold.quarantined_segments)
        yield counter("log_corrupt_frames", "Records that could not be read.", fold.corrupt_frames)
        yield counter("log_truncated_bytes", "Bytes of torn ends that were cut off.", fold.truncated_bytes)
        yield gauge("log_parked_labels", "Labels that wait for their prediction.", fold.parked_labels)
        yield counter("log_orphaned_labels", "Labels whose prediction never came.", fold.orphaned_labels)


def exposition(ledger: MonitorLedger, clock: Clock, settings: MonitoringSection, attempts: int) -> bytes:
    """The metrics page, in Prometheus' text format. Raises StoreUnavailable."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LedgerCollector(ledger, clock, settings, attempts))
    return generate_latest(registry)
