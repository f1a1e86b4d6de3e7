"""Retrain jobs as real processes: started with their run, ended whole when over their time or when the monitor ends."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from lifecycle.clock import SystemClock
from monitoring.launcher import LocalLauncher
from tests.behaviour.monitored import eventually

JOB = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
with open(os.environ["SEEN"], "w") as seen:
    seen.write(f"{os.getpid()} {child.pid} {' '.join(sys.argv[1:])}")
time.sleep(300)
"""


@contextmanager
def launching(folder: Path, timeout_seconds: float) -> Iterator[LocalLauncher]:
    """A launcher whose job writes down who it is, starts a process of its own, and would run for minutes."""
    script = folder / "job.py"
    script.write_text(JOB.replace('os.environ["SEEN"]', repr(str(folder / "seen"))))
    launcher = LocalLauncher(folder, SystemClock(), timeout_seconds, command=(sys.executable, str(script)))
    try:
        yield launcher
    finally:
        launcher.stop()


def seen(folder: Path) -> list[str]:
    path = folder / "seen"
    return path.read_text().split() if path.exists() else []


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_job_is_told_its_project_and_run(tmp_path: Path) -> None:
    with launching(tmp_path, 60) as launcher:
        launcher.start("run-1")
        words = eventually(lambda: seen(tmp_path), "the job begins")
        assert words[2:] == ["--project", str(tmp_path), "--run", "run-1"]
        assert launcher.alive("run-1")
        assert not launcher.alive("run-2")


def test_stopping_ends_a_job_and_what_it_started(tmp_path: Path) -> None:
    with launching(tmp_path, 60) as launcher:
        launcher.start("run-1")
        job, child = (int(word) for word in eventually(lambda: seen(tmp_path), "the job begins")[:2])
        launcher.stop()
        eventually(lambda: gone(job) and gone(child), "both are gone")


def test_a_job_over_its_time_is_ended(tmp_path: Path) -> None:
    with launching(tmp_path, 1) as launcher:
        launcher.start("run-1")
        job = int(eventually(lambda: seen(tmp_path), "the job begins")[0])

        def ended() -> bool:
            launcher.poll()
            return not launcher.alive("run-1")

        eventually(ended, "the job is ended")
        assert gone(job)
