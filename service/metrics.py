"""The service's metrics, counted per process in shared files and added up when scraped.

Labels come from closed sets only. The files of processes that died keep their counts and lose their gauges.
"""

import os
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

PROTOCOLS = ("native", "feedback", "other")
STATUS_CLASSES = ("2xx", "4xx", "5xx")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class ServiceMetrics:
    """Everything the service counts. One instance per process, made after PROMETHEUS_MULTIPROC_DIR is set."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.requests = Counter(
            "evenkeel_requests_total", "Requests answered.", ["protocol", "status_class"], registry=registry
        )
        self.seconds = Histogram(
            "evenkeel_request_seconds", "Time from request to answer.", ["protocol"], buckets=SECONDS, registry=registry
        )
        self.predictions = Counter("evenkeel_predictions_total", "Rows answered.", ["version"], registry=registry)
        self.log_rows = Counter(
            "evenkeel_log_rows_total", "Rows appended to the feature log, or dropped.", ["outcome"], registry=registry
        )
        self.labels = Counter("evenkeel_labels_total", "Labels received by feedback.", ["outcome"], registry=registry)
        self.rejected_rows = Counter(
            "evenkeel_rejected_rows_total", "Rows refused because they break the contract.", registry=registry
        )
        self.swaps = Counter("evenkeel_swaps_total", "Swaps to another version, over all workers.", registry=registry)
        help_text = "Version being served, over all workers."
        self._lowest = Gauge(
            "evenkeel_served_version_lowest", help_text, multiprocess_mode="livemin", registry=registry
        )
        self._highest = Gauge(
            "evenkeel_served_version_highest", help_text, multiprocess_mode="livemax", registry=registry
        )
        self._begin_at_zero()

    def serves(self, version: int) -> None:
        """This process serves `version` from now on."""
        self._lowest.set(version)
        self._highest.set(version)

    def _begin_at_zero(self) -> None:
        """Make every known series now: Prometheus sees no increase in a series that appears with its first event."""
        for protocol in PROTOCOLS:
            self.seconds.labels(protocol)
            for status_class in STATUS_CLASSES:
                self.requests.labels(protocol, status_class)
        for outcome in ("appended", "dropped"):
            self.log_rows.labels(outcome)
        for outcome in ("accepted", "rejected"):
            self.labels.labels(outcome)

    @staticmethod
    def expose() -> bytes:
        """The text format over all processes of this server."""
        folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        for path in folder.glob("gauge_live*.db"):
            pid = int(path.stem.rsplit("_", 1)[1])
            if not psutil.pid_exists(pid):
                mark_process_dead(pid, str(folder))
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(folder))
        return generate_latest(registry)
