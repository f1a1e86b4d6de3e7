"""`evenkeel up`: runs service, fold and monitor together, restarts what dies, and leaves nothing behind.

One `up` per project, by a lock that the system releases whatever happens. Children end by themselves when this process
is gone, even after `kill -9` (see lifecycle.process).
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import structlog

from lifecycle.errors import ProjectInvalid
from lifecycle.process import child_environment
from lifecycle.project import Project

LOOK_SECONDS = 0.2
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 30.0
MODULES = {"service": "service", "fold": "lifecycle.feature_log", "monitor": "monitoring"}
log = structlog.get_logger(__name__)


@dataclass
class _Child:
    name: str
    process: subprocess.Popen[bytes] | None = None
    started_at: int = 0
    start_at: int = 0
    pause: float = FIRST_PAUSE_SECONDS
    restarts: int = field(default=0)


class Supervisor:
    """The children of one project, by name the modules to run, and the flags of some of them.

    `run` blocks until `stop` is set, then ends them.
    """

    def __init__(
        self,
        project: Project,
        stop: threading.Event,
        modules: Mapping[str, str] = MODULES,
        flags: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._project = project
        self._stop = stop
        self._modules = modules
        self._flags = flags or {}
        self._children = [_Child(name) for name in modules]

    def run(self, tick: Callable[[], None] = lambda: None) -> None:
        """Keep the children running; `tick` is called at every look."""
        with ExitStack() as stack:
            stack.enter_context(only_one(self._project))
            for host, port, key in self._addresses():
                require_free(host, port, key)
            stack.callback(self._end)
            while True:
                for child in self._children:
                    self._look_after(child)
                tick()
                if self._project.clock.wait(self._stop, LOOK_SECONDS):
                    return

    def pids(self) -> dict[str, int]:
        """Process ids of the running children by name."""
        return {child.name: child.process.pid for child in self._children if child.process}

    def _addresses(self) -> list[tuple[str, int, str]]:
        service, monitoring = self._project.config.service, self._project.config.monitoring
        return [(service.host, service.port, "service"), (monitoring.host, monitoring.port, "monitoring")]

    def _look_after(self, child: _Child) -> None:
        now = self._project.clock.now()
        if child.process is None:
            if now >= child.start_at:
                self._start(child, now)
            return
        code = child.process.poll()
        if code is None:
            return
        steady = now - child.started_at > STEADY_SECONDS * 1e6
        child.pause = FIRST_PAUSE_SECONDS if steady else min(child.pause * 2, LONGEST_PAUSE_SECONDS)
        child.process, child.start_at = None, now + int(child.pause * 1e6)
        child.restarts += 1
        log.warning("process_died", child=child.name, code=code, restarts=child.restarts, pause_seconds=child.pause)

    def _start(self, child: _Child, now: int) -> None:
        command = [sys.executable, "-m", self._modules[child.name], "--project", str(self._project.path)]
        command += self._flags.get(child.name, ())
        child.started_at = now
        child.process = subprocess.Popen(
            command,
            env=child_environment(),
            cwd=self._project.path,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        log.info("process_started", child=child.name, pid=child.process.pid)

    def _end(self) -> None:
        """Ask every child to finish, wait for it, and end what does not."""
        running = [child.process for child in self._children if child.process]
        for process in running:
            process.terminate()
        patience = self._project.config.service.shutdown_seconds + 5
        for process in running:
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                log.warning("process_killed", pid=process.pid, waited_seconds=patience)
                process.kill()
                process.wait()


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets; the handlers that were there before come back afterwards."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def only_one(project: Project) -> Iterator[None]:
    """Hold the project's lock. Raises ProjectInvalid when another `up` has it."""
    project.runtime.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(project.runtime / "up.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ProjectInvalid(
            f"{project.path} is up already; `evenkeel status` shows it, Ctrl-C there ends it"
        ) from error
    finally:
        os.close(descriptor)


def require_free(host: str, port: int, section: str) -> None:
    """Raise ProjectInvalid when something listens on the port already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ProjectInvalid(
                f"the {section} cannot listen on {host}:{port} ({error.strerror}); end what holds the port, or set "
                f"another with EVENKEEL_{section.upper()}__PORT"
            ) from error
