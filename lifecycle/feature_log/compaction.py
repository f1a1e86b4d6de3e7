"""Keeps the tables fast to open and to read: merges small files, deletes what was merged, makes checkpoints of the log.

Files merge with others of about their size, and those of a day that is over once more, so a row is rewritten a handful of times
in its life. All of it can be cut short anywhere: a merge is one commit, and what it leaves behind is deleted by a later look.
What cannot be done hinders nothing else: not the other tables, nor the other files of one of which some are damaged.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import pyarrow as pa
import structlog

from lifecycle.clock import MICROSECONDS, to_datetime
from lifecycle.config import FeatureLogSection
from lifecycle.errors import Conflict, StoreUnavailable
from lifecycle.feature_log.data_files import DataFile, State
from lifecycle.feature_log.delta import LogTable
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
    unreadable: set[str] = field(default_factory=set)
    """Paths of files that could not be merged. Each is tried again after a day, should it have been the disk and not the file."""
    unreadable_on: str = ""


_seen: WeakKeyDictionary[LogTable, _Seen] = WeakKeyDictionary()


def tidy(
    tables: LogTables, clock: Clock, settings: FeatureLogSection, *, held: Callable[[], bool] = lambda: True
) -> int:
    """Do what is due, at most one merge per table, so that folding is not held up; returns how many were made.

    The caller holds the fold's lease; `held` says whether it still does, and is asked before each merge. Raises Conflict when it
    does not, or another process was at work, and StoreUnavailable once all else is done; nothing is lost by either, and the next
    call goes on.
    """
    failures: list[StoreUnavailable] = []
    merges = sum([_tidy(table, clock, settings, held, failures) for table in tables.all])
    if failures:
        raise StoreUnavailable("; ".join(dict.fromkeys(map(str, failures)))) from failures[0]
    return merges


def _tidy(
    table: LogTable,
    clock: Clock,
    settings: FeatureLogSection,
    held: Callable[[], bool],
    failures: list[StoreUnavailable],
) -> bool:
    version, merged = None, False
    with _noted(failures):
        version = table.version()
    if version is None:
        return False
    seen = _seen.setdefault(table, _Seen())
    now = clock.now()
    with _noted(failures):
        merged = _merge_next(table, seen, version, to_datetime(now).date().isoformat(), settings, held)
    with _noted(failures):
        _checkpoint(table, seen, version)
    with _noted(failures):
        _vacuum(table, seen, now, int(settings.vacuum_minutes * 60 * MICROSECONDS), due=merged)
    return merged


@contextmanager
def _noted(failures: list[StoreUnavailable]) -> Iterator[None]:
    """Keep what the block could not do until the rest is done."""
    try:
        yield
    except StoreUnavailable as error:
        failures.append(error)


def _merge_next(
    table: LogTable, seen: _Seen, version: int, today: str, settings: FeatureLogSection, held: Callable[[], bool]
) -> bool:
    if (version, today) == (seen.version, seen.swept):
        return False
    if today != seen.unreadable_on:
        seen.unreadable, seen.unreadable_on = set(), today
    state = table.state()
    if state is None:
        return False
    while chosen := _due(table, state, seen, today, settings):
        if not held():
            raise Conflict("the lease of the fold is held elsewhere; merging goes on once this process has it again")
        if _merge(table, state, chosen, seen):
            return True
    seen.version = state.version
    return False


def _due(table: LogTable, state: State, seen: _Seen, today: str, settings: FeatureLogSection) -> Sequence[DataFile]:
    """The files that are to be merged next; none when there is nothing to do."""
    small = [
        file
        for file in state.files
        if file.bytes < settings.file_bytes and file.rows < table.file_rows and file.path not in seen.unreadable
    ]
    chosen = _alike(small, settings.compact_files)
    if not chosen and today != seen.swept:
        chosen = _over(small, today)
        seen.swept = seen.swept if chosen else today
    return _in_one_go(chosen) if chosen else ()


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


def _merge(table: LogTable, state: State, files: Sequence[DataFile], seen: _Seen) -> bool:
    """Whether they were merged: when some cannot be, those are left out from now on, and no file is changed."""
    try:
        groups = []
        for file in files:
            with table.reading(file.path):
                source = table.source(file)
                source.check()  # what is written anew has a checksum of its own, which would hide what is amiss here
                groups += source.groups(table.keys[0])
        table.replace(files, table.merged(groups, state.schema), data_change=False)
    except StoreUnavailable as error:
        _leave_out(table, files, seen, error)
        return False
    log.info(
        "files_merged", table=table.name, day=files[0].day, files=len(files), bytes=sum(file.bytes for file in files)
    )
    return True


def _leave_out(table: LogTable, files: Sequence[DataFile], seen: _Seen, error: StoreUnavailable) -> None:
    """Find out which of `files` a merge failed by, and remember them. Raises StoreUnavailable or Conflict when it was not them."""
    wrong = {file.path: problem for file in files if (problem := _problem(table, file))}
    if not wrong and isinstance(error.__cause__, pa.ArrowException):
        wrong = {file.path: str(error) for file in files}  # whole, and yet they do not go together
    if not wrong:
        raise error
    live = {file.path for file in table.files()}  # raises when it is the whole store that cannot be read
    if not wrong.keys() <= live:
        raise Conflict(
            f"files of the table {table.name} were to be merged, but another process has taken them out; look again"
        )
    for path, problem in wrong.items():
        log.error(
            "file_not_merged", table=table.name, file=path, problem=problem, next="run `evenkeel doctor --verify`"
        )
    seen.unreadable |= wrong.keys()


def _problem(table: LogTable, file: DataFile) -> str | None:
    try:
        with table.reading(file.path):
            table.source(file).verify()
    except StoreUnavailable as error:
        return str(error)
    return None


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
