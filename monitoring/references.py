"""What a window is compared with: the champion's training rows, a period of the log, or the window before; by season if asked.

Answers and labels are compared with rows that the version was not trained on, because a model knows its own training
rows too well. Every reference says in words what it is.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time

import numpy as np
import numpy.typing as npt

from lifecycle import versions
from lifecycle.clock import MICROSECONDS, from_datetime, to_text
from lifecycle.config import MonitoringSection
from lifecycle.contract import Contract
from lifecycle.errors import ModelUnavailable
from lifecycle.feature_log.table import LogTables
from lifecycle.ports import ModelStore, VersionLedger
from lifecycle.records import ModelVersion
from monitoring.rows import Integers, Rows, Scored, Values, counts_by_version, kept_rows, logged_rows, scored_columns

KEPT = 4
HOUR, DAY = 3_600 * MICROSECONDS, 86_400 * MICROSECONDS
FIRST_WEEKDAY = 3
"""The first of January 1970 was a Thursday; weekdays count from Monday."""


@dataclass(frozen=True)
class Reference:
    """A reference window. `key` names it among all, and `words` to people.

    `rows` hold the features (and answers); `holdout` rows that the version was not trained on, with answers, labels and
    probabilities, None where there are none. `in_time_order`: neighbours among the rows were neighbours in time.
    `answers_own`: the rows are of the log and answered by the version, which knew none of them. `moves`: the next windows may
    have another reference, whose scores have nothing to do with those against this one.
    """

    key: str
    words: str
    version: ModelVersion
    contract: Contract
    rows: Rows
    holdout: Rows | None
    in_time_order: bool
    importance: Mapping[str, float] = field(default_factory=dict)
    answers_own: bool = False
    moves: bool = False

    @property
    def columns(self) -> tuple[Scored, ...]:
        return scored_columns(self.contract)

    def side(self, scored: Scored) -> Rows:
        """The rows that a column is compared with: for the answer, those the version was not trained on, if there are any."""
        if scored.about == "prediction" and self.holdout is not None and not self.answers_own:
            return self.holdout
        return self.rows

    def against(self, scored: Scored) -> Values:
        """What a column of a window is compared with."""
        return self.side(scored).columns[scored.name]


class References:
    """References of a project; the newest few are kept in memory."""

    def __init__(
        self, store: ModelStore, ledger: VersionLedger, tables: LogTables, settings: MonitoringSection
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._tables = tables
        self._settings = settings
        self._known: dict[str, Reference] = {}

    def of(self, number: int, start: int, end: int, before: tuple[int, int] | None = None) -> Reference:
        """What the rows of version `number` in [`start`, `end`) are compared with; `before` is the window that came before.

        While none has, the previous window is stood in for by the training rows. Raises ModelUnavailable, with the sentence why, when it cannot be had.
        """
        whole = self._whole(number, before)
        season = self._settings.season
        if season == "none":
            return whole
        return self._remembered(
            f"{whole.key}/{season}{seasons(season, start, end)}", lambda: self._seasonal(whole, season, start, end)
        )

    def _whole(self, number: int, before: tuple[int, int] | None) -> Reference:
        kind = self._settings.reference
        if kind == "training" or (kind == "previous" and before is None):
            return self._remembered(f"{number}/training", lambda: self._training(number))
        if kind == "previous":
            assert before is not None, "looked at above"
            return self._remembered(
                f"{number}/{before[0]}-{before[1]}", lambda: self._logged(number, *before, "the previous window")
            )
        first, last = period(kind)
        return self._remembered(f"{number}/{kind}", lambda: self._logged(number, first, last, "the period"))

    def _remembered(self, key: str, make: Callable[[], Reference]) -> Reference:
        if key not in self._known:
            made = make()
            while len(self._known) >= KEPT:
                del self._known[next(iter(self._known))]
            self._known[key] = made
        return self._known[key]

    def _training(self, number: int) -> Reference:
        version = self._version(number)
        contract = versions.load_contract(version, self._store)
        rows = kept_rows(contract, versions.load_reference(version, self._store))
        holdout = versions.load_holdout(version, self._store)
        return Reference(
            key=f"{number}/training/{version.manifest_digest[:16]}",
            words=f"the {len(rows)} training rows of version {number}",
            version=version,
            contract=contract,
            rows=rows,
            holdout=None if holdout is None else kept_rows(contract, holdout),
            in_time_order=contract.time is not None,
            importance=versions.load_importance(version, self._store),
        )

    def _logged(self, number: int, start: int, end: int, what: str) -> Reference:
        """Rows that were answered in [`start`, `end`), whichever version answered; quality is still the hold-out's."""
        training = self._remembered(f"{number}/training", lambda: self._training(number))
        rows = logged_rows(self._tables, training.contract, start, end, most=versions.REFERENCE_ROWS, in_stretches=True)
        counts = counts_by_version(self._tables, start, end)
        if len(rows) < self._settings.minimum_rows:
            raise ModelUnavailable(
                f"{what} from {to_text(start)} to {to_text(end)} has {len(rows)} rows in the feature log, and a reference needs "
                f"{self._settings.minimum_rows}; name another under [monitoring] reference"
            )
        digest = hashlib.sha256(b"".join(values.tobytes() for values in (rows.at,) if values is not None)).hexdigest()
        return Reference(
            key=f"{number}/{start}-{end}/{digest[:16]}",
            words=f"the {len(rows)} rows of {what} from {to_text(start)} to {to_text(end)}",
            version=training.version,
            contract=training.contract,
            rows=rows,
            holdout=training.holdout,
            in_time_order=True,
            importance=training.importance,
            answers_own=set(counts) == {number},
            moves=self._settings.reference == "previous",
        )

    def _seasonal(self, whole: Reference, season: str, start: int, end: int) -> Reference:
        if whole.rows.at is None:
            raise ModelUnavailable(
                f"{whole.words} do not say when they were, so there are no rows of the same {season}; make the project with "
                '--time, or set season = "none" under [monitoring]'
            )
        wanted = seasons(season, start, end)
        rows = whole.rows.taken(np.isin(_season(season, whole.rows.at), wanted))
        if len(rows) < self._settings.minimum_rows:
            raise ModelUnavailable(
                f"{whole.words} hold {len(rows)} rows of the {season} {', '.join(map(str, wanted))}, and a reference needs "
                f'{self._settings.minimum_rows}; set season = "none" under [monitoring], or train on more rows'
            )
        return replace(
            whole,
            key=f"{whole.key}/{season}{wanted}",
            words=f"{len(rows)} of {whole.words}, those of the same {season}",
            rows=rows,
            holdout=_same_season(whole.holdout, season, wanted),
        )

    def _version(self, number: int) -> ModelVersion:
        version = self._ledger.version(number)
        if version is None:
            raise ModelUnavailable(f"version {number} answered but is not in the ledger; restore the ledger")
        return version


def period(text: str) -> tuple[int, int]:
    """[first day, last day), two dates with a slash between them, in microseconds since 1970."""
    first, last = (datetime.combine(date.fromisoformat(day), time(), UTC) for day in text.split("/"))
    return from_datetime(first), from_datetime(last)


def seasons(season: str, start: int, end: int) -> tuple[int, ...]:
    """The hours of the day, or the weekdays from Monday 0, that [`start`, `end`) touches, ascending."""
    length, count = (HOUR, 24) if season == "hour" else (DAY, 7)
    moments = np.arange(start // length, min((end - 1) // length, start // length + count - 1) + 1) * length
    return tuple(sorted(set(_season(season, moments).tolist())))


def _season(season: str, at: Integers) -> npt.NDArray[np.int64]:
    return at // HOUR % 24 if season == "hour" else (at // DAY + FIRST_WEEKDAY) % 7


def _same_season(rows: Rows | None, season: str, wanted: tuple[int, ...]) -> Rows | None:
    """A hold-out is short: where it says nothing of the season, all of it is better than nothing."""
    if rows is None or rows.at is None:
        return rows
    found = rows.taken(np.isin(_season(season, rows.at), wanted))
    return found if len(found) else rows
