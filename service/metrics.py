"""The service's metrics, counted per process in shared files and added up when scraped.

Labels come from closed sets only. The files of processes that died keep their counts and lose their gauges.
"""

import fcntl
import os
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

PROTOCOLS = (
    "native",
    "arrow",
    "v2",
    "tensorflow",
    "mlflow",
    "sagemaker",
    "vertex",
    "torchserve",
    "azure",
    "feedback",
    "other",
)
CONNECTION_REASONS = ("request_timeout", "headers_too_large", "malformed_request", "upgrade_refused")
OTHER = "other"
GONE = "gone"
"""Stands for all processes that died, in the names of their files."""
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


def _sweep(folder: Path) -> None:
    """Forget the gauges of dead processes, and add their counts to those of all that died before.

    So there are as many files as there are live workers, and one more of each kind, however many died.
    """
    for path in folder.glob("*_*.db"):
        kind, _, process = path.stem.rpartition("_")
        if process == GONE or psutil.pid_exists(int(process)):
            continue
        if kind.startswith("gauge"):
            mark_process_dead(int(process), str(folder))
        else:
            _take_in(path, folder / f"{kind}_{GONE}.db")


def _take_in(path: Path, sum_path: Path) -> None:
    """Add what `path` counted to `sum_path`, whole or not at all, and delete it."""
    made = sum_path.with_suffix(".new")
    made.unlink(missing_ok=True)
    total = MmapedDict(str(made))
    for source in filter(Path.exists, (sum_path, path)):
        for key, value, at, _ in MmapedDict.read_all_values_from_file(str(source)):
            counted, _ = total.read_value(key)
            total.write_value(key, counted + value, at)
    total.close()
    path.unlink()
    made.replace(sum_path)


def _keep_process_id() -> None:
    """Count in this process's files without asking the system for its id at every count, as the library else does.

    Workers are started, never forked, once they count; a test without shared files counts in memory.
    """
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        process = os.getpid()
        values.ValueClass = values.MultiProcessValue(lambda: process)  # the library's own way to name its files


class ServiceMetrics:
    """Everything the service counts. One instance per process, made after PROMETHEUS_MULTIPROC_DIR is set."""

    def __init__(self) -> None:
        _keep_process_id()
        registry = CollectorRegistry()
        self.requests = Counter(
            "evenkeel_requests_total", "Requests answered.", ["protocol", "status_class"], registry=registry
        )
        self.seconds = Histogram(
            "evenkeel_request_seconds", "Time from request to answer.", ["protocol"], buckets=SECONDS, registry=registry
        )
        self.connections = Counter(
            "evenkeel_connections_refused_total",
            "Connections closed because of how the request came.",
            ["reason"],
            registry=registry,
        )
        self.predictions = Counter("evenkeel_predictions_total", "Rows answered.", ["version"], registry=registry)
        self.log_rows = Counter(
            "evenkeel_log_rows_total", "Answered rows by what became of their record.", ["outcome"], registry=registry
        )
        self.log_degraded = Gauge(
            "evenkeel_log_degraded",
            "Whether any worker cannot record what it answers.",
            multiprocess_mode="livemax",
            registry=registry,
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
        self._answered = self._begin_at_zero()
        self._appended = self.log_rows.labels("appended")
        self._of_version: dict[int, Counter] = {}

    def answered(self, protocol: str, status: int, seconds: float) -> None:
        """One request was answered; a protocol that is not of PROTOCOLS counts as other."""
        hundred = status // 100
        requests, took = self._answered.get((protocol, hundred)) or self._answered[OTHER, hundred]
        requests.inc()
        took.observe(seconds)

    def predicted(self, version: int, rows: int) -> None:
        """`rows` were answered by `version`."""
        counter = self._of_version.get(version)
        if counter is None:
            counter = self._of_version[version] = self.predictions.labels(version)
        counter.inc(rows)

    def appended(self, rows: int) -> None:
        """`rows` are in the feature log."""
        self._appended.inc(rows)

    def serves(self, version: int) -> None:
        """This process serves `version` from now on."""
        self._lowest.set(version)
        self._highest.set(version)

    def _begin_at_zero(self) -> dict[tuple[str, int], tuple[Counter, Histogram]]:
        """Make every known series now: Prometheus sees no increase in a series that appears with its first event.

        Returns those of requests by protocol and hundred of the status, so that no request looks a label up.
        """
        answered = {
            (protocol, hundred): (self.requests.labels(protocol, f"{hundred}xx"), self.seconds.labels(protocol))
            for protocol in PROTOCOLS
            for hundred in (2, 4, 5)
        }
        for reason in CONNECTION_REASONS:
            self.connections.labels(reason)
        for outcome in ("appended", "dropped", "sampled_out"):
            self.log_rows.labels(outcome)
        for outcome in ("accepted", "rejected"):
            self.labels.labels(outcome)
        self.log_degraded.set(0)
        return answered

    @staticmethod
    def expose() -> bytes:
        """The text format over all processes of this server."""
        folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        with (folder / "sweep.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two workers that are scraped at once must not both take a file in
            _sweep(folder)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(folder))
        return generate_latest(registry)
