"""The folder: moves sealed segments into the tables exactly once, under a lease, and may be killed at any step.

Each writer's segments are numbered, and a table remembers per writer the last number it holds (a Delta application
transaction in the same commit as the rows). A segment is deleted only after every table that takes rows of it holds them on
disk, and they were read back from there. Memory is bounded by a group of segments, whatever the backlog.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import structlog

from lifecycle.clock import MICROSECONDS
from lifecycle.errors import Conflict, StoreUnavailable
from lifecycle.feature_log import naming
from lifecycle.feature_log.delta import LogTable
from lifecycle.feature_log.files import LOCAL_FILES, File, FileSystem
from lifecycle.feature_log.frames import read_header, read_segment
from lifecycle.feature_log.naming import OPEN, SEALED
from lifecycle.feature_log.parking import Parking
from lifecycle.feature_log.rows import SegmentRows, decode
from lifecycle.feature_log.table import LogTables
from lifecycle.feature_log.verification import differences, missing
from lifecycle.ids import is_uuid7, milliseconds_of
from lifecycle.ports import Clock
from lifecycle.records import FoldStatus

GROUP_BYTES = 64 * 2**20
GROUP_ROWS = 200_000
"""A commit has about so many bytes of segments, or so many rows, and one segment at least."""
ROUND_SECONDS = 5.0
"""After so long a fold ends at the next group, so that it reports and others get their turn; the rest is the next one's."""
IN_FLIGHT_MICROSECONDS = 2_000_000
"""A record may carry a moment this much before its segment was opened: the time of a request in flight."""
COUNTED_SECONDS = 60
"""How long what the tables hold is taken for known while this folder commits nothing."""
MOST_FAILURES = 3
"""Times that a segment by itself may fail before it is put aside."""
TRANSIENT = (OSError, StoreUnavailable, Conflict)
"""What the next round may well succeed at: a full or absent disk, another folder."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Part:
    """A segment about to be folded."""

    path: Path
    writer: str
    sequence: int
    rows: SegmentRows


@dataclass(frozen=True)
class _Counts:
    rows: int = 0
    parked: int = 0
    orphaned: int = 0
    at: int = 0


class Folder:
    """Folds what writers left in `tables.segments`. The caller holds the lease; one folder runs at a time.

    `before` is the last status reported, whose counts go on. `held` says whether the lease is held still, and is asked before
    each commit. `behind` is whether the last fold left sealed segments to the next.
    """

    def __init__(
        self,
        tables: LogTables,
        clock: Clock,
        *,
        parking_hours: float = 168,
        before: FoldStatus | None = None,
        held: Callable[[], bool] = lambda: True,
        files: FileSystem = LOCAL_FILES,
    ) -> None:
        self._tables = tables
        self._clock = clock
        self._held = held
        self._files = files
        self._parking = Parking(tables, clock, parking_hours)
        self._torn = before.truncated_bytes if before else 0
        self._corrupt = before.corrupt_frames if before else 0
        self._failures: Counter[str] = Counter()
        self._opened: dict[str, int] = {}
        self._counts: _Counts | None = None
        self._counted_last = (
            _Counts(before.folded_rows, before.parked_labels, before.orphaned_labels, 0) if before else _Counts()
        )
        self._problems: list[str] = []
        self.behind = False

    def fold(self) -> FoldStatus:
        """Fold what is sealed or orphaned now, for a few seconds, and say what is left.

        What fails hinders nothing else and is tried again by the next fold; the status says what it was. Raises Conflict when
        the lease is gone, or another folder was at work.
        """
        began = self._clock.now()
        self._problems = []
        self._adopt_orphans()
        with self._hindering("segments"):
            self._fold_groups(began)
        with self._hindering("labels"):
            self._settle_labels()
        return self._status(began)

    @contextmanager
    def _hindering(self, what: str) -> Iterator[None]:
        """Keep what the block could not do for the status."""
        try:
            yield
        except (OSError, StoreUnavailable) as error:
            self._problems.append(str(error))
            log.error("fold_hindered", by=what, error=str(error))

    def _settle_labels(self) -> None:
        self._parking.recover()
        if self._parking.settle():
            self._counts = None

    def _fold_groups(self, began: int) -> None:
        self.behind = False  # also when the folder cannot be listed: who is behind is asked again at once
        waiting = self._ready()
        for parts in self._groups(waiting):
            if not self._held():
                raise Conflict("the lease of the fold is held elsewhere; this folder goes on once it has it again")
            try:
                self._fold_group(parts)
            except TRANSIENT:
                raise
            except Exception as error:  # noqa: BLE001 - what the engine raises for rows it cannot take has no type
                log.error("segments_not_folded", segments=len(parts), error=str(error))
                self._fold_apart(parts)
            if self._clock.now() - began >= ROUND_SECONDS * MICROSECONDS:
                self.behind = parts[-1].path != waiting[-1]
                return

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
                    self._put_aside(part.path, reason=str(error))

    def _fold_group(self, parts: Sequence[_Part]) -> None:
        self._counts = None
        tables = self._tables
        wrong = self._take(
            tables.predictions, parts, lambda part: [rows for _, rows in part.rows.predictions], verified=True
        )
        for part in parts:
            self._parking.expect(part.rows.labels)
        wrong += self._take(tables.labels, parts, lambda part: self._parking.direct(part.rows.labels), verified=True)
        # What an earlier folder parked may have been settled since, so it is not looked for again.
        wrong += self._take(tables.parked, parts, lambda part: self._parking.parked(part.rows.labels), verified=False)
        for part in parts:
            self._dispose(part, wrong)
        self._sync_names()

    def _sync_names(self) -> None:
        """So that no loss of power brings back a segment whose rows may be erased by then."""
        for folder in (self._tables.segments, self._tables.quarantine):
            if self._files.names(folder):
                self._files.sync_folder(folder)

    def _take(
        self,
        table: LogTable,
        parts: Sequence[_Part],
        rows_of: Callable[[_Part], list[pa.Table]],
        *,
        verified: bool,
    ) -> list[str]:
        """Have the parts' rows in a table, once. Returns what is not there as it should be."""
        folded = table.transactions({part.writer for part in parts})
        fresh = [part for part in parts if part.sequence > folded[part.writer]]
        again = [rows for part in parts if part.sequence <= folded[part.writer] for rows in rows_of(part)]
        rows = [rows for part in fresh for rows in rows_of(part)]
        added = table.append(rows, {part.writer: part.sequence for part in fresh}) if rows else []
        try:
            wrong = missing(table, again) if again and verified else []
            return wrong + differences(table, added, rows) if rows else wrong
        except StoreUnavailable as error:
            return self._unread(parts, error)

    def _unread(self, parts: Sequence[_Part], error: StoreUnavailable) -> list[str]:
        """What cannot be read back time and again is wrong: the store is there, since it was asked and answered before."""
        self._failures.update(part.path.name for part in parts)
        if any(self._failures[part.path.name] < MOST_FAILURES for part in parts):
            raise error
        return [str(error)]

    def _dispose(self, part: _Part, wrong: Sequence[str]) -> None:
        self._torn += part.rows.torn_bytes
        self._corrupt += part.rows.corrupt_frames
        if wrong:
            self._put_aside(part.path, reason=f"the table does not hold what was written to it: {wrong[0]}")
        elif part.rows.corrupt_frames:
            self._put_aside(part.path, reason=f"{part.rows.corrupt_frames} frames are damaged or missing")
        else:
            self._files.remove(part.path)

    def _put_aside(self, path: Path, *, reason: str) -> None:
        self._files.rename(path, self._tables.quarantine / path.name)
        log.error("segment_quarantined", segment=path.name, reason=reason)

    def _adopt_orphans(self) -> None:
        """Seal the open segments whose writer is dead: a live writer holds the lock."""
        for name in self._names(OPEN):
            path = self._tables.segments / name
            with self._hindering(name):
                try:
                    file = self._files.adopt(path)
                except (BlockingIOError, FileNotFoundError):
                    continue  # its writer lives, or sealed it this moment
                try:
                    self._seal(path, file)
                finally:
                    file.close()

    def _seal(self, path: Path, file: File) -> None:
        found = read_segment(self._files.read(path), sealed=False)
        if found.torn_bytes:
            file.truncate(found.sound_bytes)
            self._torn += found.torn_bytes
        file.sync()
        self._files.rename(path, naming.sealed(path, found.sound_bytes))
        log.info("segment_adopted", segment=path.name, torn_bytes=found.torn_bytes)

    def _names(self, *suffixes: str) -> list[str]:
        names = self._files.names(self._tables.segments)
        return [name for name in names if name.endswith(suffixes) and naming.is_segment(name)]

    def _ready(self) -> list[Path]:
        """Sealed segments, but none that follows an unsealed one of its writer.

        A table remembers only the last number it holds, so a number that was passed over would be taken for folded.
        """
        waiting: dict[str, int] = {}
        for writer, sequence, _ in map(naming.parsed, self._names(OPEN)):
            waiting[writer] = min(sequence, waiting.get(writer, sequence))
        sealed = [(name, naming.parsed(name)) for name in self._names(SEALED)]
        ready = [name for name, named in sealed if named.sequence < waiting.get(named.writer, sys.maxsize)]
        return [self._tables.segments / name for name in ready]

    def _groups(self, paths: Iterable[Path]) -> Iterator[list[_Part]]:
        group: list[_Part] = []
        stuck: set[str] = set()
        size = rows = 0
        for path in paths:
            named = naming.parsed(path.name)
            content = None if named.writer in stuck else self._content(path)
            if content is None:
                stuck.add(named.writer)  # a writer's segments are folded in order
                continue
            part = _Part(path, named.writer, named.sequence, decode(content, sealed=True, size=named.size))
            group.append(part)
            size += len(content)
            rows += part.rows.count
            if size >= GROUP_BYTES or rows >= GROUP_ROWS:
                yield group
                group, size, rows = [], 0, 0
        if group:
            yield group

    def _content(self, path: Path) -> bytes | None:
        """A sealed segment; None when it cannot be read, and after some times it is put aside."""
        try:
            return self._files.read(path)
        except OSError as error:
            self._problems.append(f"the segment {path.name} cannot be read: {error}")
            self._failures[path.name] += 1
            if self._failures[path.name] >= MOST_FAILURES:
                self._put_aside(path, reason=str(error))
            return None

    def _status(self, began: int) -> FoldStatus:
        left = self._names(OPEN, SEALED)
        counts = self._counted(began)
        return FoldStatus(
            watermark=min([began, *self._openings(left)]) - IN_FLIGHT_MICROSECONDS,
            at=self._clock.now(),
            pending_segments=len(left),
            pending_bytes=sum(self._size(name) for name in left),
            folded_rows=counts.rows,
            quarantined_segments=len(_segments(self._files.names(self._tables.quarantine))),
            truncated_bytes=self._torn,
            corrupt_frames=self._corrupt,
            parked_labels=counts.parked,
            orphaned_labels=counts.orphaned,
            problem="; ".join(self._problems) or None,
        )

    def _counted(self, now: int) -> "_Counts":
        """What the tables hold, looked up again after each commit, and now and then for what others did to them.

        As it was last known, while the tables cannot be reached.
        """
        if self._counts is None or not 0 <= now - self._counts.at < COUNTED_SECONDS * MICROSECONDS:
            with self._hindering("counts"):
                self._counts = self._counted_last = _Counts(
                    self._tables.row_count(), self._parking.waiting, self._parking.orphaned, now
                )
        return self._counted_last

    def _openings(self, names: Iterable[str]) -> Iterable[int]:
        """When the oldest segment of each writer was opened; its later ones were opened later."""
        oldest: dict[str, str] = {}
        for name in names:
            oldest.setdefault(naming.parsed(name).writer, name)
        known, self._opened = self._opened, {}
        for name in oldest.values():
            opened_at = known.get(name) or self._opened_at(name)
            if opened_at is not None:
                self._opened[name] = opened_at
        return self._opened.values()

    def _opened_at(self, name: str) -> int | None:
        """From its header; of a segment that has lost it, at least when its writer began. None for one that is gone or empty."""
        try:
            content = self._files.read(self._tables.segments / name)
        except FileNotFoundError:
            return None
        except OSError:
            content = b"?"
        header = read_header(content)
        if header or not content:
            return header.opened_at if header else None
        writer = naming.parsed(name).writer
        return milliseconds_of(writer) * 1000 if is_uuid7(writer) else None

    def _size(self, name: str) -> int:
        try:
            return self._files.size(self._tables.segments / name)
        except OSError:
            return 0  # folded, or sealed, this moment


def _segments(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.endswith(SEALED)]
