"""Keeps the tables fast to open and to read: merges small files, deletes what was merged, makes checkpoints of the log.

Files merge with others of about their size, and those of a day that is over once more, so a row is rewritten a handful of times
in its life. All of it can be cut short anywhere: a merge is one commit, and what it leaves behind is deleted by a later look.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import structlog

from lifecycle.clock import MICROSECONDS, to_datetime
from lifecycle.config import FeatureLogSection
from lifecycle.feature_log.delta import DataFile, LogTable, State
from lifecycle.feature_log.table import LogTables
from lifecycle.ports import Clock

SMALLEST = 64 * 2**10
GROWTH = 8
"""Files below SMALLEST bytes are of the first size class, and each further class reaches GROWTH times as far."""
CHECKPOINT_COMMITS = 100
LOOK_SECONDS = 60
"""How often the disk is looked through for files that the table does not name."""
MOST_BYTES = 2**28
"""Most bytes that one merge reads: files beyond that wait for the next."""
log = structlog.get_logger(__name__)


@dataclass
class _Seen:
    """What was found at the last look at a table, so that a look at an unchanged one is cheap."""

    version: int | None = None
    swept: str = ""
    checkpoint: int | None = None
    looked_at: int | None = None
    unnamed: dict[str, int] = field(default_factory=dict)


_seen: WeakKeyDictionary[LogTable, _Seen] = WeakKeyDictionary()


def tidy(tables: LogTables, clock: Clock, settings: FeatureLogSection) -> int:
    """Do what is due, at most one merge per table, so that folding is not held up; returns how many were made.

    The caller holds the fold's lease. Raises StoreUnavailable; nothing is lost by it, and the next call goes on.
    """
    return sum(_tidy(table, clock, settings) for table in tables.all)


def _tidy(table: LogTable, clock: Clock, settings: FeatureLogSection) -> bool:
    version = table.version()
    if version is None:
        return False
    seen = _seen.setdefault(table, _Seen())
    now = clock.now()
    merged = _merge_next(table, seen, version, to_datetime(now).date().isoformat(), settings)
    _checkpoint(table, seen, version)
    _vacuum(table, seen, now, int(settings.vacuum_minutes * 60 * MICROSECONDS), due=merged)
    return merged


def _merge_next(table: LogTable, seen: _Seen, version: int, today: str, settings: FeatureLogSection) -> bool:
    if (version, today) == (seen.version, seen.swept):
        return False
    state = table.state()
    if state is None:
        return False
    small = [file for file in state.files if file.bytes < settings.file_bytes and file.rows < table.file_rows]
    chosen = _alike(small, settings.compact_files)
    if not chosen and today != seen.swept:
        chosen = _over(small, today)
        seen.swept = seen.swept if chosen else today
    if chosen:
        _merge(table, state, _in_one_go(chosen))
    else:
        seen.version = state.version
    return bool(chosen)


def _alike(files: Iterable[DataFile], enough: int) -> Sequence[DataFile]:
    """The first files of a day and size class of which there are `enough`."""
    groups: dict[tuple[str, int], list[DataFile]] = defaultdict(list)
    for file in files:
        groups[file.day, size_class(file.bytes)].append(file)
    return next((alike for _, alike in sorted(groups.items()) if len(alike) >= enough), ())


def _over(files: Iterable[DataFile], today: str) -> Sequence[DataFile]:
    """All files of the first day before `today` that has several. Looked for once a day: labels keep coming to old days."""
    days: dict[str, list[DataFile]] = defaultdict(list)
    for file in files:
        days[file.day].append(file)
    return next((found for day, found in sorted(days.items()) if day < today and len(found) > 1), ())


def size_class(size: int) -> int:
    """How often SMALLEST has to grow to be greater than `size`."""
    result = 0
    while size >= SMALLEST * GROWTH**result:
        result += 1
    return result


def _in_one_go(files: Sequence[DataFile]) -> Sequence[DataFile]:
    """The first of them in time, at least two, as long as they are not too much for one merge."""
    ordered = sorted(files, key=lambda file: (file.first_at, file.first_id, file.path))
    chosen, size = ordered[:2], sum(file.bytes for file in ordered[:2])
    for file in ordered[2:]:
        size += file.bytes
        if size > MOST_BYTES:
            break
        chosen.append(file)
    return chosen


def _merge(table: LogTable, state: State, files: Sequence[DataFile]) -> None:
    groups = []
    for file in files:
        with table.reading(file.path):
            groups += table.source(file).groups(table.keys[0])
    table.replace(files, table.merged(groups, state.schema), data_change=False)
    log.info(
        "files_merged", table=table.name, day=files[0].day, files=len(files), bytes=sum(file.bytes for file in files)
    )


def _checkpoint(table: LogTable, seen: _Seen, version: int) -> None:
    if seen.checkpoint is None:
        seen.checkpoint = table.checkpointed()
    if version - seen.checkpoint >= CHECKPOINT_COMMITS:
        seen.checkpoint = table.checkpoint() or seen.checkpoint
        table.clean_up()


def _vacuum(table: LogTable, seen: _Seen, now: int, kept: int, *, due: bool) -> None:
    """Delete files that the table has not named for `kept` microseconds, as far as this process has seen."""
    if not due and seen.looked_at is not None and now - seen.looked_at < min(LOOK_SECONDS * MICROSECONDS, max(kept, 1)):
        return
    seen.looked_at = now
    unnamed = table.unnamed()
    seen.unnamed = {path: seen.unnamed.get(path, now) for path in unnamed}
    for path, since in list(seen.unnamed.items()):
        if now - since >= kept:
            table.storage.remove(path)
            del seen.unnamed[path]
