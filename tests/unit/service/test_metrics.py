"""The service's metrics: right across processes, also across those that have died. Each process is a real one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from service.metrics import ServiceMetrics
metrics = ServiceMetrics()
metrics.serves(int(sys.argv[1]))
metrics.log_degraded.set(int(sys.argv[1]) % 2)
metrics.predictions.labels(sys.argv[1]).inc(3)
metrics.log_rows.labels("appended").inc(3)
metrics.requests.labels("native", "2xx").inc()
metrics.seconds.labels("native").observe(0.02)
print(metrics.expose().decode())
"""


def exposed(folder: Path, version: int) -> dict[str, float]:
    """What a process that serves `version` exposes, beside what those before it left."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command = [sys.executable, "-c", PROGRAM, str(version)]
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """What the second of two processes exposes; the first has ended."""
    folder = tmp_path_factory.mktemp("counters")
    exposed(folder, 1)
    return exposed(folder, 2)


def test_counts_of_dead_processes_are_kept(second: dict[str, float]) -> None:
    assert second['evenkeel_requests_total{protocol="native",status_class="2xx"}'] == 2
    assert second['evenkeel_log_rows_total{outcome="appended"}'] == 6
    assert second['evenkeel_request_seconds_bucket{le="0.025",protocol="native"}'] == 2
    assert second['evenkeel_request_seconds_bucket{le="0.01",protocol="native"}'] == 0


def test_rows_are_counted_by_the_version_that_answered(second: dict[str, float]) -> None:
    assert second['evenkeel_predictions_total{version="1"}'] == 3
    assert second['evenkeel_predictions_total{version="2"}'] == 3


def test_the_version_of_a_dead_process_is_not_served_any_more(second: dict[str, float]) -> None:
    assert second["evenkeel_served_version_lowest"] == 2
    assert second["evenkeel_served_version_highest"] == 2


def test_a_process_that_died_while_it_could_not_record_is_forgotten(second: dict[str, float], tmp_path: Path) -> None:
    assert second["evenkeel_log_degraded"] == 0
    assert exposed(tmp_path, 1)["evenkeel_log_degraded"] == 1


def test_however_many_processes_died_their_counts_are_in_one_file_of_each_kind(tmp_path: Path) -> None:
    for version in (1, 2, 3):
        found = exposed(tmp_path, version)
    assert found['evenkeel_requests_total{protocol="native",status_class="2xx"}'] == 3
    assert found['evenkeel_request_seconds_count{protocol="native"}'] == 3
    assert found['evenkeel_predictions_total{version="1"}'] == 3
    kinds = [path.stem.rpartition("_")[0] for path in tmp_path.glob("*.db")]
    assert kinds.count("counter") == kinds.count("histogram") == 2, "one of the dead, and one of the last to end"
