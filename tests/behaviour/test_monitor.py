"""The monitor as a process: windows close whatever happens to it, facts are served, and it ends leaving nothing."""

import socket
import subprocess
import sys
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from lifecycle.process import child_environment
from lifecycle.project import Project
from tests.behaviour.monitored import Monitored, eventually, free_port, make, running


@pytest.fixture
def world(tmp_path: Path) -> Monitored:
    return make(tmp_path / "project")


def test_windows_close_without_gap_or_repeat_while_the_monitor_is_killed(world: Monitored) -> None:
    for _ in range(2):
        with running(world) as process:
            enough = len(world.verdicts()) + 2
            eventually(partial(has_closed, world, enough), "two more windows close")
            process.kill()
            process.wait(10)
    with running(world):
        eventually(lambda: world.get("/api/status")["leads"], "the new monitor leads")
        eventually(partial(has_closed, world, len(world.verdicts()) + 1), "another window closes")
        verdicts = world.verdicts()
    bounds = [(verdict["start"], verdict["end"]) for verdict in verdicts]
    assert all(before[1] == after[0] for before, after in pairwise(bounds))
    assert {verdict["state"] for verdict in verdicts} == {"no_traffic"}


def has_closed(world: Monitored, windows: int) -> bool:
    world.fold()
    return len(world.verdicts()) >= windows


def test_drift_is_seen_told_and_shown_with_the_same_numbers(world: Monitored) -> None:
    with running(world):
        ids = world.traffic(40)

        def drifted() -> bool:
            ids.extend(world.traffic(60, shift=4.0, seed=len(ids)))
            world.fold()
            return "drift" in [alert["kind"] for alert in world.get("/api/alerts?open=true")["alerts"]]

        eventually(drifted, "drift is told")
        status = world.get("/api/status")
        metrics = httpx.get(f"{world.url}/metrics").text
        page = httpx.get(world.url)
        verdict = next(item for item in world.verdicts() if item["state"] == "drift")
    assert verdict["drifting"]
    assert verdict["retrain"].startswith("no retrain: 0 new labelled rows")
    assert status["champion"]["version"] == 1
    assert "evenkeel_drift_score{" in metrics
    assert "are over their thresholds" in page.text
    assert "script" not in page.headers["Content-Security-Policy"]


def test_the_metrics_are_clean(world: Monitored) -> None:
    with running(world):
        world.traffic(40)
        eventually(partial(has_closed, world, 1), "a window closes")
        text = httpx.get(f"{world.url}/metrics").content
    ended = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr + ended.stdout


def test_a_second_monitor_waits_its_turn(world: Monitored) -> None:
    with running(world):
        eventually(lambda: httpx.get(f"{world.url}/readyz").status_code == 200, "the first is ready")
        beside = on_another_port(world)
        with running(beside):
            answer = httpx.get(f"{beside.url}/readyz")
    assert answer.status_code == 503
    assert "leads" in answer.json()["problems"][0]


def on_another_port(world: Monitored) -> Monitored:
    """The same project, with the address of another monitor."""
    port = free_port()
    path = world.project.path / "evenkeel.toml"
    path.write_text(path.read_text().replace(f"port = {world.port}", f"port = {port}"))
    return Monitored(Project.open(world.project.path), port)


@pytest.mark.parametrize("path", ["/reports/..%2f..%2fledger.db", "/reports/%2e%2e/x", "/reports/a.html", "/nothing"])
def test_only_reports_are_served(world: Monitored, path: str) -> None:
    with running(world):
        answer = httpx.get(world.url + path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_it_ends_promptly_and_frees_its_port(world: Monitored) -> None:
    with running(world) as process:
        began = time.monotonic()
        process.terminate()
        assert process.wait(10) == 0
        assert time.monotonic() - began < 5
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", world.port))


def test_a_taken_port_is_one_clear_sentence(world: Monitored) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", world.port))
        taken.listen()
        command = [sys.executable, "-m", "monitoring", "--project", str(world.project.path)]
        ended = subprocess.run(command, env=child_environment(), capture_output=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert b"cannot listen on 127.0.0.1" in ended.stderr
