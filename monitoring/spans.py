"""Stretches of time, kept as few as they can be: what is settled, and the gaps that are left."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Spans:
    """A set of moments as disjoint stretches [start, end), in order; those that touch are one."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    @property
    def end(self) -> int | None:
        """The end of the last stretch; None when there is none."""
        return self._ends[-1] if self._ends else None

    def add(self, start: int, end: int) -> None:
        """From here on [`start`, `end`) belongs to it."""
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def gaps(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The stretches of [`start`, `end`) that do not belong to it, in order."""
        for first, last in [*self, (end, end)]:
            if start < min(first, end):
                yield start, min(first, end)
            start = max(start, last)
