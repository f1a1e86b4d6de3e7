"""Chromium without a window: the page as it is after its scripts have run."""

import shutil
import subprocess
import tempfile

import pytest


def dom(address: str, seconds: int = 10) -> str:
    """The document at `address` after at most `seconds` of its own time."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed; scripts/system-packages.sh installs it")
    with tempfile.TemporaryDirectory() as profile:
        command = [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            f"--user-data-dir={profile}",
            f"--virtual-time-budget={seconds * 1000}",
            "--dump-dom",
            address,
        ]
        return subprocess.run(command, check=True, timeout=120, capture_output=True, text=True).stdout
