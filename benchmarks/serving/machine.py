"""The machine that measured: what a reader needs to compare numbers with their own."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import psutil


def description() -> dict[str, str | int | float]:
    """Processor, cores, memory, kernel, Python, the tool that makes the load, and how busy it is now (load average)."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "wrk": _wrk(),
        "load": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _wrk() -> str:
    program = shutil.which("wrk")
    if program is None:
        return "not installed"
    said = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    return " ".join((said.stdout or said.stderr).split()[1:2])
