"""Damaged files of the feature log: flipped bits and lost ends, and who of its readers sees it.

A reader sees damage by refusing the file, or by counting it. Damage that changes nothing of what is read is harmless; any
other is a problem, and so is a row that nobody has appended.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext as Processes
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from lifecycle.clock import ManualClock
from lifecycle.errors import EvenkeelError
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.frames import SegmentContents, read_segment
from lifecycle.feature_log.parquet import Source
from lifecycle.feature_log.table import LogTables
from lifecycle.pseudonyms import Pseudonyms
from tests import builders

DAY = 86_400_000_000
ROWS = 40
COMMITS = 3
Judge = Callable[[bytes], str | None]
"""What is wrong with how a damaged content is read: None when the damage was seen, or did no harm."""


@dataclass(frozen=True)
class Subject:
    """A file of some kind, with its content and its judge."""

    kind: str
    content: bytes
    judge: Judge

    def bits(self, random: Random, times: int) -> list[int]:
        """So many different bits of it, or all."""
        everything = range(len(self.content) * 8)
        return random.sample(everything, times) if times < len(everything) else list(everything)

    def flips(self, bits: Iterable[int]) -> Iterator[str]:
        """Problems after flipping one bit, each time another."""
        for bit in bits:
            damaged = bytearray(self.content)
            damaged[bit // 8] ^= 1 << bit % 8
            if problem := self.judge(bytes(damaged)):
                yield f"{self.kind}, bit {bit % 8} of byte {bit // 8}: {problem}"

    def cuts(self, sizes: Iterable[int] | None = None) -> Iterator[str]:
        """Problems after cutting the file off; to each size that is smaller, unless `sizes` are given."""
        for size in range(len(self.content)) if sizes is None else sizes:
            if problem := self.judge(self.content[:size]):
                yield f"{self.kind}, cut to {size} bytes: {problem}"


Make = Callable[[Path], Subject]


def sealed_segment(folder: Path) -> Subject:
    """One with records of each kind: rows alone, rows in bulk as arrays, labels, two schemas."""
    content = _segment(folder).read_bytes()
    return Subject("sealed segment", content, _segment_judge(content, sealed=True))


def open_segment(folder: Path) -> Subject:
    """One whose writer has died, so that its end may be torn; no reader can know of a whole frame that is missing there."""
    content = _segment(folder).read_bytes()
    return Subject("open segment", content, _segment_judge(content, sealed=False))


def _segment(folder: Path) -> Path:
    writer = builders.writer(folder)
    for version in (1, 1, 2):
        batch = builders.batch(version=version)
        writer.append_predictions(batch, builders.schema(version))
        writer.append_labels([builders.label(identifier) for identifier in batch.ids])
        bulk = builders.batch(12, version=version)
        columns = bulk.columns | {"a": np.arange(12) / 8}
        writer.append_predictions(replace(bulk, columns=columns), builders.schema(version))
    writer.close()
    (path,) = folder.glob("*.seg")
    return path


def _segment_judge(content: bytes, *, sealed: bool) -> Judge:
    size = len(content) if sealed else None  # as the name of a sealed one says
    whole = read_segment(content, sealed=sealed, size=size)
    assert not whole.corrupt_frames + whole.torn_bytes, "it is sound"
    rows = _rows(whole)

    def judge(damaged: bytes) -> str | None:
        found = read_segment(damaged, sealed=sealed, size=size)
        if wrong := [row for row in _rows(found) if row not in rows]:
            return f"it holds rows that nobody has appended, such as {wrong[0]}"
        counted = found.corrupt_frames + found.torn_bytes
        same = (_rows(found), found.header, found.schemas) == (rows, whole.header, whole.schemas)
        shorter = not sealed and content.startswith(damaged)
        return None if counted or same or shorter else "nothing was counted, and something is missing"

    return judge


def _rows(contents: SegmentContents) -> list[Any]:
    return [*contents.predictions, *contents.labels]


@dataclass(frozen=True)
class Log:
    """A folded feature log of a few commits with a checkpoint among them, in `folder`, and who wrote it."""

    folder: Path
    writers: tuple[str, ...]

    @classmethod
    def make(cls, folder: Path) -> "Log":
        tables, clock = LogTables(folder), ManualClock()
        writers = []
        for turn in range(COMMITS):
            writer = builders.writer(tables.segments)
            batch = builders.batch(ROWS)
            writer.append_predictions(batch, builders.schema())
            writer.append_labels([builders.label(identifier) for identifier in batch.ids])
            writer.close()
            writers += [path.name.partition(".")[0] for path in tables.segments.iterdir()]
            Folder(tables, clock).fold()
            if turn == 0:
                tables.predictions.checkpoint()
        return cls(folder, tuple(writers))

    @property
    def tables(self) -> LogTables:
        """As a process sees them that has just begun."""
        return LogTables(self.folder)

    def files(self, pattern: str) -> list[Path]:
        return sorted(path for path in self.folder.glob(pattern) if path.is_file())

    def subject(self, kind: str, path: Path) -> Subject:
        """One of its files. It is put back after each look."""
        whole = self._seen()
        assert not self.tables.verify(), "it is sound"

        def judge(damaged: bytes) -> str | None:
            with _Restored(self.folder):
                path.write_bytes(damaged)
                try:
                    problems = self.tables.verify()
                    return None if problems or self._seen() == whole else "nobody saw it, and something else is read"
                except EvenkeelError:
                    return None
                except Exception as error:
                    return f"a reader fails with {error!r}"

        return Subject(kind, path.read_bytes(), judge)

    def _seen(self) -> tuple[Any, ...]:
        """All that anybody reads of the tables: rows with their labels, and the numbers that folding relies on."""
        tables = self.tables
        numbers = [table.transactions(self.writers) for table in tables.all]
        rows: pa.Table = tables.rows(builders.START - DAY, builders.START + DAY, labels=True)
        return rows.schema, rows.to_pylist(), numbers


def data_file(path: Path) -> Subject:
    """A data file of a table, read by itself: opened, and all of its pages. To be judged in a process of its own."""
    content = path.read_bytes()
    schema = pa.parquet.read_schema(path)

    def read(damaged: bytes) -> pa.Table:
        source = Source(path.name, "", lambda: pa.BufferReader(damaged))
        return pa.concat_tables([group.source.read(group.index, schema) for group in source.groups("id")])

    whole = read(content)

    def judge(damaged: bytes) -> str | None:
        try:
            found = read(damaged)
        except (OSError, pa.ArrowException, EvenkeelError):
            return None
        except Exception as error:
            return f"a reader fails with {error!r}"
        return None if found.equals(whole) else "nobody saw it, and other rows are read"

    return Subject("data file", content, judge)


def flips_apart(processes: Processes, path: Path, bits: list[int]) -> list[str]:
    """As `Subject.flips` of a data file, in processes of their own: damage that ends the reader is a problem as well."""
    problems: list[str] = []
    while bits:
        reading, writing = processes.Pipe(duplex=False)
        process = processes.Process(target=_judge_flips, args=(writing, path, bits))
        process.start()
        writing.close()
        done = 0
        with reading:
            try:
                while True:
                    problems += reading.recv()
                    done += 1
            except EOFError:
                process.join()
        if done < len(bits):
            problems.append(f"data file, bit {bits[done]}: the reader ended with {process.exitcode}")
        process.close()
        bits = bits[done + 1 :]
    return problems


def _judge_flips(problems: Connection, path: Path, bits: list[int]) -> None:
    subject = data_file(path)
    for bit in bits:
        problems.send(list(subject.flips([bit])))


class _Restored:
    """Leaves a folder as it was."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._copy = folder, folder.with_name(f"{folder.name}.copy")

    def __enter__(self) -> None:
        shutil.copytree(self._folder, self._copy)

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder)
        self._copy.rename(self._folder)


def pseudonym_key(folder: Path) -> Subject:
    """The file with the key of pseudonyms."""
    path = folder / "key"
    token = Pseudonyms.ensure(path).of("a value")

    def judge(damaged: bytes) -> str | None:
        path.write_bytes(damaged)
        try:
            return None if Pseudonyms.read(path).of("a value") == token else "it is another key, and nobody saw it"
        except EvenkeelError:
            return None

    return Subject("pseudonym key", path.read_bytes(), judge)
