"""Labels that wait for their prediction: by the caller's own id until it is known, and given up after some hours.

A label by external id belongs to every prediction that has that id when the label is looked for, the newest MOST_PREDICTIONS of them.
It leaves `parked` for `labels` exactly once: both tables count the moves in a transaction `parking`, and a folder that finds
one ahead of the other finishes the move that was cut short. Memory is bounded by a chunk of labels, not by how many wait.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import structlog

from lifecycle.clock import MICROSECONDS, Rest
from lifecycle.feature_log.data_files import DAY, DataFile
from lifecycle.feature_log.delta import LogTable
from lifecycle.feature_log.placing import MOMENT, columns_of
from lifecycle.feature_log.rows import DAY_MICROSECONDS, days
from lifecycle.feature_log.table import LogTables
from lifecycle.ids import milliseconds_of
from lifecycle.ports import Clock

PARKING = "parking"
"""The transaction that counts moves."""
ORPHANED = "orphaned"
"""The transaction that counts labels given up, in the same commit that takes them away."""
CHECKED = "orphans-checked"
"""The transaction that says up to which moment labels by prediction id were looked at."""
CHUNK_ROWS = 200_000
MOST_PREDICTIONS = 1_000
"""Predictions of one external id that a label is given to."""
MOST_HITS = 1_000_000
"""Predictions found at once, before fewer labels are looked for."""
MOST_MOVED = 500_000
"""Labels that one move makes; the rest of a chunk waits for the next."""
REST = 9
"""How much longer than it took the next look is put off: so looking takes a tenth of the time at most."""
HOUR = 3_600 * MICROSECONDS
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Looked:
    """The last look that covered a file of parked labels, and when the oldest label in it was received."""

    look: int = 0
    oldest: int = 0


@dataclass(frozen=True)
class _Hits:
    """Which predictions have the i-th of `ids` as their external id: `count[i]` of `rows`, from `first[i]` on, newest first."""

    ids: pa.Array
    rows: pa.Table
    first: Any
    count: Any


class Parking:
    """Decides which labels wait, and sees to them after each fold. Runs under the fold lease."""

    def __init__(self, tables: LogTables, clock: Clock, hours: float) -> None:
        self._tables = tables
        self._clock = clock
        self._patience = int(hours * HOUR)
        self._recovered = False
        self._between_looks = Rest(clock)
        self._between_checks = Rest(clock)
        self._days: set[str] = set()
        self._known: dict[str, int] = {}
        self._looked: dict[str, _Looked] = {}
        self._look = 0

    # which labels wait

    def expect(self, labels: Sequence[pa.Table]) -> None:
        """Learn the days that have predictions, when labels are of others than those known."""
        wanted = {day for rows in labels for day in pc.unique(rows[DAY]).to_pylist()}
        if not wanted <= self._plausible():
            self._days = {file.day for file in self._tables.predictions.files()}

    def direct(self, labels: Sequence[pa.Table]) -> list[pa.Table]:
        """Those that name a prediction of a day that has some, or of now: they go straight to the table of labels.

        Whoever may send labels may forge ids of any day since 1970, and a day is a folder and a file.
        """
        kept = [rows.filter(self._is_direct(rows)) for rows in labels]
        return [rows for rows in kept if rows.num_rows]

    def parked(self, labels: Sequence[pa.Table]) -> list[pa.Table]:
        """All others, as of the day they were received."""
        kept = [rows.filter(pc.invert(self._is_direct(rows))) for rows in labels]
        return [_of_arrival(rows) for rows in kept if rows.num_rows]

    def _is_direct(self, rows: pa.Table) -> pa.ChunkedArray:
        plausible = pc.is_in(rows[DAY], pa.array(sorted(self._plausible()), pa.string()))
        return pc.and_(pc.is_valid(rows["id"]), plausible)

    def _plausible(self) -> set[str]:
        now = self._clock.now()
        around = pa.array([now - DAY_MICROSECONDS, now, now + DAY_MICROSECONDS], pa.int64()).cast(MOMENT)
        return self._days | set(days(around).to_pylist())

    # what became of them

    @property
    def waiting(self) -> int:
        return self._tables.parked.row_count()

    @property
    def orphaned(self) -> int:
        """Labels given up since the project was made."""
        return self._tables.parked.transaction(ORPHANED) + self._tables.labels.transaction(ORPHANED)

    def recover(self) -> None:
        """Finish a move that was cut short between the two tables: what is among the labels waits no longer."""
        if self._recovered:
            return
        moves, taken = self._tables.labels.transaction(PARKING), self._tables.parked.transaction(PARKING)
        if moves > taken:
            parked = self._tables.parked
            for chunk in _chunks(parked.files()):
                rows = _read(parked, chunk)
                moved = _is_among(rows, self._tables.labels)
                if pc.any(moved).as_py():
                    parked.replace(chunk, _in_order(rows.filter(pc.invert(moved))))
            parked.replace((), (), {PARKING: moves})
            log.info("interrupted_move_of_labels_finished", move=moves)
        self._recovered = True

    def settle(self) -> bool:
        """Give labels to the predictions that are there by now, and give up those that waited too long. Whether it looked."""
        began = self._clock.now()
        looked = self._between_looks.is_over and self._settle(began)
        if looked:
            self._between_looks.begin(REST * (self._clock.now() - began))
        began = self._clock.now()
        if self._between_checks.is_over:
            self._check(began - self._patience)
            self._between_checks.begin(max(HOUR, REST * (self._clock.now() - began)))
            looked = True
        return looked

    def _settle(self, now: int) -> bool:
        waiting = self._tables.parked.files()
        if not waiting:
            return False
        predictions = self._tables.predictions.files()
        self._look += 1
        self._known = {file.path: self._known.get(file.path, self._look) for file in predictions}
        self._looked = {file.path: self._looked.get(file.path, _Looked()) for file in waiting}
        self._days = {file.day for file in predictions}
        for look in sorted({self._looked[file.path].look for file in waiting}):
            same = [file for file in waiting if self._looked[file.path].look == look]
            for chunk in _chunks(same):
                self._settle_chunk(chunk, [file for file in predictions if self._known[file.path] > look], now)
        return True

    def _settle_chunk(self, chunk: Sequence[DataFile], new: Sequence[DataFile], now: int) -> None:
        """Look for a chunk's labels in the files of predictions that are `new` since it was looked for last."""
        overdue = now - self._patience
        if not new and all(self._looked[file.path].oldest >= overdue for file in chunk):
            return
        rows = _read(self._tables.parked, chunk)
        moved, tables, whole = self._found(rows, new)
        given_up = pc.and_(pc.less(rows["received_at"].cast(pa.int64()), overdue if whole else 0), pc.invert(moved))
        kept = rows.filter(pc.invert(pc.or_(moved, given_up)))
        left: Sequence[DataFile] = chunk
        if kept.num_rows < rows.num_rows:
            left = self._move(chunk, kept, tables, pc.sum(given_up).as_py() or 0)
        look = self._look if whole else min(self._looked[file.path].look for file in chunk)
        oldest = pc.min(kept["received_at"].cast(pa.int64())).as_py() or now
        self._looked |= {file.path: _Looked(look, oldest) for file in left}

    def _move(
        self, chunk: Sequence[DataFile], kept: pa.Table, tables: Sequence[pa.Table], given_up: int
    ) -> Sequence[DataFile]:
        labels, parked = self._tables.labels, self._tables.parked
        numbers = {}
        if tables:
            numbers[PARKING] = labels.transaction(PARKING) + 1
            self._recovered = False  # until both tables have it: what fails between them is looked at by `recover`
            labels.append(tables, numbers)
        if given_up:
            numbers[ORPHANED] = parked.transaction(ORPHANED) + given_up
            log.warning("labels_orphaned", labels=given_up)
        left = parked.replace(chunk, _in_order(kept), numbers)
        self._recovered = True
        return left

    def _found(self, rows: pa.Table, files: Sequence[DataFile]) -> tuple[pa.ChunkedArray, list[pa.Table], bool]:
        """Which rows go now, the labels they become, and whether all were looked for."""
        days_of_ids = _days_of_ids(rows["id"])
        by_id = pc.is_in(days_of_ids, pa.array(sorted(self._days), pa.string()))
        tables = _by_kind(_with(rows, {DAY: days_of_ids}).filter(by_id))
        hits, whole = _hits(self._tables.predictions, files, pc.unique(rows["external_id"].drop_null()))
        places = pc.fill_null(pc.index_in(rows["external_id"], value_set=hits.ids), -1).to_numpy()
        wanted = np.where(places >= 0, np.append(hits.count, 0)[places], 0)
        counts = _first_of(wanted, rows["received_at"])
        if counts.any():
            among = np.repeat(np.arange(len(rows)), counts)
            offsets = np.arange(len(among)) - np.repeat(np.cumsum(counts) - counts, counts)
            chosen = hits.rows.take(pa.array(hits.first[places[among]] + offsets))
            tables += _by_kind(_with(rows.take(pa.array(among)), {"id": chosen["id"], DAY: chosen[DAY]}))
        moved = pc.or_(by_id, pa.array(counts > 0))
        return moved, tables, whole and bool((counts == wanted).all())

    def _check(self, until: int) -> None:
        """Count the labels by prediction id that were received before `until` and that no prediction has."""
        labels = self._tables.labels
        files = labels.files()
        if not files:
            return
        since = labels.transaction(CHECKED)
        if until <= since:
            return
        looked_at = unknown = 0
        for ids in _received_between(labels, files, since, until):
            looked_at += len(ids)
            unknown += self._unknown(ids)
        if not looked_at:
            return
        numbers = {CHECKED: until}
        if unknown:
            numbers[ORPHANED] = labels.transaction(ORPHANED) + unknown
            log.warning("labels_orphaned", labels=unknown)
        labels.replace((), (), numbers)

    def _unknown(self, ids: pa.ChunkedArray) -> int:
        """How many of `ids` are of no prediction."""
        bounds = pc.min_max(ids).as_py()
        table = self._tables.predictions
        files = [file for file in table.files() if file.first_id <= bounds["max"] and file.last_id >= bounds["min"]]
        known = [batch["id"] for batch in table.scan(files, ["id"], pc.field("id").isin(pc.unique(ids)))]
        found: int = pc.sum(pc.is_in(ids, pc.unique(pa.chunked_array(known, pa.string())))).as_py()
        return len(ids) - found


def _chunks(files: Sequence[DataFile]) -> Iterator[list[DataFile]]:
    """Files of about CHUNK_ROWS together."""
    chunk: list[DataFile] = []
    for file in files:
        chunk.append(file)
        if sum(each.rows for each in chunk) >= CHUNK_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _read(table: LogTable, files: Sequence[DataFile], columns: Sequence[str] | None = None) -> pa.Table:
    return pa.Table.from_batches(table.scan(files, columns), table.schema(columns)).combine_chunks()


def _in_order(rows: pa.Table) -> list[pa.Table]:
    return [rows.sort_by([(DAY, "ascending"), ("received_at", "ascending")])] if rows.num_rows else []


def _of_arrival(rows: pa.Table) -> pa.Table:
    return _with(rows, {DAY: days(rows["received_at"])})


def _with(rows: pa.Table, columns: Mapping[str, pa.ChunkedArray]) -> pa.Table:
    for name, values in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    return rows


def _by_kind(rows: pa.Table) -> list[pa.Table]:
    """Parked labels as they were received: texts apart from numbers, in a column `label`."""
    others = ["id", "external_id", DAY, "observed_at", "received_at", "key_id"]
    found = []
    for name in columns_of(rows.column_names, "label"):
        of_kind = rows.filter(pc.is_valid(rows[name])).select([*others, name]).rename_columns([*others, "label"])
        if of_kind.num_rows:
            found.append(of_kind)
    return found


def _days_of_ids(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """The day each identifier was made on; null where there is none."""
    moments = [None if text is None else milliseconds_of(text) * 1000 for text in ids.to_pylist()]
    known = days(pa.array([moment or 0 for moment in moments], pa.int64()))
    return pc.if_else(pc.is_valid(ids), known, pa.scalar(None, pa.string()))


def _hits(table: LogTable, files: Sequence[DataFile], ids: pa.Array) -> tuple[_Hits, bool]:
    """The newest predictions of each external id, and whether all of `ids` were looked for."""
    wanted = ids
    while (found := _hits_of(table, files, wanted)) is None:
        wanted = wanted.slice(0, len(wanted) // 2)
    return found, len(wanted) == len(ids)


def _hits_of(table: LogTable, files: Sequence[DataFile], ids: pa.Array) -> _Hits | None:
    """The same of all `ids`; None when that is more than MOST_HITS, and less can be asked for."""
    columns = ["external_id", "id", DAY]
    kind = pa.schema([(name, pa.string()) for name in columns])
    rows = kind.empty_table()
    waiting: list[pa.RecordBatch] = []
    for batch in table.scan(files, columns, pc.field("external_id").isin(ids)) if len(ids) else ():
        waiting.append(batch)
        if sum(map(len, waiting)) >= MOST_HITS:
            rows, waiting = _newest(pa.concat_tables([rows, pa.Table.from_batches(waiting)]), ids), []
            if len(rows) > MOST_HITS and len(ids) > 1:
                return None
    rows = _newest(pa.concat_tables([rows, pa.Table.from_batches(waiting, kind)]), ids)
    count = np.bincount(pc.index_in(rows["external_id"], value_set=ids).to_numpy(), minlength=len(ids))
    return _Hits(ids, rows, np.cumsum(count) - count, count)


def _newest(rows: pa.Table, ids: pa.Array) -> pa.Table:
    """At most MOST_PREDICTIONS of each external id, together, in the order of `ids`."""
    rows = rows.append_column("place", pc.index_in(rows["external_id"], value_set=ids))
    rows = rows.sort_by([("place", "ascending"), ("id", "descending")])
    place = rows["place"].to_numpy()
    first = np.searchsorted(place, place)
    return rows.filter(pa.array(np.arange(len(place)) - first < MOST_PREDICTIONS)).drop_columns("place")


def _first_of(counts: Any, received_at: pa.ChunkedArray) -> Any:
    """The counts of the first labels that make MOST_MOVED together; labels of one moment stay together where they can."""
    total = np.cumsum(counts)
    if not len(total) or total[-1] <= MOST_MOVED:
        return counts
    cut = int(np.searchsorted(total, MOST_MOVED, "right"))
    moments = received_at.cast(pa.int64()).to_numpy()
    before = np.where(np.arange(len(counts)) < cut, counts, 0)
    apart = np.where(moments == moments[cut], 0, before)
    return apart if apart.any() else before


def _is_among(rows: pa.Table, labels: LogTable) -> pa.ChunkedArray:
    """Which parked labels are in the table of labels."""
    found: pa.ChunkedArray = pa.chunked_array([pa.array(np.zeros(len(rows), bool))])
    for name in ("external_id", "id"):
        values = pc.unique(rows[name].drop_null())
        if len(values):
            there = pa.Table.from_batches(
                labels.scan(labels.files(), [name, "received_at"], pc.field(name).isin(values)),
                labels.schema([name, "received_at"]),
            )
            found = pc.or_(found, pc.fill_null(pc.is_in(_keys(rows, name), pc.unique(_keys(there, name))), False))
    return found


def _keys(rows: pa.Table, name: str) -> pa.ChunkedArray:
    moments = rows["received_at"].cast(pa.int64()).cast(pa.string())
    return pc.binary_join_element_wise(moments, rows[name], " ")


def _received_between(labels: LogTable, files: Sequence[DataFile], since: int, until: int) -> Iterator[pa.ChunkedArray]:
    """Ids that labels were sent with, of labels received in [`since`, `until`), file by file."""
    received = pc.field("received_at")
    between = (received >= pa.scalar(since, MOMENT)) & (received < pa.scalar(until, MOMENT))
    for batch in labels.scan(files, ["id", "external_id", "received_at"], between & pc.field("external_id").is_null()):
        if batch.num_rows:
            yield pa.chunked_array([batch["id"]])
