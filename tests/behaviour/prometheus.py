"""A real Prometheus for tests: the committed configuration, pointed at a running project, scraping every second."""

import math
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest
import yaml

from tests.behaviour.project import RunningProject, answers, eventually, free_ports

GRAFANA = Path(__file__).parents[2] / "grafana"
CONFIGURATION = GRAFANA / "prometheus" / "prometheus.yml"
RULES = GRAFANA / "prometheus" / "rules.yml"
PORTS = {"evenkeel-service": 3000, "evenkeel-monitor": 3001}
"""The jobs of the committed configuration, and the port of each by default."""


@dataclass(frozen=True)
class Series:
    """What Prometheus holds of one series: its labels, and the finite numbers in the order of time."""

    labels: dict[str, str]
    numbers: tuple[float, ...]


class Prometheus:
    """Runs within the block, keeping everything in `folder`."""

    def __init__(self, folder: Path, project: RunningProject) -> None:
        self._folder = folder
        self._project = project
        self._port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self._port}"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        program = tool("prometheus")
        command = [
            program,
            f"--config.file={self._configuration()}",
            f"--storage.tsdb.path={self._folder / 'series'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        self._began = time.time()
        with (self._folder / "prometheus.log").open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            eventually(lambda: self._lives() and answers(f"{self.url}/-/ready"), "Prometheus is ready", 30)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def query(self, expr: str) -> list[Series]:
        """The series of `expr` now."""
        found = self._get("query", query=expr)["result"]
        return [_series(item["metric"], [item["value"]]) for item in found]

    def history(self, expr: str) -> list[Series]:
        """The series of `expr` since Prometheus began, at every second."""
        found = self._get("query_range", query=expr, start=self._began, end=time.time(), step=1)["result"]
        return [_series(item["metric"], item["values"]) for item in found]

    def rules(self) -> dict[str, dict[str, Any]]:
        """Every loaded rule by name, with its group's name as `group`."""
        groups = self._get("rules")["groups"]
        return {rule["name"]: rule | {"group": group["name"]} for group in groups for rule in group["rules"]}

    def firing(self) -> list[dict[str, Any]]:
        """Every alert that fires now."""
        return [alert for alert in self._get("alerts")["alerts"] if alert["state"] == "firing"]

    def _get(self, path: str, **parameters: Any) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30)
        assert answer.is_success, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    def _configuration(self) -> Path:
        """The committed files, with this project's ports and a pace for tests; nothing else differs."""
        ports = {"evenkeel-service": self._project.service_port, "evenkeel-monitor": self._project.monitor_port}
        settings = yaml.safe_load(CONFIGURATION.read_text())
        settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        settings["alerting"] = {}
        for job in settings["scrape_configs"]:
            place = job["static_configs"][0]
            assert place["targets"] == [f"127.0.0.1:{PORTS[job['job_name']]}"]
            place["targets"] = [f"127.0.0.1:{ports[job['job_name']]}"]
        shutil.copy(RULES, self._folder)
        path = self._folder / "prometheus.yml"
        path.write_text(yaml.safe_dump(settings))
        return path

    def _lives(self) -> bool:
        assert self.process is not None
        log = self._folder / "prometheus.log"
        assert self.process.poll() is None, (
            f"prometheus ended with {self.process.returncode}: {log.read_text()[-2000:]}"
        )
        return True

    def _end(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def tool(name: str) -> str:
    """Where the program is; without it the test is skipped, which is a failure where CI=true."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed; scripts/system-packages.sh tests brings it")
    return found


def run(name: str, *arguments: object, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """One run of a tool such as promtool, `text` on its input."""
    command = [tool(name), *map(str, arguments)]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


def _series(labels: dict[str, str], points: list[tuple[float, str]]) -> Series:
    values = (float(value) for _, value in points)
    return Series(labels, tuple(value for value in values if math.isfinite(value)))
