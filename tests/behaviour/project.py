"""A whole product for tests: a project made by `evenkeel init`, run by `evenkeel up` on ports the kernel chose.

Every process it starts carries a mark in its environment, so that one that outlives the block is found whoever its
parent is by then. Leaving the block ends them all, and fails when a process or a port was left behind.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import psutil

from lifecycle.project import Project
from tests.unit.evenkeel.tables import table, write

MARK = "RUNNING_PROJECT"
READY_SECONDS = 90.0
END_SECONDS = 40.0
COMMAND_SECONDS = 180.0
LOOK_SECONDS = 0.05
ROWS = 600
OPTIONS = ("--target", "sold", "--drop", "price")
"""Rows of `tables.table`, as a project of two classes, "no" and "yes"."""
Found = TypeVar("Found")


class RunningProject:
    """A project in `folder`/houses, up within the block.

    `settings` are environment variables for all its processes, such as {"EVENKEEL_SERVICE__WORKERS": "1"}. Another
    `source` with its `options` of `evenkeel init` makes another project.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        *,
        source: Path | None = None,
        options: Sequence[str] = OPTIONS,
    ) -> None:
        self.path = folder / "houses"
        self.log = folder / "up.log"
        self.service_port, self.monitor_port = free_ports(2)
        self.service_url = f"http://127.0.0.1:{self.service_port}"
        self.monitor_url = f"http://127.0.0.1:{self.monitor_port}"
        self.environment = {
            **os.environ,
            "EVENKEEL_SERVICE__PORT": str(self.service_port),
            "EVENKEEL_MONITORING__PORT": str(self.monitor_port),
            **(settings or {}),
            MARK: str(self.path),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._source = source or write(folder, table(ROWS))
        self._options = options
        self._opened: Project | None = None

    def __enter__(self) -> Self:
        try:
            self.make()
            self.start()
        except BaseException:
            self.leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    @property
    def project(self) -> Project:
        """Its stores, opened in this process."""
        if self._opened is None:
            self._opened = Project.open(self.path)
        return self._opened

    def make(self) -> None:
        """`evenkeel init`."""
        done = self.cli("init", self.path, "--data", self._source, *self._options, project=False)
        assert done.returncode == 0, done.stderr

    def cli(self, *arguments: object, project: bool = True) -> subprocess.CompletedProcess[str]:
        """One command of the command line, on this project."""
        command = [sys.executable, "-m", "evenkeel", *map(str, arguments)]
        if project:
            command += ["--project", str(self.path)]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )

    def facts(self, *arguments: object) -> Any:
        """What a command prints with `--json`."""
        done = self.cli(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self) -> None:
        """`evenkeel up`, until service and monitor are ready."""
        with self.log.open("ab") as output:
            command = [sys.executable, "-m", "evenkeel", "up", "--project", str(self.path)]
            self.process = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self.wait_ready()

    def wait_ready(self) -> None:
        """Return once both `/readyz` answer 200."""

        def ready() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"`evenkeel up` ended with {self.process.returncode}: {self.tail()}"
            return all(answers(f"{url}/readyz") for url in (self.service_url, self.monitor_url))

        try:
            eventually(ready, "service and monitor are ready", READY_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}; the log ends: {self.tail()}") from error

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask `up` to end, wait for it and for everything it started, and return its exit code."""
        assert self.process is not None, "it was started"
        self.process.send_signal(number)
        code = self.process.wait(END_SECONDS)
        self.wait_gone()
        return code

    def wait_gone(self, seconds: float = 10) -> None:
        """Return once no process of it runs and both ports are free."""
        eventually(lambda: not self.processes(), "every process has ended", seconds)
        eventually(lambda: all(map(is_free, (self.service_port, self.monitor_port))), "both ports are free", seconds)

    def leave(self) -> None:
        """End all of it. Fails, after ending them the hard way, when processes or ports were left behind."""
        if self._opened is not None:
            self._opened.ledger.close()
        try:
            if self.process is not None and self.process.poll() is None:
                self.end()
            self.wait_gone()
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"`evenkeel up` did not end within {END_SECONDS:.0f} s: {self.tail()}") from error
        finally:
            for left in self.processes():
                left.kill()
            if self.process is not None:
                self.process.wait(END_SECONDS)

    def processes(self) -> list[psutil.Process]:
        """Every running process of it, however it was started."""
        return marked(str(self.path))

    def running(self, *words: str) -> list[psutil.Process]:
        """Its processes whose command line holds `words` as arguments, such as ("-m", "monitoring")."""
        return [process for process in self.processes() if set(words) <= set(arguments_of(process))]

    def service_parent(self) -> psutil.Process:
        """The process that `up` started to serve."""
        return next(process for process in self.running("-m", "service"))

    def get(self, path: str, *, monitor: bool = False) -> Any:
        """The JSON at `path` of the service, or of the monitor."""
        url = self.monitor_url if monitor else self.service_url
        return httpx.get(url + path, timeout=10).raise_for_status().json()

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-2_000:] if self.log.exists() else ""


def rows(count: int, *, seed: int = 1) -> list[dict[str, Any]]:
    """Rows that the default project answers, its target and the other set-aside columns among them."""
    found = table(max(count, 8), seed=seed).to_dict("records")[:count]
    return [{str(name): value for name, value in row.items()} for row in found]


def marked(mark: str) -> list[psutil.Process]:
    """Running processes that carry `mark`; one that ends meanwhile is left out."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue  # ended, or another user's
    return found


def arguments_of(process: psutil.Process) -> list[str]:
    """Its command line; empty when it has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def free_ports(count: int) -> list[int]:
    """Different ports that the kernel had free a moment ago."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def is_free(port: int) -> bool:
    """Whether nothing listens on `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(url: str) -> bool:
    """Whether `url` answers 2xx now."""
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False


def eventually(look: Callable[[], Found | None], what: str, seconds: float = 60) -> Found:
    """The first true answer of `look`; fails with `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"within {seconds:.0f} s: {what}"
        time.sleep(LOOK_SECONDS)  # the pace of looking; the deadline bounds it
    return found
