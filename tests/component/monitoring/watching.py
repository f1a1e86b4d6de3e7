"""A watch and all it touches: the ledger in memory, a log of moments alone, and a judge that counts rows and remembers."""

import threading
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lifecycle.clock import ManualClock
from lifecycle.config import Config, MonitoringSection
from lifecycle.ledger.sql import SqlLedger
from lifecycle.records import FoldStatus, Performance, Verdict, VerdictState
from monitoring.stores import Amendments
from monitoring.watch import Watch
from monitoring.windows import Moments, Window

SECOND, MINUTE = 1_000_000, 60_000_000
START = 1_700_000_040_000_000
"""A whole minute, so that windows of a minute begin here."""
GO_ON = threading.Event()


@dataclass
class Log:
    """When rows were answered, and which predictions have a label. What was added is seen once it is folded."""

    at: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    labelled: list[int] = field(default_factory=list)
    _rows: list[int] | None = None
    _labels: list[int] | None = None

    def fold(self) -> None:
        for moment in self.waiting:
            insort(self.at, moment)
        if self._rows is not None:
            self._rows += self.waiting
        self.waiting = []

    def label(self, *moments: int) -> None:
        self.labelled += moments
        if self._labels is not None:
            self._labels += moments

    def restarted(self) -> None:
        """Whoever looked before is gone."""
        self._rows = self._labels = None

    def within(self, start: int, end: int) -> list[int]:
        return self.at[bisect_left(self.at, start) : bisect_left(self.at, end)]

    def answered(self, start: int, end: int) -> Iterator[Moments]:
        found = np.array(self.within(start, end), dtype=np.int64)
        yield found[:2]  # batches end anywhere, also between rows of one moment
        yield found[2:]

    def most(self, start: int, end: int) -> int:
        return len(self.within(start, end)) + 3

    def new_rows(self, before: int) -> Moments | None:
        found, self._rows = self._rows, []
        return None if found is None else np.array(sorted(at for at in found if at < before), dtype=np.int64)

    def new_labels(self) -> Moments | None:
        found, self._labels = self._labels, []
        return None if found is None else np.array(sorted(found), dtype=np.int64)


@dataclass
class Counting:
    """Judges by counting. `calls` are all windows judged, with the rows they had, and `relabelled` those looked at for labels."""

    log: Log
    clock: ManualClock
    calls: list[tuple[int, int, int]] = field(default_factory=list)
    relabelled: list[int] = field(default_factory=list)
    earlier: list[int] = field(default_factory=list)
    failing: dict[int, Exception] = field(default_factory=dict)

    def judge(self, window: Window, earlier: Sequence[Verdict]) -> Verdict:
        if window.start in self.failing:
            raise self.failing.pop(window.start)
        rows = len(self.log.within(window.start, window.end))
        self.calls.append((window.start, window.end, rows))
        self.earlier = [verdict.start for verdict in earlier]
        reasons = () if window.complete else ("not folded",)
        state: VerdictState = "ok" if rows else "no_traffic"
        found = Verdict(
            window.start, window.end, rows, state, 1 if rows else None, reasons=reasons, scored_at=self.clock.now()
        )
        return replace(found, performance=self._performance(found))

    def relabel(self, verdict: Verdict, earlier: Sequence[Verdict]) -> Verdict | None:
        self.relabelled.append(verdict.start)
        performance = self._performance(verdict)
        return None if performance == verdict.performance else replace(verdict, performance=performance)

    def _performance(self, verdict: Verdict) -> Performance | None:
        labels = sum(verdict.start <= at < verdict.end for at in self.log.labelled)
        return Performance(labels, labels / verdict.rows, {"loss": 0.1}, {"threshold": 0.2}) if labels else None


@dataclass
class World:
    """A project with version 1 promoted, and a watch that can be restarted; `alter` breaks each for a test."""

    ledger: SqlLedger
    clock: ManualClock
    settings: MonitoringSection
    alter: Callable[[Watch], None] = lambda _watch: None
    log: Log = field(default_factory=Log)

    def __post_init__(self) -> None:
        self.clock.at = START
        self.judge = Counting(self.log, self.clock)
        self.swap(1)
        self.watch = self.restarted()

    def restarted(self) -> Watch:
        """Another watch over the same stores."""
        self.log.restarted()
        amendments = Amendments(self.ledger)
        self.watch = Watch(self.ledger, amendments, self.log, self.judge, self.clock, self.settings)
        self.alter(self.watch)
        return self.watch

    def swap(self, version: int) -> None:
        generation = self.ledger.pointer().generation
        self.ledger.flip(version, generation, "test", "a better one", self.clock.now())

    def rows(self, *moments: float) -> None:
        """Rows answered so many minutes after START."""
        self.log.waiting += [START + round(moment * MINUTE) for moment in moments]

    def fold(self, watermark: int | None = None) -> None:
        """All that was answered is in the tables, up to `watermark` (now by default)."""
        self.log.fold()
        now = self.clock.now()
        self.ledger.save_fold(FoldStatus(now if watermark is None else watermark, now, 0, 0, 0, 0, 0))

    def at(self, minutes: float) -> "World":
        """It is so many minutes after START, and all is folded."""
        self.clock.at = START + round(minutes * MINUTE)
        self.fold()
        return self

    def round(self) -> int:
        """What the monitor does; how many windows it closed."""
        closed = self.watch.close_due(GO_ON)
        waiting, left = None, self.watch.waiting
        while waiting != left:
            waiting = left
            self.watch.look_again()
            left = self.watch.waiting
        return closed

    def windows(self) -> list[tuple[float, float, int]]:
        """Start and end in minutes after START, and rows, of every verdict, oldest first."""
        found = self.ledger.latest(100_000)[::-1]
        return [((item.start - START) / MINUTE, (item.end - START) / MINUTE, item.rows) for item in found]

    def audited(self, action: str) -> list[Any]:
        return [entry["detail"] for entry in self.ledger.audit_trail(10_000)[::-1] if entry["action"] == action]


def settings(**changes: Any) -> MonitoringSection:
    """Windows of a minute, and labels that are waited for an hour."""
    section = {"window_minutes": 1, "label_horizon_minutes": 60} | changes
    return Config.model_validate({"model": {"name": "houses"}, "monitoring": section}).monitoring
