"""The model store on a local folder: one immutable folder per version, published whole, verified at every opening.

A version is its files and a manifest: their SHA-256 and sizes, and facts about the version. The manifest's own digest is kept in the ledger, so
whoever can write to the folder alone cannot make a changed version load. Nothing is followed out of the folder, waited for, or read beyond its size.
"""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

from lifecycle.errors import ArtefactRejected, Conflict

MANIFEST = "manifest.json"
MANIFEST_BYTES = 2**20
"""More than any manifest needs."""
NOT_FACTS = frozenset({"number", "files", "sizes"})
_STAGING = ".staging-"


class LocalModelStore:
    """Versions under `root`, each in a folder named by its six-digit number.

    `pickles` says whether fitted models may be opened that are pickles, which can run any code.
    """

    def __init__(self, root: Path, *, pickles: bool = False) -> None:
        self.root = root
        self.pickles = pickles

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
            paths = sorted(staging.iterdir())
            files = {path.name: _digest(path.read_bytes()) for path in paths}
            sizes = {path.name: path.stat().st_size for path in paths}
            content = {**facts, "number": number, "files": files, "sizes": sizes}
            manifest = json.dumps(content, indent=1, sort_keys=True).encode()
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
        folder, manifest = self._folder(number), self._manifest(number, manifest_digest)
        files, sizes = manifest["files"], manifest["sizes"]
        for name, digest in files.items():
            if Path(name).name != name:
                raise ArtefactRejected(f"version {number} names {name!r}, which is not in its folder; roll back")
            _verify(number, folder, name, digest, sizes.get(name))
        if strange := {path.name for path in folder.iterdir()} - {*files, MANIFEST}:
            raise ArtefactRejected(
                f"the folder of version {number} holds {min(strange)!r}, which was not registered; take it away"
            )
        return folder

    def facts(self, number: int, manifest_digest: str) -> dict[str, Any]:
        """What `fill` returned when version `number` was published. Raises ArtefactRejected for another manifest."""
        manifest = self._manifest(number, manifest_digest)
        return {name: value for name, value in manifest.items() if name not in NOT_FACTS}

    def _manifest(self, number: int, manifest_digest: str) -> dict[str, Any]:
        try:
            with _plain(self._folder(number) / MANIFEST) as file:
                manifest = file.read(MANIFEST_BYTES)
        except OSError as error:
            raise ArtefactRejected(
                f"version {number} is missing from the model store {self.root}; re-register it or roll back"
            ) from error
        if _digest(manifest) != manifest_digest:
            raise ArtefactRejected(
                f"the manifest of version {number} is not the one that was registered; restore the folder or roll back"
            )
        return _checked(number, manifest)

    def _folder(self, number: int) -> Path:
        return self.root / f"{number:06d}"


def _checked(number: int, manifest: bytes) -> dict[str, Any]:
    """The manifest, in the form that a manifest has."""
    try:
        found = json.loads(manifest)
        if found["number"] == number and isinstance(found["files"], dict) and isinstance(found["sizes"], dict):
            return dict(found)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ArtefactRejected(
            f"the manifest of version {number} cannot be read; re-register it or roll back"
        ) from error
    raise ArtefactRejected(f"the manifest of version {number} is not one of it; re-register it or roll back")


def _verify(number: int, folder: Path, name: str, digest: str, size: int | None) -> None:
    try:
        with _plain(folder / name) as file:
            same = os.fstat(file.fileno()).st_size == size and hashlib.file_digest(file, "sha256").hexdigest() == digest
    except (OSError, ValueError) as error:
        raise ArtefactRejected(
            f"file {name!r} of version {number} is missing or not a plain file; restore it or roll back"
        ) from error
    if not same:
        raise ArtefactRejected(f"file {name!r} of version {number} fails its SHA-256; restore it or roll back")


def _plain(path: Path) -> BufferedReader:
    """The file at `path`, open. Raises OSError for what is no plain file: links, folders, and pipes nobody writes to."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path.name} is not a plain file")
    return os.fdopen(descriptor, "rb")


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
