"""Retention: what is older than the project wants to keep leaves the feature log, a whole day (UTC) at a time.

A day goes when it ended more than so many days ago: its predictions, its labels, labels that waited since then, and
segments that were put aside with nothing newer in them. It runs under the fold lease.
"""

from dataclasses import dataclass

import structlog

from lifecycle.clock import MICROSECONDS, Rest, to_datetime
from lifecycle.feature_log import quarantine
from lifecycle.feature_log.data_files import DAY as PARTITION
from lifecycle.feature_log.delta import LogTable
from lifecycle.feature_log.files import LOCAL_FILES, FileSystem
from lifecycle.feature_log.table import LogTables
from lifecycle.ports import Clock

DAY = 86_400 * MICROSECONDS
HOUR = 3_600 * MICROSECONDS
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Dropped:
    """What one look took away: rows of each table, and segments that had been put aside."""

    predictions: int = 0
    labels: int = 0
    parked_labels: int = 0
    quarantined_segments: int = 0


class Retention:
    """Keeps `days` days of the log; 0 keeps all. The caller holds the fold lease."""

    def __init__(self, tables: LogTables, clock: Clock, days: int, *, files: FileSystem = LOCAL_FILES) -> None:
        self._tables = tables
        self._clock = clock
        self._days = days
        self._files = files
        self._rest = Rest(clock)

    def step(self) -> None:
        """Look at once, and then once an hour; cheap in between."""
        if self._days and self._rest.is_over:
            self.enforce()
            self._rest.begin(HOUR)

    def enforce(self) -> Dropped:
        """Drop what is too old now, from the tables and from disk. A look that was cut short is finished by the next."""
        moment = self._clock.now() - self._days * DAY
        start = moment - moment % DAY
        before = to_datetime(start).date().isoformat()
        predictions, labels, parked = (_drop(table, before) for table in self._tables.all)
        dropped = Dropped(
            predictions,
            labels,
            parked,
            quarantined_segments=quarantine.drop_before(self._tables.quarantine, start, self._files),
        )
        if dropped != Dropped():
            log.info(
                "old_days_dropped",
                before=before,
                predictions=dropped.predictions,
                labels=dropped.labels,
                parked_labels=dropped.parked_labels,
                quarantined_segments=dropped.quarantined_segments,
            )
        return dropped


def _drop(table: LogTable, before: str) -> int:
    """Days before `before`, out of the table and then from disk, with what an earlier look left there; how many rows."""
    rows = table.drop_days(before)
    table.remove_now(path for path in table.unnamed() if path < f"{PARTITION}={before}")
    return rows
