"""Closed-loop load by `wrk`: every connection sends its next request as soon as it has its answer."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.samples import Latency

SCRIPT = Path(__file__).with_name("load.lua")
MARK = "MEASURED "
PATIENCE_SECONDS = 30


class LoadFailed(Exception):
    """`wrk` is missing, or it could not measure."""


@dataclass(frozen=True)
class Target:
    """Where the load goes: a URL, and a folder whose files 0, 1, ... are the bodies to send in turn."""

    url: str
    bodies: Path
    count: int
    content_type: str
    accept: str | None


@dataclass(frozen=True)
class Closed:
    """What one run measured; `errors` counts everything that was not a 2xx in time."""

    requests: int
    requests_per_s: float
    latency: Latency
    errors: int


def run(target: Target, connections: int, seconds: float) -> Closed:
    """Load `target` for `seconds`. Raises LoadFailed."""
    program = shutil.which("wrk")
    if program is None:
        raise LoadFailed("wrk, which makes the load, is not installed; run `scripts/system-packages.sh bench`")
    load = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "--script", str(SCRIPT)]
    given = [str(target.bodies), str(target.count), target.content_type, *([target.accept] if target.accept else [])]
    done = subprocess.run(
        [program, *load, target.url, "--", *given],
        capture_output=True,
        text=True,
        timeout=seconds + PATIENCE_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise LoadFailed(f"wrk ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}")
    return parse(done.stdout)


def parse(output: str) -> Closed:
    """What `wrk` printed with our script. Raises LoadFailed when the line is not there."""
    line = next((line for line in output.splitlines() if line.startswith(MARK)), None)
    if line is None:
        raise LoadFailed(f"wrk printed no measurement: {output.strip()[-300:]!r}")
    found = json.loads(line.removeprefix(MARK))
    return Closed(
        requests=found["requests"],
        requests_per_s=found["requests"] / (found["microseconds"] / 1e6),
        latency=Latency(
            *(found[f"{name}_us"] / 1e3 for name in ("p50", "p90", "p99", "p999", "max")),
        ),
        errors=sum(found["errors"].values()),
    )
