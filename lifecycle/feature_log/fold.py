"""The folder: moves sealed segments into the tables exactly once, under a lease, and may be killed at any step.

Each writer's segments are numbered, and a table remembers per writer the last number it holds (a Delta application
transaction in the same commit as the rows). A segment is deleted only after both tables hold it and are on disk.
"""

import fcntl
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import structlog
from deltalake import CommitProperties, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log.frames import SegmentContents, read_segment
from lifecycle.feature_log.table import LogTables, labels_table, open_table, predictions_table
from lifecycle.feature_log.writer import OPEN, SEALED
from lifecycle.ports import Clock
from lifecycle.records import FoldStatus, PredictionBatch

COMMIT_BYTES = 64 * 2**20
IN_FLIGHT_MICROSECONDS = 2_000_000
"""A record may carry a moment this much before its segment was opened: the time of a request in flight."""
MOST_FAILURES = 3
"""Times that a segment by itself may fail before it is put aside."""
TRANSIENT = (OSError, StoreUnavailable, CommitFailedError)
"""What the next round may well succeed at: a full or absent disk, another writer."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Part:
    """A segment about to be folded."""

    path: Path
    writer: str
    sequence: int
    contents: SegmentContents


class Folder:
    """Folds what writers left in `tables.segments`. The caller holds the lease; one folder runs at a time."""

    def __init__(self, tables: LogTables, clock: Clock, *, compact_commits: int) -> None:
        self._tables = tables
        self._clock = clock
        self._compact_commits = compact_commits
        self._torn = 0
        self._failures: Counter[str] = Counter()

    def fold(self) -> FoldStatus:
        """Fold everything that is sealed or orphaned now, and say what is left."""
        began = self._clock.now()
        self._adopt_orphans()
        for group in _groups(_ready(self._tables.segments)):
            parts = [_part(path) for path in group]
            try:
                self._fold_group(parts)
            except TRANSIENT:
                raise
            except Exception as error:  # noqa: BLE001 - what the engine raises for rows it cannot take has no type
                log.error("segments_not_folded", segments=len(parts), error=str(error))
                self._fold_apart(parts)
        return self._status(began)

    def _fold_apart(self, parts: Sequence[_Part]) -> None:
        """Fold one by one, so that a segment the tables cannot take holds up its own writer alone, and not for long."""
        stuck: set[str] = set()
        for part in parts:
            if part.writer in stuck:
                continue  # a writer's segments are folded in order
            try:
                self._fold_group([part])
            except TRANSIENT:
                raise
            except Exception as error:  # noqa: BLE001 - the same
                self._failures[part.path.name] += 1
                if self._failures[part.path.name] < MOST_FAILURES:
                    stuck.add(part.writer)
                else:
                    self._put_aside(part, reason=str(error))

    def _fold_group(self, parts: Sequence[_Part]) -> None:
        by_version: dict[int, list[PredictionBatch]] = defaultdict(list)
        schemas = {}
        done = _folded(self._tables.predictions, parts)
        for part in parts:
            schemas.update(part.contents.schemas)
            if part.sequence > done[part.writer]:
                for batch in part.contents.predictions:
                    by_version[batch.version].append(batch)
        rows = [predictions_table(batches, schemas[version]) for version, batches in by_version.items()]
        if rows:
            self._commit(self._tables.predictions, pa.concat_tables(rows, promote_options="default"), parts)
        done = _folded(self._tables.labels, parts)
        labels = [label for part in parts if part.sequence > done[part.writer] for label in part.contents.labels]
        if labels:
            self._commit(self._tables.labels, labels_table(labels), parts)
        for part in parts:
            self._dispose(part)

    def _commit(self, path: Path, rows: pa.Table, parts: Sequence[_Part]) -> None:
        last = {part.writer: part.sequence for part in parts}
        transactions = [Transaction(writer, sequence) for writer, sequence in last.items()]
        write_deltalake(
            str(path),
            rows,
            mode="append",
            partition_by=["day"],
            schema_mode="merge",
            commit_properties=CommitProperties(app_transactions=transactions),
        )
        table = open_table(path)
        assert table is not None, "a table that was just committed can be opened"
        _sync_commit(path, table.version())
        if table.version() % self._compact_commits == 0 and table.version():
            table.optimize.compact()
            log.info("table_compacted", table=path.name, version=table.version())

    def _dispose(self, part: _Part) -> None:
        self._torn += part.contents.torn_bytes
        if not part.contents.corrupt_frames:
            part.path.unlink()
            return
        self._put_aside(part, reason=f"{part.contents.corrupt_frames} frames fail their checksum")

    def _put_aside(self, part: _Part, *, reason: str) -> None:
        self._tables.quarantine.mkdir(exist_ok=True)
        part.path.rename(self._tables.quarantine / part.path.name)
        log.error("segment_quarantined", segment=part.path.name, reason=reason)

    def _adopt_orphans(self) -> None:
        """Seal the open segments whose writer is dead: a live writer holds the lock."""
        for path in self._tables.segments.glob(f"*{OPEN}"):
            try:
                with path.open("r+b") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    torn = read_segment(path, sealed=False).torn_bytes
                    if torn:
                        self._torn += torn
                        os.ftruncate(file.fileno(), file.seek(0, os.SEEK_END) - torn)
                    path.rename(path.with_suffix(SEALED))
                log.info("segment_adopted", segment=path.name, torn_bytes=torn)
            except (BlockingIOError, FileNotFoundError):
                continue  # its writer lives, or sealed it this moment

    def _status(self, began: int) -> FoldStatus:
        left = [path for path in self._tables.segments.glob("*") if path.suffix in (OPEN, SEALED)]
        opened = [moment for path in left if (moment := _opened_at(path)) is not None]
        return FoldStatus(
            watermark=min([began, *opened]) - IN_FLIGHT_MICROSECONDS,
            at=self._clock.now(),
            pending_segments=len(left),
            pending_bytes=sum(_size(path) for path in left),
            folded_rows=self._tables.row_count(),
            quarantined_segments=_quarantined(self._tables.quarantine),
            truncated_bytes=self._torn,
        )


def _ready(folder: Path) -> list[Path]:
    """Sealed segments, but none that follows an unsealed one of its writer.

    A table remembers only the last number it holds, so a number that was passed over would be taken for folded.
    """
    sealed = sorted(folder.glob(f"*{SEALED}"))
    waiting: dict[str, int] = {}
    for path in set(folder.glob("*")) - set(sealed):
        if path.suffix in (OPEN, SEALED):
            writer, sequence = _named(path)
            waiting[writer] = min(sequence, waiting.get(writer, sequence))
    return [path for path in sealed if _named(path)[1] < waiting.get(_named(path)[0], sys.maxsize)]


def _groups(paths: Iterable[Path]) -> Iterable[list[Path]]:
    group: list[Path] = []
    size = 0
    for path in paths:
        group.append(path)
        size += _size(path)
        if size >= COMMIT_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _part(path: Path) -> _Part:
    return _Part(path, *_named(path), read_segment(path, sealed=True))


def _named(path: Path) -> tuple[str, int]:
    writer, sequence = path.stem.rsplit(".", 1)
    return writer, int(sequence)


def _folded(path: Path, parts: Sequence[_Part]) -> dict[str, int]:
    """Per writer, the last segment number the table at `path` already holds; 0 when none."""
    table = open_table(path)
    return {part.writer: (table.transaction_version(part.writer) or 0) if table else 0 for part in parts}


def _sync_commit(path: Path, version: int) -> None:
    """Put a commit's files and folders on disk; the engine itself never does."""
    entry = path / "_delta_log" / f"{version:020d}.json"
    added = [json.loads(line).get("add") for line in entry.read_text().splitlines()]
    files = [path / action["path"] for action in added if action]
    folders = {file.parent for file in files} | {path, entry.parent}
    for target in [*files, entry, *folders]:
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _opened_at(path: Path) -> int | None:
    try:
        header = read_segment(path, sealed=False).header
    except FileNotFoundError:
        return None
    return header.opened_at if header else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _quarantined(folder: Path) -> int:
    return len(list(folder.glob(f"*{SEALED}"))) if folder.exists() else 0
