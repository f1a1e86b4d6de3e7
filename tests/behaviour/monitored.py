"""A small real project for the monitor's tests: a promoted version, and traffic and labels written to its log."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np

from lifecycle import promotion
from lifecycle.feature_log.fold import Folder
from lifecycle.ids import uuid7
from lifecycle.process import child_environment
from lifecycle.project import Project
from lifecycle.records import Label, LogSchema
from tests import builders

Found = TypeVar("Found")
SCHEMA = LogSchema(1, {"a": "numeric", "b": "numeric"}, ())


@dataclass
class Monitored:
    """A project with version 1 promoted, and the address its monitor will have."""

    project: Project
    port: int

    def __post_init__(self) -> None:
        self.writer = self.project.writer()
        self.folder = Folder(self.project.tables, self.project.clock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def traffic(self, rows: int = 60, shift: float = 0.0, seed: int = 0) -> list[str]:
        """One answered request now; returns the ids of its rows."""
        random = np.random.default_rng(seed)
        columns = {name: (random.normal(size=rows) + shift).tolist() for name in ("a", "b")}
        answers = [2 * a + 2 * b for a, b in zip(columns["a"], columns["b"], strict=True)]
        now = self.project.clock.now()
        batch = builders.batch(
            rows,
            at=now,
            ids=[uuid7(now // 1000) for _ in range(rows)],
            columns=columns,
            predictions=answers,
            probabilities={},
        )
        self.writer.append_predictions(batch, SCHEMA)
        return batch.ids

    def label(self, ids: list[str], value: float) -> None:
        now = self.project.clock.now()
        self.writer.append_labels([Label(identifier, value, now, now) for identifier in ids])

    def fold(self) -> None:
        self.writer.close()
        self.project.ledger.save_fold(self.folder.fold())

    def get(self, path: str) -> Any:
        return httpx.get(self.url + path, timeout=10).raise_for_status().json()

    def verdicts(self) -> list[dict[str, Any]]:
        """Oldest first, as the API tells them."""
        return list(self.get("/api/verdicts?limit=1000")["verdicts"][::-1])


def make(folder: Path, *, minutes: float = 0.05, settings: str = "") -> Monitored:
    """The project in `folder`, its monitor not started."""
    port = free_port()
    folder.mkdir(exist_ok=True)
    (folder / "evenkeel.toml").write_text(
        f'[model]\nname = "houses"\n[monitoring]\nport = {port}\nwindow_minutes = {minutes}\n'
        f"minimum_rows = 20\nminimum_labels = 20\n{settings}"
    )
    project = Project.open(folder)
    version = builders.registered(project.store, project.ledger, project.clock, "regression")
    promotion.promote(
        project.ledger, project.store, project.clock, version.number, actor="test", reason="the first version"
    )
    return Monitored(project, port)


def free_port() -> int:
    """A port that the kernel had free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(monitored: Monitored) -> Iterator[subprocess.Popen[bytes]]:
    """The monitor as a process, answering; ended and reaped afterwards."""
    command = [sys.executable, "-m", "monitoring", "--project", str(monitored.project.path)]
    with subprocess.Popen(command, env=child_environment()) as process:
        try:
            eventually(lambda: process.poll() is None and _answers(monitored), "the monitor answers")
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(30)


def eventually(look: Callable[[], Found], what: str, seconds: float = 60) -> Found:
    """The first true answer of `look`; fails with `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"within {seconds:.0f} s: {what}"
        time.sleep(0.1)
    return found


def _answers(monitored: Monitored) -> bool:
    try:
        return httpx.get(monitored.url + "/livez", timeout=5).is_success
    except httpx.TransportError:
        return False
