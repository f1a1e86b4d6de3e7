"""The model store on a local folder: one immutable folder per version, published whole, verified at every opening.

A version is its files and a manifest: their SHA-256, and facts about the version. The manifest's own digest is kept in the ledger, so whoever can
write to the folder alone cannot make a changed version load.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lifecycle.errors import ArtefactRejected, Conflict

MANIFEST = "manifest.json"
_STAGING = ".staging-"


class LocalModelStore:
    """Versions under `root`, each in a folder named by its six-digit number."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def next_number(self) -> int:
        """One more than the highest number published."""
        return max(self.numbers(), default=0) + 1

    def numbers(self) -> list[int]:
        """Every published number, ascending."""
        if not self.root.exists():
            return []
        return sorted(int(path.name) for path in self.root.iterdir() if path.name.isdigit())

    def publish(self, number: int, fill: Callable[[Path], Mapping[str, Any] | None]) -> str:
        """Make version `number` from what `fill` writes into an empty folder; returns the manifest's digest.

        What `fill` returns goes into the manifest as facts, in JSON's types. The folder appears whole or not at all. Raises Conflict when the number is taken.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        staging = self.root / f"{_STAGING}{number}-{os.getpid()}"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            facts = fill(staging) or {}
            files = {path.name: _digest(path.read_bytes()) for path in sorted(staging.iterdir())}
            manifest = json.dumps({**facts, "number": number, "files": files}, indent=1, sort_keys=True).encode()
            (staging / MANIFEST).write_bytes(manifest)
            _sync(staging)
            staging.rename(self._folder(number))
            _sync_path(self.root)
        except OSError as error:
            if self._folder(number).exists():
                raise Conflict(f"version {number} is in the model store already; take the next number") from error
            raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return _digest(manifest)

    def open(self, number: int, manifest_digest: str) -> Path:
        """The folder of version `number`, every byte of it verified. Raises ArtefactRejected otherwise."""
        folder = self._folder(number)
        for name, digest in self._manifest(number, manifest_digest)["files"].items():
            _verify(number, folder, name, digest)
        return folder

    def facts(self, number: int, manifest_digest: str) -> dict[str, Any]:
        """What `fill` returned when version `number` was published. Raises ArtefactRejected for another manifest."""
        manifest = self._manifest(number, manifest_digest)
        return {name: value for name, value in manifest.items() if name not in {"number", "files"}}

    def _manifest(self, number: int, manifest_digest: str) -> dict[str, Any]:
        try:
            manifest = (self._folder(number) / MANIFEST).read_bytes()
        except OSError as error:
            raise ArtefactRejected(
                f"version {number} is missing from the model store {self.root}; re-register it or roll back"
            ) from error
        if _digest(manifest) != manifest_digest:
            raise ArtefactRejected(
                f"the manifest of version {number} is not the one that was registered; restore the folder or roll back"
            )
        found: dict[str, Any] = json.loads(manifest)
        return found

    def _folder(self, number: int) -> Path:
        return self.root / f"{number:06d}"


def _verify(number: int, folder: Path, name: str, digest: str) -> None:
    path = folder / name
    if Path(name).name != name or path.is_symlink() or not path.is_file():
        raise ArtefactRejected(
            f"file {name!r} of version {number} is missing or not a plain file; restore it or roll back"
        )
    if _digest(path.read_bytes()) != digest:
        raise ArtefactRejected(f"file {name!r} of version {number} fails its SHA-256; restore it or roll back")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sync(folder: Path) -> None:
    for path in [*folder.iterdir(), folder]:
        _sync_path(path)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
