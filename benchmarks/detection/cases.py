"""What is measured: kinds of traffic, sizes, and changes."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from benchmarks.detection.columns import contract
from benchmarks.detection.traffic import CORRELATION, NOTHING, SHARE, SHIFT, SMALL_SHIFT, VARIANCE, Traffic
from lifecycle.records import ModelVersion
from monitoring.references import Reference

HOLDOUT_SHARE = 0.4
"""Rows of the hold-out for each row of the reference."""
LOOKS = 2
"""Windows in which a change must be found."""
SIZES = (100, 500, 2_000, 10_000)
MEMORIES = (0.0, 0.5, 0.9)


@dataclass(frozen=True)
class World:
    """Where rows come from: `memory` is the correlation of neighbouring ones. References of it have so many rows."""

    memory: float
    reference_rows: int

    def reference(self, number: int) -> Reference:
        """One of many, in order of time where rows remember each other, as a version would keep it."""
        is_timed = self.memory > 0
        traffic = Traffic(seed(self, number), self.memory)
        return Reference(
            key=f"{self}/{number}",
            words=f"the {self.reference_rows} training rows of version 1",
            version=ModelVersion(1, 0, "promoted", "0" * 64, None, {}, {}),
            contract=contract(is_timed=is_timed),
            rows=traffic.rows(self.reference_rows),
            holdout=traffic.rows(int(HOLDOUT_SHARE * self.reference_rows)),
            in_time_order=is_timed,
        )


@dataclass(frozen=True)
class Case:
    """Windows of `rows` rows after a `change`.

    Of a `whole` case everything that a verdict looks at is looked at, labels too; of the others drift alone, without labels.
    """

    world: World
    rows: int
    change: str = NOTHING
    whole: bool = False

    @property
    def is_null(self) -> bool:
        return self.change == NOTHING

    def traffic(self, number: int) -> Traffic:
        """The rows that are compared with the world's reference of this number."""
        return Traffic(seed(self, number), self.world.memory, self.rows)


SMALL, LARGE = World(0.0, 5_000), World(0.0, 20_000)
TIMED = tuple(World(memory, 20_000) for memory in MEMORIES[1:])
WORLDS = (SMALL, LARGE, *TIMED, World(MEMORIES[-1], 5_000))


def cases() -> Iterator[Case]:
    """All of them, those first in which nothing changes."""
    yield from (Case(world, rows) for world, rows in product(WORLDS, SIZES))
    yield from (Case(LARGE, rows, whole=True) for rows in (500, 2_000))
    for world in (SMALL, LARGE):
        yield Case(world, 500, SHIFT)
        yield Case(world, 10_000, SMALL_SHIFT)
        yield Case(world, 2_000, CORRELATION)
    yield from (Case(LARGE, rows, change) for change, rows in product((VARIANCE, SHARE), (500, 2_000)))
    yield from (Case(world, rows, SHIFT) for world, rows in product(TIMED, (500, 10_000)))


def quick() -> Iterator[Case]:
    """A few of each kind."""
    yield from (Case(world, 500) for world in (SMALL, *TIMED))
    yield Case(SMALL, 500, SHIFT)
    yield Case(SMALL, 2_000, CORRELATION)


def seed(of: World | Case, number: int) -> int:
    """The same for the same, whoever asks and wherever."""
    return zlib.crc32(f"{of}/{number}".encode())
