"""The monitor's metrics, computed from the ledger at each scrape: the same numbers as in verdicts and reports."""

from collections.abc import Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lifecycle.clock import MICROSECONDS
from lifecycle.ports import Clock
from lifecycle.promotion import ALIVE_MICROSECONDS
from lifecycle.records import Verdict, VerdictState
from monitoring.alerts import KINDS
from monitoring.stores import MonitorLedger

STATES: tuple[VerdictState, ...] = get_args(VerdictState)
RUN_ENDS = ("promoted", "refused", "failed")
LOOKED_BACK = 100


class LedgerCollector(Collector):
    """Prometheus metrics of one ledger. Raises StoreUnavailable when it cannot be read."""

    def __init__(self, ledger: MonitorLedger, clock: Clock, attempts: int) -> None:
        self._ledger = ledger
        self._clock = clock
        self._attempts = attempts

    def collect(self) -> Iterator[Metric]:
        told = self._ledger.judged(LOOKED_BACK)
        yield from self._champion()
        yield from self._windows(self._ledger.latest(1))
        yield from _scores(told)
        yield from _performance(told)
        yield from _coverage(told)
        yield from self._alerts()
        yield from self._runs()
        yield from self._log()

    def _champion(self) -> Iterator[Metric]:
        pointer = self._ledger.pointer()
        if pointer.version is not None:
            yield _gauge("champion_version", "Version the champion pointer names.", pointer.version)
        yield _gauge("champion_generation", "Moves of the champion pointer so far.", pointer.generation)
        alive = self._ledger.workers(self._clock.now() - ALIVE_MICROSECONDS)
        yield _gauge("workers", "Serving processes that reported themselves lately.", len(alive))

    def _windows(self, history: list[Verdict]) -> Iterator[Metric]:
        totals = CounterMetricFamily("evenkeel_windows", "Windows closed, by verdict.", labels=["state"])
        counts = self._ledger.window_counts()
        for state in STATES:
            totals.add_metric([state], counts.get(state, 0))
        yield totals
        if not history:
            return
        last = history[0]
        yield _gauge("window_rows", "Rows in the last window.", last.rows)
        length = (last.end - last.start) / MICROSECONDS
        yield _gauge("window_seconds", "Length of the last window.", length)
        yield _gauge("window_end_timestamp_seconds", "End of the last window.", last.end / MICROSECONDS)
        yield _gauge(
            "monitor_scored_timestamp_seconds", "When the last window was scored.", last.scored_at / MICROSECONDS
        )
        states = GaugeMetricFamily("evenkeel_verdict", "1 for the last window's verdict, else 0.", labels=["state"])
        for state in STATES:
            states.add_metric([state], float(state == last.state))
        yield states

    def _alerts(self) -> Iterator[Metric]:
        kinds = [alert.kind for alert in self._ledger.alerts(only_open=True)]
        opened = GaugeMetricFamily("evenkeel_alerts_open", "Open alerts, by kind.", labels=["kind"])
        for kind in KINDS:
            opened.add_metric([kind], kinds.count(kind))
        yield opened
        pending, dead = self._ledger.outbox_counts(self._attempts)
        yield _gauge("outbox_pending", "Alert deliveries still to be made.", pending)
        yield _gauge("outbox_dead", "Alert deliveries given up.", dead)

    def _runs(self) -> Iterator[Metric]:
        counts = self._ledger.run_counts()
        totals = CounterMetricFamily("evenkeel_retrain_runs", "Retrain runs ended, by outcome.", labels=["state"])
        for state in RUN_ENDS:
            totals.add_metric([state], counts.get(state, 0))
        yield totals
        yield _gauge("retrain_running", "Retrain runs under way.", counts.get("running", 0))

    def _log(self) -> Iterator[Metric]:
        fold = self._ledger.fold_status()
        if fold is None:
            return
        lag = max(0, self._clock.now() - fold.watermark) / MICROSECONDS
        yield _gauge("log_lag_seconds", "Age of the newest moment that is wholly in the table.", lag)
        yield _gauge("log_pending_segments", "Segments not folded yet.", fold.pending_segments)
        yield _gauge("log_pending_bytes", "Bytes not folded yet.", fold.pending_bytes)
        yield _gauge("log_folded_rows", "Rows in the predictions table.", fold.folded_rows)
        yield _gauge("log_quarantined_segments", "Damaged segments put aside.", fold.quarantined_segments)
        yield _counter("log_corrupt_frames", "Records that could not be read.", fold.corrupt_frames)
        yield _counter("log_truncated_bytes", "Bytes of torn ends that were cut off.", fold.truncated_bytes)
        yield _gauge("log_parked_labels", "Labels that wait for their prediction.", fold.parked_labels)
        yield _counter("log_orphaned_labels", "Labels whose prediction never came.", fold.orphaned_labels)


def exposition(ledger: MonitorLedger, clock: Clock, attempts: int) -> bytes:
    """The metrics page, in Prometheus' text format. Raises StoreUnavailable."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LedgerCollector(ledger, clock, attempts))
    return generate_latest(registry)


def last_scored(history: list[Verdict]) -> Verdict | None:
    """The newest verdict that holds scores."""
    return next((verdict for verdict in history if verdict.scores), None)


def last_labelled(history: list[Verdict]) -> Verdict | None:
    """The newest verdict with labelled rows."""
    return next((verdict for verdict in history if verdict.performance and verdict.performance.rows), None)


def last_covered(history: list[Verdict]) -> Verdict | None:
    """The newest of these judged verdicts that has rows whose labels were looked for, whether or not there were any."""
    return next((verdict for verdict in history if verdict.rows and verdict.performance), None)


def _scores(history: list[Verdict]) -> Iterator[Metric]:
    verdict = last_scored(history)
    if verdict is None:
        return
    scores = GaugeMetricFamily("evenkeel_drift_score", "Drift score of the last scored window.", labels=["column"])
    thresholds = GaugeMetricFamily("evenkeel_drift_threshold", "Threshold of the drift score.", labels=["column"])
    for score in verdict.scores:
        if score.score is not None:
            scores.add_metric([score.column], score.score)
        thresholds.add_metric([score.column], score.threshold)
    yield scores
    yield thresholds
    share = sum(score.drifted for score in verdict.scores) / len(verdict.scores)
    yield _gauge("drift_share", "Share of columns over their threshold in the last scored window.", share)


def _performance(history: list[Verdict]) -> Iterator[Metric]:
    verdict = last_labelled(history)
    if verdict is None or verdict.performance is None:
        return
    found = verdict.performance
    yield _gauge("performance_loss", "Mean loss over the newest labelled window.", found.metrics["loss"])
    if "threshold" in found.reference:
        yield _gauge("performance_reference_loss", "The champion's loss on its hold-out.", found.reference["loss"])
        yield _gauge("performance_threshold", "Largest tolerated mean loss.", found.reference["threshold"])


def _coverage(history: list[Verdict]) -> Iterator[Metric]:
    verdict = last_covered(history)
    if verdict is None or verdict.performance is None:
        return
    told = "Share of the newest judged window with rows that has labels; 0 when none has arrived."
    yield _gauge("label_coverage_ratio", told, verdict.performance.coverage)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"evenkeel_{name}", documentation, value=value)


def _counter(name: str, documentation: str, value: float) -> Metric:
    return CounterMetricFamily(f"evenkeel_{name}", documentation, value=value)
