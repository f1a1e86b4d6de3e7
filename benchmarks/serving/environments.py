"""The peers' virtual environments: each made on first use from its lock, and made again when the lock changes."""

import hashlib
import subprocess
import sys
from pathlib import Path

from benchmarks.serving.entrants import Server

MARK = "lock.sha256"


def programs(server: Server, folder: Path) -> Path:
    """The folder of `server`'s programs; this environment's when it has no lock of its own."""
    if server.lock is None:
        return Path(sys.prefix) / "bin"
    environment = folder / server.name
    digest = hashlib.sha256(server.lock.read_bytes()).hexdigest()
    mark = environment / MARK
    if not mark.exists() or mark.read_text() != digest:
        _make(environment, server.lock)
        mark.write_text(digest)
    return environment / "bin"


def versions(server: Server, programs: Path) -> dict[str, str]:
    """The versions of the server's packages, and of the Python it runs on."""
    code = (
        "import sys; from importlib.metadata import version\n"
        "print(sys.version.split()[0]); print('\\n'.join(map(version, sys.argv[1:])))"
    )
    command = [str(programs / "python"), "-c", code, *server.packages]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return dict(zip(("python", *server.packages), found, strict=True))


def _make(environment: Path, lock: Path) -> None:
    print(f"Installing the locked packages of {environment.name} into {environment}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-qq"]
    subprocess.run([*pip, "install", "--no-deps", "--require-hashes", "-r", str(lock)], check=True)
    subprocess.run([*pip, "check"], check=True)
