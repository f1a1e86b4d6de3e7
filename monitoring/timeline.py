"""Which windows have a verdict, and which of the others are due: the ledger's verdicts against the clock.

The ledger is the only state. A window is due when none of the ledger's begins there, so whatever stops or whichever way the
clock jumps, none is judged twice and none that has rows is left out.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from lifecycle.config import MonitoringSection
from lifecycle.records import Move
from monitoring.arrivals import touched
from monitoring.spans import Spans
from monitoring.stores import MonitorLedger
from monitoring.windows import NEVER, Answered, Moments, Place, Shape

EVERYTHING = 1_000_000


class Timeline:
    """The windows of a project, judged and due. `forget` it when the world may have changed behind its back."""

    def __init__(self, ledger: MonitorLedger, log: Answered, settings: MonitoringSection) -> None:
        self.shape = Shape.of(settings)
        self._ledger = ledger
        self._log = log
        self._windows: dict[int, int] | None = None
        self._end = 0
        self._settled = Spans()
        self._passed = Spans()
        self._moves: tuple[int, Sequence[int]] = (0, ())

    @property
    def end(self) -> int:
        """The end of the last window that has a verdict; 0 when none has."""
        self._known()
        return self._end

    def windows(self, since: int) -> list[tuple[int, int]]:
        """Start and end of those with a verdict that end at or after `since`, in order."""
        return sorted((start, end) for start, end in self._known().items() if end >= since)

    def due(self, begin: int, until: int) -> Iterator[Place]:
        """Where the windows without a verdict lie that begin in [`begin`, `until`), in order; see `Shape.walk`."""
        self._known()
        cuts = self._cuts()
        for gap in list(self._settled.gaps(begin, NEVER)):
            if gap[0] < until:
                yield from self.shape.walk(gap, until, cuts, self._log)

    def settle(self, place: Place) -> None:
        """From here on the window has a verdict, or the stretch was passed over."""
        self._settled.add(place.start, place.following)
        if place.passed_over:
            self._passed.add(place.start, place.end)
        else:
            self._known()[place.start] = place.end
            self._end = max(self._end, place.end)

    def forget(self) -> None:
        """Look at the ledger anew; what was passed over is looked at again."""
        self._windows = None

    def has_passed_over(self, moments: Moments) -> bool:
        """Whether any of `moments` lies in a stretch that was passed over for want of rows."""
        return bool(touched(moments, self._passed))

    def _known(self) -> dict[int, int]:
        if self._windows is None:
            self._windows = dict(self._ledger.spans(0))
            self._end = max(self._windows.values(), default=0)
            self._settled, self._passed = Spans(), Spans()
            for start, following in self._owned(self._windows.items()):
                self._settled.add(start, following)
        return self._windows

    def _owned(self, windows: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Each window's start, and that of the next if none was left out."""
        ordered = [*windows, (NEVER, NEVER)]
        for (start, end), (following, _) in pairwise(ordered):
            by_rows_on = self.shape.slides and self.shape.rows and following <= end
            yield start, following if by_rows_on else self.shape.after(start, end, self._log)

    def _cuts(self) -> Sequence[int]:
        newest: list[Move] = self._ledger.moves(1)
        generation = newest[0].generation if newest else 0
        if generation != self._moves[0]:
            self._moves = generation, self.shape.cuts(self._ledger.moves(EVERYTHING))
        return self._moves[1]
