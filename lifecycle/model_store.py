"""The model store on a local folder: one immutable folder per version, published whole, verified at every opening.

A version is its files and a manifest: their SHA-256 and sizes, and facts about the version. The manifest's own digest is kept in the ledger, so
whoever can write to the folder alone cannot make a changed version load. Nothing is followed out of the folder, waited for, or read beyond its size.
A version that rows were erased from gets a folder beside the first; the digest in the ledger says which of them the version is.
"""

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from lifecycle.errors import ArtefactRejected, Conflict

MANIFEST = "manifest.json"
MANIFEST_BYTES = 2**20
"""More than any manifest needs."""
NOT_FACTS = frozenset({"number", "files", "sizes"})
DIGITS = 16
"""How much of its digest a revised version's folder has in its name."""
_STAGING = ".staging-"
_NAME = re.compile(rf"([0-9]+)(?:-[0-9a-f]{{{DIGITS}}})?")


class LocalModelStore:
    """Versions under `root`, each in a folder named by its six-digit number, and by its digest too once it was revised.

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
        return sorted({int(found[1]) for path in self.root.iterdir() if (found := _NAME.fullmatch(path.name))})

    def publish(self, number: int, fill: Callable[[Path], Mapping[str, Any] | None]) -> str:
        """Make version `number` from what `fill` writes into an empty folder; returns the manifest's digest.

        What `fill` returns goes into the manifest as facts, in JSON's types. The folder appears whole or not at all. Raises Conflict when the number is taken.
        """
        taken = f"version {number} is in the model store already; take the next number"
        if number in self.numbers():
            raise Conflict(taken)
        with self._staging(number) as staging:
            digest = _seal(staging, number, fill(staging) or {})
            try:
                self._put(staging, self._plain(number))
            except OSError as error:
                if self._plain(number).exists():
                    raise Conflict(taken) from error
                raise
        return digest

    def revise(self, number: int, manifest_digest: str, change: Callable[[Path], None]) -> str:
        """Put a copy that `change` has worked on beside a version, under a digest of its own, which is returned.

        Nothing else changes: both open, each by its digest. Raises ArtefactRejected when the version is damaged.
        """
        source, facts = self.open(number, manifest_digest), self.facts(number, manifest_digest)
        with self._staging(number) as staging:
            for path in source.iterdir():
                if path.name != MANIFEST:
                    shutil.copyfile(path, staging / path.name)
            change(staging)
            digest = _seal(staging, number, facts)
            target = self._revised(number, digest)
            if not target.exists():  # the same change was made before: a folder appears whole or not at all
                self._put(staging, target)
        return digest

    def keep_only(self, number: int, manifest_digest: str) -> None:
        """Delete every other folder of a version. Raises ArtefactRejected, and deletes nothing, when this one is damaged."""
        kept = self.open(number, manifest_digest)
        for path in self.folders(number):
            if path != kept:
                shutil.rmtree(path)
        _sync_path(self.root)

    def discard(self, number: int) -> None:
        """Delete all of a version; for one that is in no ledger."""
        for path in self.folders(number):
            shutil.rmtree(path)

    def sweep(self) -> None:
        """Delete what was never published; for a moment when nobody publishes."""
        for path in self.root.glob(f"{_STAGING}*"):
            shutil.rmtree(path)

    def open(self, number: int, manifest_digest: str) -> Path:
        """The folder of version `number`, every byte of it verified. Raises ArtefactRejected otherwise."""
        folder, manifest = self._folder(number, manifest_digest), self._manifest(number, manifest_digest)
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
            with _open_plain(self._folder(number, manifest_digest) / MANIFEST) as file:
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

    def folders(self, number: int) -> list[Path]:
        """Every folder of a version, unverified: as it was published, and as it was revised."""
        if not self.root.exists():
            return []
        return sorted(
            path for path in self.root.iterdir() if (found := _NAME.fullmatch(path.name)) and int(found[1]) == number
        )

    def _folder(self, number: int, manifest_digest: str) -> Path:
        revised = self._revised(number, manifest_digest)
        return revised if revised.exists() else self._plain(number)

    def _plain(self, number: int) -> Path:
        return self.root / f"{number:06d}"

    def _revised(self, number: int, manifest_digest: str) -> Path:
        return self.root / f"{number:06d}-{manifest_digest[:DIGITS]}"

    @contextmanager
    def _staging(self, number: int) -> Iterator[Path]:
        self.root.mkdir(parents=True, exist_ok=True)
        staging = self.root / f"{_STAGING}{number}-{os.getpid()}"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _put(self, staging: Path, target: Path) -> None:
        _sync(staging)
        staging.rename(target)
        _sync_path(self.root)


def _seal(folder: Path, number: int, facts: Mapping[str, Any]) -> str:
    """Write the manifest of what is in `folder`; returns its digest."""
    paths = sorted(folder.iterdir())
    files = {path.name: _digest(path.read_bytes()) for path in paths}
    sizes = {path.name: path.stat().st_size for path in paths}
    manifest = json.dumps(
        {**facts, "number": number, "files": files, "sizes": sizes}, indent=1, sort_keys=True
    ).encode()
    (folder / MANIFEST).write_bytes(manifest)
    return _digest(manifest)


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
        with _open_plain(folder / name) as file:
            same = os.fstat(file.fileno()).st_size == size and hashlib.file_digest(file, "sha256").hexdigest() == digest
    except (OSError, ValueError) as error:
        raise ArtefactRejected(
            f"file {name!r} of version {number} is missing or not a plain file; restore it or roll back"
        ) from error
    if not same:
        raise ArtefactRejected(f"file {name!r} of version {number} fails its SHA-256; restore it or roll back")


def _open_plain(path: Path) -> BufferedReader:
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
