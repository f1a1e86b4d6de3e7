"""Retrain jobs as processes of this machine, each in its own process group so that it can be ended whole."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from lifecycle.clock import MICROSECONDS
from lifecycle.ports import Clock, Launcher
from lifecycle.process import child_environment

END_SECONDS = 5.0
log = structlog.get_logger(__name__)


class JobLauncher(Launcher, Protocol):
    """A launcher that can also say whether a job it started still lives."""

    def alive(self, run: str) -> bool:
        """Whether the job this launcher started for `run` has not ended; False for a job it did not start."""


@dataclass
class _Job:
    process: subprocess.Popen[bytes]
    ends_at: int


class LocalLauncher:
    """Starts `python -m retrain --project PROJECT --run ID`; a job over its time is ended."""

    def __init__(
        self,
        project: Path,
        clock: Clock,
        timeout_seconds: float,
        command: Sequence[str] = (sys.executable, "-m", "retrain"),
    ) -> None:
        self._project = project
        self._clock = clock
        self._timeout = int(timeout_seconds * MICROSECONDS)
        self._command = tuple(command)
        self._jobs: dict[str, _Job] = {}

    def start(self, run: str) -> None:
        command = [*self._command, "--project", str(self._project), "--run", run]
        process = subprocess.Popen(command, env=child_environment(), stdin=subprocess.DEVNULL, start_new_session=True)
        self._jobs[run] = _Job(process, self._clock.now() + self._timeout)
        log.info("retrain_launched", run=run, pid=process.pid)

    def poll(self) -> None:
        now = self._clock.now()
        for run, job in list(self._jobs.items()):
            if job.process.poll() is None and now >= job.ends_at:
                log.warning("retrain_timed_out", run=run)
                _end(job.process)
            if job.process.poll() is not None:
                log.info("retrain_ended", run=run, returncode=job.process.returncode)
                del self._jobs[run]

    def alive(self, run: str) -> bool:
        job = self._jobs.get(run)
        return job is not None and job.process.poll() is None

    def stop(self) -> None:
        for job in self._jobs.values():
            _end(job.process)
        self._jobs.clear()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the job's whole group to end, insist after a while, and reap it."""
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        log.warning("retrain_killed", pid=process.pid)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # nobody of the group is left
