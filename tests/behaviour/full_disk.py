"""A disk of a few megabytes that can be filled and freed, and a service whose feature log lives on it.

What tests and the torture of the feature log share.
"""

import errno
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from lifecycle.clock import SystemClock
from lifecycle.feature_log.table import LogTables
from tests.behaviour.project import RunningProject, eventually, rows

SETTINGS = {
    "EVENKEEL_SERVICE__WORKERS": "1",
    "EVENKEEL_FEATURE_LOG__SEAL_SECONDS": "0.2",
    "EVENKEEL_FEATURE_LOG__FOLD_SECONDS": "0.2",
    "EVENKEEL_RETRAIN__MODE": "off",
}
MEGABYTES = 32
CHUNK = 2**20
REQUESTS = 8
"""Requests before, and while, the disk is full."""
RECOVERY_SECONDS = 5.0
"""Within which after space is back the log takes records again."""
MOST_SEGMENTS = 100
"""Segment files that a full disk may leave behind: far fewer than requests."""
COUNTER = "evenkeel_log_rows_total"


class SmallDisk:
    """A mounted file system of its own at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        """Take every free byte."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (CHUNK, 4096, 1):
                try:
                    while file.write(b"\0" * size):
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """Give all of it back."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(path: Path, megabytes: int = MEGABYTES) -> Iterator[SmallDisk]:
    """Mounted within the block; raises CalledProcessError where that is not allowed."""
    path.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True, capture_output=True)


def refusal(path: Path) -> str | None:
    """Why no disk can be mounted here; None when it can."""
    try:
        with small_disk(path, 1):
            return None
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        return f"no tmpfs can be mounted, which needs root: {error}"


@dataclass
class Endured:
    """What callers saw while the disk became full again and again, and the rows as the service counted them."""

    ids: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)
    most_segments: int = 0
    counted: dict[str, float] = field(default_factory=dict)


@contextmanager
def service_on(disk: SmallDisk, folder: Path, on_error: str) -> Iterator[RunningProject]:
    """A running project in `folder` whose feature log is on `disk`."""
    settings = {
        **SETTINGS,
        "EVENKEEL_FEATURE_LOG__PATH": str(disk.path / "log"),
        "EVENKEEL_FEATURE_LOG__ON_ERROR": on_error,
    }
    with RunningProject(folder, settings) as running:
        try:
            yield running
        finally:
            disk.free()  # so that what ends can write what it has to


def endure(running: RunningProject, disk: SmallDisk, cycles: int) -> Endured:
    """Fill the disk and free it, `cycles` times, with requests all the while. All is folded at the end."""
    seen = Endured()
    with httpx.Client(base_url=running.service_url, timeout=30) as http:
        asked = rows(REQUESTS)
        for _ in range(cycles):
            for row in asked:
                _ask(http, row, seen)
            disk.fill()
            dropped = dropped_rows(http)
            for row in asked:
                _ask(http, row, seen)
            while dropped_rows(http) == dropped:
                _ask(http, asked[0], seen)  # what is left of the last page takes a record or two
            disk.free()
            seen.most_segments = max(seen.most_segments, len(_segments(disk)))
            seen.recoveries.append(_recovered(http, seen))
        seen.counted = log_rows(http)
    eventually(lambda: not _segments(disk), "all is folded", 30)
    return seen


def dropped_rows(http: httpx.Client) -> float:
    return log_rows(http).get("dropped", 0.0)


def log_rows(http: httpx.Client) -> dict[str, float]:
    """Rows by what became of them, as the service counts them."""
    found = {}
    for line in http.get("/metrics").text.splitlines():
        if line.startswith(COUNTER + "{"):
            labels, _, value = line.rpartition(" ")
            found[labels.split('"')[1]] = float(value)
    return found


def recorded(disk: SmallDisk) -> list[str]:
    """The ids of every prediction that is in the table."""
    found: list[str] = []
    for batch in _tables(disk).window(0, SystemClock().now() + 1, columns=["id"]):
        found += batch["id"].to_pylist()
    return found


def _tables(disk: SmallDisk) -> LogTables:
    return LogTables(disk.path / "log")


def _segments(disk: SmallDisk) -> list[Path]:
    return list(_tables(disk).segments.glob("*"))


def _ask(http: httpx.Client, row: dict[str, object], seen: Endured) -> None:
    response = http.post("/predict", json={"rows": [row]})
    seen.statuses[response.status_code] += 1
    if response.is_success:
        seen.ids += [prediction["id"] for prediction in response.json()["predictions"]]


def _recovered(http: httpx.Client, seen: Endured) -> float:
    """Seconds until a record was written again, asking all the while."""
    began, before = time.monotonic(), log_rows(http).get("appended", 0.0)
    while log_rows(http).get("appended", 0.0) == before:
        assert time.monotonic() - began < 2 * RECOVERY_SECONDS, "records are written again once there is space"
        _ask(http, rows(1)[0], seen)
    return time.monotonic() - began
