"""`evenkeel up` and its processes: whatever ends it, nothing is left; whatever of it dies, comes back."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import httpx
import pytest

from tests.behaviour.project import RunningProject, eventually, rows

GONE_SECONDS = 10.0
WORKER = ("-m", "_bentoml_impl.worker.service")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunningProject:
    """A project that is not up."""
    project = RunningProject(tmp_path_factory.mktemp("processes"))
    project.make()
    return project


@pytest.fixture
def running(made: RunningProject) -> Iterator[RunningProject]:
    try:
        made.start()
        yield made
    finally:
        made.leave()


def assert_one_sentence(done: CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    sentence = " ".join(done.stderr[done.stderr.index("evenkeel: ") :].split())
    for word in words:
        assert word in sentence


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_with_code_0(running: RunningProject, number: signal.Signals) -> None:
    assert len(running.processes()) == 6, "up, service and its two workers, fold, monitor"
    assert running.end(number) == 0


def test_killing_up_ends_everything_it_started(running: RunningProject) -> None:
    assert running.process is not None
    running.process.kill()
    running.process.wait()
    running.wait_gone(GONE_SECONDS)


def test_a_killed_service_takes_its_workers_along_and_comes_back(running: RunningProject) -> None:
    before = running.service_parent()
    workers = running.running(*WORKER)
    assert len(workers) == 2
    before.kill()
    eventually(lambda: not any(worker.is_running() for worker in workers), "its workers have ended", GONE_SECONDS)
    running.wait_ready()
    assert running.service_parent().pid != before.pid
    assert eventually(lambda: len(running.running(*WORKER)) == 2, "there are two workers again")


@pytest.mark.parametrize("module", ["monitoring", "lifecycle.feature_log"])
def test_any_other_process_comes_back_too(running: RunningProject, module: str) -> None:
    (before,) = running.running("-m", module)
    before.kill()
    eventually(
        lambda: [process for process in running.running("-m", module) if process.pid != before.pid],
        f"{module} runs again",
    )
    running.wait_ready()


def test_a_second_up_is_refused_and_the_first_goes_on(running: RunningProject) -> None:
    assert_one_sentence(running.cli("up"), "is up already", "Ctrl-C")
    assert running.get("/model")["version"] == 1
    assert len(running.processes()) == 6


def test_it_can_be_started_again_and_remembers(running: RunningProject) -> None:
    running.end()
    running.start()
    answer = httpx.post(running.service_url + "/predict", json={"rows": rows(1)}, timeout=10)
    assert answer.json()["version"] == 1


@pytest.mark.parametrize("section", ["service", "monitoring"])
def test_a_port_in_use_is_one_sentence_and_nothing_is_started(made: RunningProject, section: str) -> None:
    port = made.service_port if section == "service" else made.monitor_port
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert_one_sentence(made.cli("up"), str(port), "in use", f"EVENKEEL_{section.upper()}__PORT")
    made.wait_gone()


@pytest.mark.parametrize("command", ["up", "serve", "fold", "monitor"])
def test_a_missing_project_is_one_sentence(made: RunningProject, tmp_path: Path, command: str) -> None:
    done = made.cli(command, "--project", tmp_path / "nowhere", project=False)
    assert_one_sentence(done, "evenkeel.toml", "evenkeel init")
