"""Ends or fails the feature log's work at a numbered step: between any two things it does to the disk, or half-way through one.

A process that ends does nothing more, not even in a `finally`, and its locks are given up; `Killed` says so in-process.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from lifecycle.feature_log.delta import LogTable
from lifecycle.feature_log.files import File, FileSystem, LocalFiles
from lifecycle.feature_log.table import LogTables


class Killed(BaseException):
    """The process has ended here."""


class Steps:
    """Counts steps, and at number `fatal` (from 1 on) ends the process before it takes it; `names` are those that were reached.

    What it does between two steps changes nothing on disk, so an end at each step is an end at every moment there is.

    `meanwhile` is called at step `fatal` in place of ending: for what another process does at that moment.
    """

    def __init__(self, fatal: int | None = None, meanwhile: Callable[[], object] | None = None) -> None:
        self.names: list[str] = []
        self.dead = False
        self._fatal = fatal
        self._meanwhile = meanwhile
        self._open: list[File] = []

    def alive(self) -> None:
        """What changes nothing that a later process would see is no step; a dead process does not do that either."""
        if self.dead:
            raise Killed("after the end")

    def step(self, name: str) -> None:
        self.alive()
        self.names.append(name)
        if len(self.names) != self._fatal:
            return
        if self._meanwhile:
            self._meanwhile()
            return
        self.dead = True
        for file in self._open:
            file.close()
        raise Killed(name)

    def opened(self, file: File) -> None:
        """Have a file closed when the process ends."""
        self._open.append(file)


class FaultyFiles:
    """Another file system, with a step before everything that changes it, and one half-way through a write.

    Synchronising is no step: it matters to a loss of power alone, which a simulated disk knows all about.
    """

    def __init__(self, steps: Steps, inner: FileSystem | None = None) -> None:
        self._steps = steps
        self._inner = inner or LocalFiles()

    def create(self, path: Path) -> File:
        self._steps.step(f"create {path.suffix}")
        return self._tracked(self._inner.create(path))

    def adopt(self, path: Path) -> File:
        self._steps.alive()
        return self._tracked(self._inner.adopt(path))

    def read(self, path: Path) -> bytes:
        self._steps.alive()
        return self._inner.read(path)

    def write(self, path: Path, parts: Iterable[bytes]) -> int:
        self._steps.step(f"write {path.suffix}")
        whole = b"".join(parts)
        part = path.with_name(f".{path.name}.new")
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(whole[: len(whole) // 2])
        self._steps.step(f"half of write {path.suffix}")
        return self._inner.write(path, [whole])

    def rename(self, path: Path, target: Path) -> None:
        self._steps.step(f"rename {path.suffix} to {target.suffix}")
        self._inner.rename(path, target)

    def remove(self, path: Path) -> None:
        self._steps.step(f"remove {path.suffix}")
        self._inner.remove(path)

    def names(self, folder: Path) -> list[str]:
        self._steps.alive()
        return self._inner.names(folder)

    def size(self, path: Path) -> int:
        self._steps.alive()
        return self._inner.size(path)

    def sync_folder(self, folder: Path) -> None:
        self._steps.alive()
        self._inner.sync_folder(folder)

    def _tracked(self, file: File) -> File:
        self._steps.opened(file)
        return _FaultyFile(self._steps, file)


class _FaultyFile:
    def __init__(self, steps: Steps, inner: File) -> None:
        self._steps = steps
        self._inner = inner

    def append(self, data: bytes) -> None:
        self._steps.step("append")
        half = len(data) // 2
        self._inner.append(data[:half])
        self._steps.step("half of append")
        self._inner.append(data[half:])

    def sync(self) -> None:
        self._steps.alive()
        self._inner.sync()

    def truncate(self, size: int) -> None:
        self._steps.step("truncate")
        self._inner.truncate(size)

    def close(self) -> None:
        self._inner.close()


class FaultyTable(LogTable):
    """A table with a step before each commit: what it commits has been written, and nothing names it yet."""

    def __init__(self, inner: LogTable, steps: Steps) -> None:
        super().__init__(inner.name, inner.storage, inner.keys)
        self._steps = steps

    def _commit(self, *arguments: Any, **named: Any) -> None:
        self._steps.step(f"commit to {self.name}")
        super()._commit(*arguments, **named)


def faulty_tables(folder: Path, steps: Steps) -> LogTables:
    """The tables in `folder`, whose files and commits count as steps."""
    tables = LogTables(folder, files=FaultyFiles(steps))
    for name in ("predictions", "labels", "parked"):
        setattr(tables, name, FaultyTable(getattr(tables, name), steps))
    return tables


def outcomes(work: Callable[[Steps], object]) -> Iterator[str]:
    """Has `work` done again and again, each time ended one step later, until it comes to its own end.

    Gives the name of each step at which it was ended; what was left behind is there to be looked at.
    """
    fatal = 0
    while True:
        fatal += 1
        steps = Steps(fatal)
        try:
            work(steps)
        except Killed:
            yield steps.names[-1]
        else:
            return
