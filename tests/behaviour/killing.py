"""Campaigns of `kill -9`: writers, and the folder that follows them, die at random moments; then all rows are counted.

What tests and the torture of the feature log share.
"""

import multiprocessing
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from lifecycle.clock import SystemClock
from lifecycle.config import FeatureLogSection
from lifecycle.feature_log.compaction import tidy
from lifecycle.feature_log.files import FileSystem, LocalFile, LocalFiles
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.table import LogTables
from lifecycle.records import FoldStatus

LONGEST_RUN = 400
"""Acknowledgements after which a writer is killed, at most."""
LONGEST_FOLD = 0.2
"""Seconds after which a folder is killed, at most."""
ANSWER_SECONDS = 30
FOLD_EVERY = 7
SETTINGS = FeatureLogSection(compact_files=2, vacuum_minutes=0)
Processes = multiprocessing.context.ForkServerContext
Writer = Callable[[Path, Connection], None]


class UncutFile(LocalFile):
    """Broken: it cannot be cut, and says nothing of it."""

    def truncate(self, size: int) -> None:
        """Nothing is cut."""


class NoTruncation(LocalFiles):
    """Broken: what is cut off stays there."""

    def adopt(self, path: Path) -> LocalFile:
        return UncutFile(path, 0)


@dataclass
class Survived:
    """The rows that were acknowledged, how often each row is in the table in the end, and what the folder said last."""

    acknowledged: list[str] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    status: FoldStatus | None = None

    @property
    def lost(self) -> list[str]:
        return [row for row in self.acknowledged if row not in self.kept]

    @property
    def doubled(self) -> list[str]:
        return [row for row, count in self.kept.items() if count > 1]

    @property
    def problems(self) -> list[str]:
        """Every broken promise in words; none for a sound writer and folder."""
        assert self.status is not None, "the campaign is over"
        left, damaged = self.status.pending_segments, self.status.quarantined_segments + self.status.corrupt_frames
        found = {
            f"{len(self.lost)} acknowledged rows are lost, such as {self.lost[:3]}": self.lost,
            f"{len(self.doubled)} rows are there twice, such as {self.doubled[:3]}": self.doubled,
            f"{left} segments were never folded": left,
            f"{damaged} segments or frames count as damaged, though a kill leaves torn ends only": damaged,
        }
        return [problem for problem, count in found.items() if count]


class Campaign:
    """Kills in `folder`; `files` are what the folder reads segments with."""

    def __init__(self, processes: Processes, folder: Path, *, seed: int = 7, files: FileSystem | None = None) -> None:
        self._processes = processes
        self._tables = LogTables(folder)
        self._files = files or LocalFiles()
        self._random = Random(seed)
        self._clock = SystemClock()
        self._began = self._clock.now()
        self._seen = Survived()

    def run(self, writer: Writer, kills: int, *, kill_folder: bool = False) -> None:
        """`kills` writers, one after another, with a fold now and then, or with one after each that is killed too."""
        for kill in range(kills):
            self._seen.acknowledged += self._write_and_die(writer)
            if kill_folder:
                self._fold_and_die()
            elif kill % FOLD_EVERY == 0:
                self._fold()
        self._seen.kills += kills

    def end(self) -> Survived:
        """Fold the rest and count."""
        self._fold()
        rows = self._tables.window(self._began, self._clock.now() + 1, columns=["id", "feature_a"])
        for batch in rows:
            values = zip(batch["id"].to_pylist(), batch["feature_a"].to_pylist(), strict=True)
            self._seen.kept.update(f"{identifier} {value}" for identifier, value in values)
        return self._seen

    def _fold(self) -> None:
        self._seen.status = Fold(self._tables, self._files, self._seen.status).fold()

    def _write_and_die(self, writer: Writer) -> list[str]:
        """Every acknowledgement that left the writer, those still in the pipe when it died included."""
        reading, writing = self._processes.Pipe(duplex=False)
        process = self._processes.Process(target=writer, args=(self._tables.segments, writing))
        process.start()
        writing.close()
        acknowledged: list[str] = []
        with reading:
            try:
                for _ in range(self._random.randrange(LONGEST_RUN)):
                    assert reading.poll(ANSWER_SECONDS), "the writer answers"
                    acknowledged += reading.recv_bytes().decode().splitlines()
                process.kill()
                while reading.poll(ANSWER_SECONDS):
                    acknowledged += reading.recv_bytes().decode().splitlines()
            except EOFError:
                pass  # it died, by this hand or its own, and this was all it said
            process.join()
        process.close()
        return acknowledged

    def _fold_and_die(self) -> None:
        process = self._processes.Process(target=fold_for_ever, args=(self._tables.folder, self._files))
        process.start()
        process.join(self._random.uniform(0, LONGEST_FOLD))
        assert process.is_alive(), "a folder ends only by being killed"
        process.kill()
        process.join()
        process.close()


def processes() -> Processes:
    """Children that start in milliseconds, from a process that has loaded what they need and nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.behaviour.append_writers", "tests.behaviour.killing"])
    return context


class Fold:
    """A folder that has just begun, and what it does after each fold; merges are as frequent as they can be."""

    def __init__(self, tables: LogTables, files: FileSystem, before: FoldStatus | None = None) -> None:
        self._tables = tables
        self._clock = SystemClock()
        self._folder = Folder(tables, self._clock, before=before, files=files)

    def fold(self) -> FoldStatus:
        status = self._folder.fold()
        while self._folder.behind:
            status = self._folder.fold()
        tidy(self._tables, self._clock, SETTINGS)
        return status


def fold_for_ever(folder: Path, files: FileSystem) -> None:
    """A folder process without a lease: nobody else folds while it lives."""
    fold = Fold(LogTables(folder), files)
    while True:
        fold.fold()
