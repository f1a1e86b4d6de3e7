"""A watch lived through by a clock that jumps, and a check that no row was left out and no window judged twice."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from lifecycle.clock import ManualClock
from lifecycle.ledger.sql import SqlLedger
from lifecycle.records import Verdict
from monitoring.watch import Watch
from tests.component.monitoring.watching import GO_ON, MINUTE, START, World, settings

HOUR, YEAR = 60 * MINUTE, 525_960 * MINUTE
SHORT = (HOUR, -HOUR, 3 * MINUTE, -3 * MINUTE, 500, -500)
LONG = (YEAR, -YEAR, 5 * YEAR, -3 * YEAR)
EARLIEST, LATEST = START, START + 200 * YEAR
"""Between these the clock jumps."""
KINDS = ("years forwards", "years back", "an hour or less forwards", "an hour or less back")
DAY = 24 * 60
SHAPES: tuple[dict[str, Any], ...] = (
    {"window_minutes": 1},
    {"window_minutes": 4, "window_step": 0.25},
    {"window_minutes": 10, "window_rows": 7},
    {"window_minutes": 10, "window_rows": 6, "window_step": 0.5},
    {"window_minutes": DAY},
    {"window_minutes": 4 * DAY, "window_step": 0.25},
    {"window_minutes": 10 * DAY, "window_rows": 7},
    {"window_minutes": 10 * DAY, "window_rows": 6, "window_step": 0.5},
)
"""Windows of every kind."""


class Brief(SqlLedger):
    """A ledger that tells nobody of earlier verdicts, for a judge that only counts rows."""

    def judged(self, limit: int, before: int | None = None) -> list[Verdict]:
        return []


@dataclass
class Life:
    """Some years of a project whose clock is not to be trusted; `settled` holds when all that happened was looked at."""

    world: World
    random: Random
    events: Counter[str] = field(default_factory=Counter)
    highest: int = 0

    @property
    def length(self) -> int:
        return int(self.world.settings.window_minutes * MINUTE)

    def live(self, windows: int) -> None:
        """Until so many windows with rows have a verdict, and the clock has jumped in all ways."""
        while self.world.ledger.window_counts().get("ok", 0) < windows or not self._is_eventful:
            self.step()
        self.settle()

    @property
    def _is_eventful(self) -> bool:
        return all(self.events[kind] for kind in (*KINDS, "restarts", "swaps", "late rows"))

    def step(self) -> None:
        random, world = self.random, self.world
        self._traffic()
        if random.random() < 0.05:
            self._jump(random.choice(SHORT))
        if random.random() < 0.04:
            self._jump(random.choice(LONG))
        if random.random() < 0.02:
            self.events["restarts"] += 1
            world.restarted()
        if random.random() < 0.05:
            self.events["swaps"] += 1
            world.swap(world.ledger.pointer().generation % 3 + 1)
        if random.random() < 0.8:
            world.fold()
        if random.random() < 0.9:
            world.watch.close_due(GO_ON)
            world.watch.look_again()

    def settle(self) -> None:
        """The clock comes to rest behind all that it ever showed, and every window is closed."""
        self.world.clock.at = max(self.highest, self.world.ledger.latest(1)[0].end) + 2 * self.length
        self.world.fold()
        while self.world.round():
            pass
        self.world.restarted()  # which looks at every window again
        self.world.round()

    def _traffic(self) -> None:
        """Some time passes, in which rows are answered, or come late."""
        clock, random = self.world.clock, self.random
        before = clock.at
        clock.at += random.randint(0, 3 * self.length)
        self.highest = max(self.highest, clock.at)
        moments = [random.randint(before, clock.at) for _ in range(random.choice((0, 0, 1, 5, 20)))]
        if self.world.log.at and random.random() < 0.05:
            self.events["late rows"] += 1
            moments.append(random.choice(self.world.log.at) + random.randint(0, 2 * self.length))
        moments += moments[:1]  # two of one moment
        self.world.log.waiting += moments

    def _jump(self, by: int) -> None:
        if EARLIEST <= self.world.clock.at + by <= LATEST:
            size = "years" if abs(by) >= YEAR else "an hour or less"
            self.events[f"{size} {'forwards' if by > 0 else 'back'}"] += 1
            self.world.clock.at += by

    def problems(self) -> list[str]:
        """Every broken promise in words."""
        log, found = self.world.log, []
        verdicts = self.world.ledger.latest(10**6)[::-1]
        bounds = [(verdict.start, verdict.end) for verdict in verdicts]
        judged = Counter[int]()
        for verdict in verdicts:
            inside = log.within(verdict.start, verdict.end)
            judged.update(set(inside))
            if verdict.rows != len(inside):
                found.append(f"the verdict of {verdict.start} says {verdict.rows} rows of {len(inside)}")
        found += [f"the row of {at} is in no window" for at in sorted(set(log.at) - set(judged))]
        if self.world.settings.window_step == 1:
            found += [f"{second} begins within {first}" for first, second in pairwise(bounds) if second[0] < first[1]]
        rows: dict[int, int] = {}
        for start, _, count in self.world.judge.calls:
            if count <= rows.get(start, -1):
                found.append(f"the window of {start} was judged again with {count} rows and nothing new")
            rows[start] = count
        return found

    def facts(self) -> dict[str, Any]:
        verdicts = self.world.ledger.window_counts()
        return {**self.events, "rows": len(self.world.log.at), "windows": dict(verdicts)}


def begun(folder: Path, seed: int, shape: dict[str, Any], alter: Callable[[Watch], None] = lambda _watch: None) -> Life:
    """A life with windows of `shape`, in which rows may come late by decades; `alter` breaks its watches for a test."""
    wanted = settings(label_horizon_minutes=10**8, **shape)
    return Life(World(Brief("sqlite://", folder), ManualClock(), wanted, alter), Random(seed))


def lived(folder: Path, seed: int, windows: int, shape: dict[str, Any]) -> Life:
    """A life of so many windows with rows."""
    life = begun(folder, seed, shape)
    life.live(windows)
    return life
