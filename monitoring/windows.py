"""Where windows lie: on a grid of the wall clock, or as many rows as they may hold; one after the other, or overlapping.

A window is known by its start. From a start, the pointer's moves and the rows of the log follow its end and the next start, so
a restart arrives at the same windows.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lifecycle.clock import MICROSECONDS
from lifecycle.config import MonitoringSection
from lifecycle.records import Move

MOST_DUE = 1_000
"""A stretch of more windows than this, none of which has a row, is passed over."""
SHORTEST = MICROSECONDS
"""Swaps leave no piece of a window that is shorter: it is joined to its neighbour."""
FOLD_GRACE_SECONDS = 15
MOST_EXTRA_GRACE_SECONDS = 45
NEVER = 2**63 - 1
Moments = npt.NDArray[np.int64]
"""Microseconds since 1970, ascending."""


class Answered(Protocol):
    """When rows of the log were answered."""

    def answered(self, start: int, end: int) -> Iterator[Moments]:
        """The moments of all rows in [`start`, `end`), in order, a few at a time."""

    def most(self, start: int, end: int) -> int:
        """A number that those rows do not exceed; cheap."""


@dataclass(frozen=True)
class Window:
    """[`start`, `end`) in microseconds since 1970; `complete` when everything in it is known to be folded."""

    start: int
    end: int
    complete: bool = True


@dataclass(frozen=True)
class Place:
    """Where a window lies, and the start of the next. With `passed_over` it is no window but a stretch without rows."""

    start: int
    end: int
    following: int
    passed_over: bool = False


def floor(moment: int, length: int) -> int:
    """The last moment of the grid of `length` that is not after `moment`."""
    return moment // length * length


def grace(length: int) -> int:
    """How long after its end a window waits for the fold: 15 s and a tenth of its length, at most a minute."""
    return FOLD_GRACE_SECONDS * MICROSECONDS + min(length // 10, MOST_EXTRA_GRACE_SECONDS * MICROSECONDS)


@dataclass(frozen=True)
class Shape:
    """How a project's windows are cut.

    `length` is in microseconds; with `rows` it is the longest that a window waits for so many. The next window begins `step`
    windows later: 1 is tumbling, less slides.
    """

    length: int
    rows: int = 0
    step: float = 1.0

    @classmethod
    def of(cls, settings: MonitoringSection) -> "Shape":
        length = max(1, round(settings.window_minutes * 60 * MICROSECONDS))
        return cls(length, settings.window_rows, settings.window_step)

    @property
    def stride(self) -> int:
        """From the start of a window to that of the next, by the clock."""
        return max(1, round(self.length * self.step))

    @property
    def slides(self) -> bool:
        return self.step < 1

    def cuts(self, moves: Sequence[Move]) -> tuple[int, ...]:
        """The moments at which swaps cut windows, ascending; without those that would leave a piece too short."""
        ordered = sorted(moves, key=lambda move: move.generation)
        swaps = sorted(after.at for before, after in pairwise(ordered) if before.version != after.version)
        kept: list[int] = []
        for at in swaps:
            into = at - floor(at, self.stride)
            from_grid = SHORTEST if self.rows else min(into, self.stride - into)
            if from_grid >= SHORTEST and (not kept or at - kept[-1] >= SHORTEST):
                kept.append(at)
        return tuple(kept)

    def place(self, start: int, cuts: Sequence[int], log: Answered) -> Place:
        """The window that begins at `start`. It ends at the first of `cuts` at the latest, and the next begins there then."""
        grid = start if self.rows else floor(start, self.stride)
        cut = next(iter(cuts[bisect_right(cuts, start) :]), NEVER)
        end = min(grid + self.length, cut)
        full, following = self._filled(start, end, log) if self.rows else (end, grid + self.stride)
        return Place(start, full, full if full == cut else min(following, full))

    def after(self, start: int, end: int, log: Answered) -> int:
        """Where the window that was judged as [`start`, `end`) leaves off: the start of the next."""
        place = self.place(start, (), log) if self.slides else None
        return place.following if place and place.end == end else end

    def walk(self, gap: tuple[int, int], until: int, cuts: Sequence[int], log: Answered) -> Iterator[Place]:
        """The windows that begin in `gap`, in order; those that begin at `until` or later may be left out.

        More than MOST_DUE windows without any row are passed over: up to the next row, the end of the gap, or the last MOST_DUE
        before `until`.
        """
        start, last, wide = gap[0], min(gap[1], until), MOST_DUE * self.stride
        rest = last if gap[1] <= until else floor(last - wide, self.stride)
        bounds = cuts if self.slides else sorted({*cuts, gap[1]})
        looked = start
        while start < last:
            if start >= looked and last - start > wide:
                row = next((int(at[0]) for at in log.answered(start, last) if len(at)), None)
                resumed = rest if row is None else min(rest, max(start, self.holding(row, cuts)))
                if resumed - start > wide:
                    yield Place(start, resumed, resumed, passed_over=True)
                    start = resumed
                looked = start + wide
                continue
            place = self.place(start, bounds, log)
            yield place
            start = place.following

    def holding(self, row: int, cuts: Sequence[int] = ()) -> int:
        """The start of the first window on the grid that holds the moment `row`."""
        before = bisect_right(cuts, row)
        return max(floor(row - self.length, self.stride) + self.stride, cuts[before - 1] if before else -NEVER)

    def _filled(self, start: int, end: int, log: Answered) -> tuple[int, int]:
        """The end of a window that rows close, and where the next begins. Rows of one moment stay together."""
        stepped, seen, following = max(1, round(self.rows * self.step)), 0, end
        if log.most(start, end) < stepped:
            return end, end
        for at in log.answered(start, end):
            if seen < stepped <= seen + len(at):
                following = int(at[stepped - seen - 1]) + 1
            if seen + len(at) >= self.rows:
                return int(at[self.rows - seen - 1]) + 1, following
            seen += len(at)
        return end, following
