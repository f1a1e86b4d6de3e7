"""The whole loop as a visitor sees it: `evenkeel demo`, left alone and with its processes killed one after another."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from lifecycle.project import Project
from lifecycle.records import RetrainRun
from tests.behaviour.project import MARK, arguments_of, eventually, is_free, marked

SECONDS = 360
STEPS = ["ready", "steady", "alert", "promotion", "swap", "recovery"]
ARRIVING, DRIFTING, ALERTED = "start to arrive", "the scanner's paper guide slips", "alert received"
WORKER = ("-m", "_bentoml_impl.worker.service")
pytestmark = pytest.mark.timeout(SECONDS + 60)


class Demo:
    """A running `evenkeel demo --exit --json`, its lines on stderr, and its processes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "digits"
        self._lines, self._facts = folder / "stderr", folder / "stdout"
        command = [sys.executable, "-m", "evenkeel", "demo", "--exit", "--json", "--project", str(self.path)]
        environment = {**os.environ, MARK: str(self.path)}
        with self._lines.open("wb") as lines, self._facts.open("wb") as facts:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=facts, stderr=lines
            )

    def told(self) -> str:
        return self._lines.read_text()

    def wait_told(self, words: str) -> None:
        """Return once the demo has said `words`."""
        self._wait(lambda: words in self.told() or None, words)

    def kill(self, *words: str) -> int:
        """Kill one process whose arguments hold `words`, once there is one; returns its id."""
        victim: psutil.Process = self._wait(lambda: next(iter(self.running(*words)), None), f"a process {words}")
        victim.kill()
        return victim.pid

    def running(self, *words: str) -> list[psutil.Process]:
        """Its processes with `words` among their arguments."""
        found = marked(str(self.path))
        return [process for process in found if set(words) <= set(arguments_of(process))]

    def finished(self) -> dict[str, Any]:
        """The measured summary. Fails unless the demo ends with 0."""
        code = self.process.wait(SECONDS)
        assert code == 0, f"{self._facts.read_text()}\n{self.told()}"
        facts: dict[str, Any] = json.loads(self._facts.read_text())
        return facts

    def runs(self) -> list[RetrainRun]:
        """The retrain runs its ledger holds, oldest first."""
        project = Project.open(self.path)
        found = project.ledger.runs()[::-1]
        project.ledger.close()
        return found

    def _wait(self, look: Any, what: str) -> Any:
        def still() -> Any:
            assert self.process.poll() is None, f"the demo ended before there was {what}: {self.told()}"
            return look()

        return eventually(still, what, SECONDS)


@contextmanager
def demo(folder: Path) -> Iterator[Demo]:
    """The demo, ended at the end of the block; fails when it leaves a process or a port behind."""
    running = Demo(folder)
    try:
        running.wait_told(ARRIVING)
        (up,) = running.running("-m", "evenkeel", "up")
        ports = [int(up.environ()[f"EVENKEEL_{name}__PORT"]) for name in ("SERVICE", "MONITORING")]
        yield running
        eventually(lambda: not running.running(), "no process is left", 15)
        eventually(lambda: all(map(is_free, ports)), "both ports are free", 15)
    finally:
        running.process.terminate()
        running.process.wait(60)
        for left in running.running():
            left.kill()


def assert_recovered(facts: dict[str, Any]) -> None:
    assert facts["missing"] is None
    assert facts["steps"] == STEPS
    before, during, after = (facts[f"accuracy_{phase}"] for phase in ("before", "during", "after"))
    assert during < before
    assert after >= during + 0.5 * (before - during)
    assert facts["version"] >= 2
    assert facts["workers"] == 2
    assert facts["alerts"]
    assert 0 < facts["seconds_to_alert"] < facts["seconds_to_promotion"] <= facts["seconds_to_last_worker"]


def test_the_demo_shows_the_whole_loop_and_loses_no_request(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        facts = running.finished()
    assert_recovered(facts)
    assert facts["requests_failed"] == 0
    assert facts["requests_sent"] > 500
    assert facts["swap_seconds"] < 1.0
    assert "Traceback" not in running.told()


def test_the_loop_survives_the_loss_of_a_worker_the_fold_and_the_retrain(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        worker = running.kill(*WORKER)
        running.wait_told(DRIFTING)
        fold = running.kill("-m", "lifecycle.feature_log")
        retrain = running.kill("-m", "retrain")
        facts = running.finished()
    assert len({worker, fold, retrain}) == 3
    assert_recovered(facts)
    assert any(run.attempt > 1 or run.state == "failed" for run in running.runs()), "the killed run was taken up again"


def test_the_loop_survives_the_loss_of_the_service_the_monitor_and_up(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.kill("-m", "service")
        running.wait_told(DRIFTING)
        running.kill("-m", "monitoring")
        running.wait_told(ALERTED)
        running.kill("-m", "evenkeel", "up")
        facts = running.finished()
    assert_recovered(facts)
