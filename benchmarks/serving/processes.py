"""Servers as processes: started in a group of their own, asked until they answer, weighed, and ended to the last child."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.serving.proof import NotServed

READY_SECONDS = 60.0
END_SECONDS = 20.0
LOOK_SECONDS = 0.02
MIB = 2**20


class Running:
    """One started server. `log` holds what it printed."""

    def __init__(self, command: list[str], folder: Path, variables: Mapping[str, str]) -> None:
        self.log = folder / "server.log"
        self._began = time.monotonic()
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self, problem: Callable[[], str | None]) -> float:
        """Seconds from the start until there is no `problem` any more. Raises NotServed when it ends first, or takes too long."""
        while said := problem():
            if self._process.poll() is not None:
                raise NotServed(f"it ended with {self._process.returncode} before it answered: {self.tail()}")
            if time.monotonic() - self._began > READY_SECONDS:
                raise NotServed(f"within {READY_SECONDS:.0f} s: {said}; its log ends: {self.tail()}")
            time.sleep(LOOK_SECONDS)  # the pace of looking; the deadline bounds it
        return time.monotonic() - self._began

    def memory(self) -> list[dict[str, float | str]]:
        """MiB of each of its processes, the largest first: resident, and its proportional share of what is shared."""
        found: list[dict[str, float | str]] = []
        for process in self._processes():
            try:
                memory = process.memory_full_info()
                found.append(
                    {
                        "process": _words(process.cmdline()),
                        "rss_mib": round(memory.rss / MIB, 1),
                        "pss_mib": round(memory.pss / MIB, 1),
                    }
                )
            except psutil.NoSuchProcess:
                continue
        return sorted(found, key=lambda entry: -float(entry["rss_mib"]))

    def cpu_seconds(self) -> float:
        """What its processes have used so far."""
        used = 0.0
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used += times.user + times.system
        return used

    def tail(self) -> str:
        """The end of its log, on one line."""
        return " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-4:])[-600:]

    def end(self) -> None:
        """Ask it to end, and kill what remains of it after a while."""
        processes = self._processes()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(processes, timeout=END_SECONDS)
        for process in alive:
            process.kill()
        self._process.wait()

    def _processes(self) -> list[psutil.Process]:
        try:
            parent = psutil.Process(self._process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def _words(command: list[str]) -> str:
    """A command line without the folders that are this machine's own."""
    return " ".join(Path(word).name if "/" in word else word for word in command)[:80]


def variables(programs: Path, own: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server: this one's, its own programs first, and one thread for each prediction.

    A second OpenMP thread in each of two workers on two cores makes every server slower, so none has it.
    """
    path = f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **own}


def free_ports() -> tuple[int, int, int]:
    """Three different ports that the kernel had free a moment ago."""
    probes = [socket.socket() for _ in range(3)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        first, second, third = (int(probe.getsockname()[1]) for probe in probes)
    finally:
        for probe in probes:
            probe.close()
    return first, second, third
