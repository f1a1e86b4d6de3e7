"""Supervision restarts what dies after a pause, ends all it started, and refuses what it could not run beside."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from evenkeel.supervise import Supervisor, only_one, require_free, stopped_by_signals
from lifecycle.errors import ProjectInvalid
from lifecycle.project import Project

WAITS = "import signal\nfrom lifecycle.process import exit_with_parent\nexit_with_parent()\nsignal.pause()\n"
ENDS = "open('starts', 'a').write('x')\n"
LOOKS = 150


@pytest.fixture
def project(tmp_path: Path) -> Project:
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    (tmp_path / "evenkeel.toml").write_text(
        f'[model]\nname = "houses"\n[service]\nport = {ports[0]}\n[monitoring]\nport = {ports[1]}\n'
    )
    (tmp_path / "waits.py").write_text(WAITS)
    (tmp_path / "ends.py").write_text(ENDS)
    return Project.open(tmp_path)


def supervise(project: Project, modules: dict[str, str], done: Callable[[Supervisor], bool]) -> Supervisor:
    """Run `modules` until `done`; fails when that takes too many looks."""
    stop = threading.Event()
    supervisor = Supervisor(project, stop, modules)
    looks = 0

    def tick() -> None:
        nonlocal looks
        looks += 1
        if done(supervisor) or looks > LOOKS:
            stop.set()

    supervisor.run(tick)
    assert looks <= LOOKS, "it never came to that"
    return supervisor


def test_what_it_started_has_ended_when_it_returns(project: Project) -> None:
    pids: dict[str, int] = {}

    def both(supervisor: Supervisor) -> bool:
        pids.update(supervisor.pids())
        return len(pids) == 2 and all(map(psutil.pid_exists, pids.values()))

    supervise(project, {"one": "waits", "two": "waits"}, both)
    assert set(pids) == {"one", "two"}
    assert not any(map(psutil.pid_exists, pids.values()))


def test_what_dies_is_started_again_and_the_others_stay(project: Project) -> None:
    starts = project.path / "starts"
    steady: set[int] = set()

    def twice(supervisor: Supervisor) -> bool:
        steady.add(supervisor.pids()["steady"])
        return starts.exists() and len(starts.read_text()) >= 2

    supervise(project, {"steady": "waits", "weak": "ends"}, twice)
    assert len(steady) == 1


def test_one_project_is_up_once(project: Project) -> None:
    with only_one(project), pytest.raises(ProjectInvalid, match="is up already"), only_one(project):
        pass
    with only_one(project):
        pass


def test_a_port_in_use_is_refused_before_anything_starts(project: Project) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", project.config.monitoring.port))
        other.listen()
        supervisor = Supervisor(project, threading.Event(), {"one": "ends"})
        with pytest.raises(ProjectInvalid, match="set another with EVENKEEL_MONITORING__PORT"):
            supervisor.run()
    assert supervisor.pids() == {}
    assert not (project.path / "starts").exists()


def test_a_free_port_is_accepted_on_either_protocol(project: Project) -> None:
    require_free("127.0.0.1", project.config.service.port, "service")
    require_free("::1", project.config.service.port, "service")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_and_the_handlers_before_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stopped_by_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.wait(10)
    assert signal.getsignal(number) is before
