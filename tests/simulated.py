"""A disk in memory that knows what outlives the power, and from which every state that a loss may leave can be drawn.

What was synced is always there. Of the rest anything may be: appended bytes are gone, cut at any byte, or zeros page by page;
names that were made, renamed or removed are as before or as after, each by itself.
"""

import errno
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

PAGE = 64
"""Bytes that reach the disk together: smaller than on any real one, so that small files have many."""
SURE, DIRTY, DOOMED = 0, 1, 2
"""What is known of a byte: on disk; on its way there with the next sync; or not, as its sync failed."""
_CLEANED = bytes([SURE, SURE, DOOMED])
_FAILED = bytes([SURE, DOOMED, DOOMED])
Step = Callable[[str, Path], None]


def _nothing(operation: str, path: Path) -> None:
    """No fault, and nobody who looks."""


@dataclass
class _Inode:
    """A file's bytes, what is known of each, and the size that is on disk. `earlier` is what unsynced truncations cut."""

    content: bytearray = field(default_factory=bytearray)
    known: bytearray = field(default_factory=bytearray)
    size: int = 0
    earlier: list[tuple[bytes, bytes]] = field(default_factory=list)
    held: bool = False

    @classmethod
    def of(cls, content: bytes) -> "_Inode":
        return cls(bytearray(content), bytearray(len(content)), len(content))

    def append(self, data: bytes) -> None:
        self.content += data
        self.known += bytes([DIRTY]) * len(data)

    def truncate(self, size: int) -> None:
        self.earlier.append((bytes(self.content), bytes(self.known)))
        del self.content[size:], self.known[size:]

    def sync(self) -> None:
        self.known = self.known.translate(_CLEANED.ljust(256, b"\0"))
        self.size = len(self.content)
        self.earlier.clear()

    def doom(self) -> None:
        """After a failed sync the system takes the pages for written: no later sync writes them."""
        self.known = self.known.translate(_FAILED.ljust(256, b"\0"))

    def after_loss(self, random: Random) -> bytes:
        content, known = random.choice([(bytes(self.content), bytes(self.known)), *self.earlier])
        if len(content) == self.size and not any(known):
            return content
        least = min(self.size, len(content))
        end = random.choice([least, len(content), random.randint(least, len(content))])
        return _with_holes(bytearray(content[:end]), known, random)


def _with_holes(left: bytearray, known: bytes, random: Random) -> bytes:
    """Some pages never came: what is not sure of them is zeros."""
    share = random.choice([0.0, 0.0, 0.1, 0.5, 1.0])
    for start in range(0, len(left), PAGE):
        if share and random.random() < share:
            for at in range(start, min(start + PAGE, len(left))):
                if known[at] != SURE:
                    left[at] = 0
    return bytes(left)


@dataclass
class _Change:
    """One change of names; sure once every folder in `waiting` was synced."""

    waiting: set[Path]
    removed: Path | None
    added: Path | None
    inode: _Inode

    def apply(self, names: dict[Path, _Inode]) -> None:
        if self.removed is not None and names.get(self.removed) is self.inode:
            del names[self.removed]
        if self.added is not None:
            names[self.added] = self.inode


class SimulatedFile:
    """An open file of the simulated disk."""

    def __init__(self, disk: "SimulatedDisk", path: Path, inode: _Inode) -> None:
        self._disk, self._path, self._inode = disk, path, inode
        if inode.held:
            raise BlockingIOError(errno.EAGAIN, "another process has it open")
        inode.held = True

    def append(self, data: bytes) -> None:
        with self._disk.lock:
            try:
                self._disk.step("append", self._path)
            except OSError:
                self._inode.append(data[: len(data) // 2])  # as a disk that becomes full takes a part
                raise
            self._inode.append(data)

    def sync(self) -> None:
        with self._disk.lock:
            try:
                self._disk.step("sync", self._path)
            except OSError:
                self._inode.doom()
                raise
            self._inode.sync()

    def truncate(self, size: int) -> None:
        with self._disk.lock:
            self._disk.step("truncate", self._path)
            self._inode.truncate(size)

    def close(self) -> None:
        self._inode.held = False


class SimulatedDisk:
    """A `FileSystem`. `step` is called before each change with its name and path, sees the disk as it is at that moment, and
    may raise OSError in its place. Safe to use from several threads.
    """

    file: type[SimulatedFile] = SimulatedFile

    def __init__(self, step: Step = _nothing) -> None:
        self.lock = threading.RLock()
        self.step = step
        self._names: dict[Path, _Inode] = {}
        self._sure: dict[Path, _Inode] = {}
        self._changes: list[_Change] = []

    def after_loss(self, random: Random) -> "SimulatedDisk":
        """Another disk, as a loss of power at this moment may leave this one: one of all the ways, by `random`."""
        with self.lock:
            names = dict(self._sure)
            luck = random.choice([0.0, 0.5, 1.0])
            for change in self._changes:
                if not change.waiting or random.random() < luck:
                    change.apply(names)
            left = SimulatedDisk()
            again: dict[int, _Inode] = {}
            for path, inode in names.items():
                found = again.setdefault(id(inode), _Inode.of(inode.after_loss(random)))
                left._names[path] = left._sure[path] = found
            return left

    def kill(self) -> None:
        """Every process that has a file open here has died: all is there, nothing is locked."""
        with self.lock:
            for inode in self._names.values():
                inode.held = False

    def create(self, path: Path) -> SimulatedFile:
        with self.lock:
            if path in self._names:
                raise FileExistsError(errno.EEXIST, "there is one", str(path))
            self.step("create", path)
            inode = _Inode()
            self._change(None, path, inode)
            return self.file(self, path, inode)

    def adopt(self, path: Path) -> SimulatedFile:
        with self.lock:
            return self.file(self, path, self._inode(path))

    def read(self, path: Path) -> bytes:
        with self.lock:
            return bytes(self._inode(path).content)

    def write(self, path: Path, parts: Iterable[bytes]) -> int:
        made = path.with_name(f".{path.name}.new")
        with self.lock:
            self._names.pop(made, None)
            file = self.create(made)
            try:
                for part in parts:
                    file.append(part)
                file.sync()
            finally:
                file.close()
            self.rename(made, path)
            self.sync_folder(path.parent)
            return self.size(path)

    def rename(self, path: Path, target: Path) -> None:
        with self.lock:
            inode = self._inode(path)
            self.step("rename", path)
            self._change(path, target, inode)

    def remove(self, path: Path) -> None:
        with self.lock:
            inode = self._inode(path)
            self.step("remove", path)
            self._change(path, None, inode)

    def names(self, folder: Path) -> list[str]:
        with self.lock:
            depth = len(folder.parts)
            return sorted({path.parts[depth] for path in self._names if folder in path.parents})

    def size(self, path: Path) -> int:
        with self.lock:
            return len(self._inode(path).content)

    def sync_folder(self, folder: Path) -> None:
        with self.lock:
            self.step("sync_folder", folder)
            for change in self._changes:
                change.waiting.discard(folder)
            while self._changes and not self._changes[0].waiting:
                self._changes.pop(0).apply(self._sure)

    def _change(self, removed: Path | None, added: Path | None, inode: _Inode) -> None:
        waiting = {path.parent for path in (removed, added) if path is not None}
        change = _Change(waiting, removed, added, inode)
        change.apply(self._names)
        self._changes.append(change)

    def _inode(self, path: Path) -> _Inode:
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
        return self._names[path]
