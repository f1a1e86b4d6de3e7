"""All access of the feature log to local files: a small interface, and the real one behind it.

Tests put a simulated disk in its place, which loses power, and one that fails or ends the process at a numbered step.
"""

import errno
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

SHORT_WRITE = errno.ENOSPC
"""The error of a write that took only a part: as of a full disk."""
BOOT = Path("/proc/sys/kernel/random/boot_id")


class File(Protocol):
    """A file open for appending, locked by this process for as long as it is open."""

    def append(self, data: bytes) -> None:
        """Adds all of `data` with one write, or raises OSError; then a part of it may be there."""

    def sync(self) -> None:
        """Returns when everything appended outlives the power; raises OSError, after which nothing is known of it."""

    def truncate(self, size: int) -> None:
        """Cuts off all bytes from `size` on."""

    def close(self) -> None:
        """Gives the lock up too; calling it twice is harmless."""


class FileSystem(Protocol):
    """The files of the feature log. Everything raises OSError for what cannot be done.

    What is created, renamed or removed outlives the power once its folder was synced, what is written once its file was.
    """

    def create(self, path: Path) -> File:
        """A new file, in a folder that is made if there is none; FileExistsError when there is one.

        BlockingIOError or FileNotFoundError when another process adopted it before it was locked: it is theirs then.
        """

    def adopt(self, path: Path) -> File:
        """A file that is there; BlockingIOError while another process has it open, FileNotFoundError once it is gone."""

    def read(self, path: Path) -> bytes:
        """All of it."""

    def write(self, path: Path, parts: Iterable[bytes]) -> int:
        """A whole file, on disk with its folder when this returns; there is no part of it under this name before. Its size."""

    def rename(self, path: Path, target: Path) -> None:
        """Replaces `target`."""

    def remove(self, path: Path) -> None:
        """FileNotFoundError when it is not there."""

    def names(self, folder: Path) -> list[str]:
        """The names in a folder, sorted; none when there is no such folder."""

    def size(self, path: Path) -> int:
        """In bytes."""

    def sync_folder(self, folder: Path) -> None:
        """Returns when all names in it outlive the power."""


class LocalFile:
    """A file of the operating system."""

    def __init__(self, path: Path, flags: int) -> None:
        self._descriptor = os.open(path, flags | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._check_name(path)
        except OSError:
            self.close()
            raise

    def append(self, data: bytes) -> None:
        if os.write(self._descriptor, data) != len(data):
            raise OSError(SHORT_WRITE, "only part of a record could be written")

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _check_name(self, path: Path) -> None:
        """Between opening and locking it, another process may have locked it, renamed it and let it go."""
        if not os.path.samestat(os.fstat(self._descriptor), path.stat()):
            raise FileNotFoundError(errno.ENOENT, "another process renamed it before it was locked", str(path))


class LocalFiles:
    """The operating system's files."""

    def create(self, path: Path) -> LocalFile:
        self._make(path.parent)
        return LocalFile(path, os.O_CREAT | os.O_EXCL)

    def adopt(self, path: Path) -> LocalFile:
        return LocalFile(path, 0)

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def write(self, path: Path, parts: Iterable[bytes]) -> int:
        self._make(path.parent)
        made = path.with_name(f".{path.name}.new")
        try:
            with made.open("wb") as file:
                size = sum(map(file.write, parts))
                file.flush()
                os.fsync(file.fileno())
            made.replace(path)
        finally:
            made.unlink(missing_ok=True)
        self.sync_folder(path.parent)
        return size

    def rename(self, path: Path, target: Path) -> None:
        self._make(target.parent)
        path.replace(target)

    def remove(self, path: Path) -> None:
        path.unlink()

    def names(self, folder: Path) -> list[str]:
        try:
            return sorted(path.name for path in folder.iterdir())
        except FileNotFoundError:
            return []

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _make(self, folder: Path) -> None:
        """A folder, and those it is in, which outlive the power as soon as something in them is synced."""
        if not folder.is_dir():
            self._make(folder.parent)
            folder.mkdir(exist_ok=True)
            self.sync_folder(folder.parent)


LOCAL_FILES = LocalFiles()
"""For defaults: it has no state."""


def boot_id() -> str:
    """Names the run of this machine's kernel, so that one can tell whether power was lost since; empty where there is none."""
    try:
        return BOOT.read_text().strip()
    except OSError:
        return ""
