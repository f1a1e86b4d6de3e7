"""Which windows are due. Windows lie on a grid of the wall clock; the ledger's last verdict says where to go on.

No window is skipped and none is judged twice, whatever restarts: the only state is the ledger. When more windows are
due than can sensibly be closed one by one, the oldest are passed over and that is reported, never silent.
"""

from dataclasses import dataclass

from lifecycle.clock import MICROSECONDS

MOST_DUE = 1_000
FOLD_GRACE_SECONDS = 15
MOST_EXTRA_GRACE_SECONDS = 45


@dataclass(frozen=True)
class Window:
    """[`start`, `end`) in microseconds since 1970; `complete` when everything in it is known to be folded."""

    start: int
    end: int
    complete: bool = True


@dataclass(frozen=True)
class Due:
    """Windows to judge now, oldest first, and the end of those passed over (None when none were)."""

    windows: tuple[Window, ...]
    passed_over: tuple[int, int] | None = None


def length_of(minutes: float) -> int:
    """A window's length in microseconds."""
    return max(1, round(minutes * 60 * MICROSECONDS))


def floor(moment: int, length: int) -> int:
    """The start of the window that holds `moment`."""
    return moment // length * length


def grace(length: int) -> int:
    """How long after its end a window waits for the fold: 15 s and a tenth of its length, at most a minute."""
    return FOLD_GRACE_SECONDS * MICROSECONDS + min(length // 10, MOST_EXTRA_GRACE_SECONDS * MICROSECONDS)


def due(begin: int, length: int, now: int, watermark: int, watching_since: int) -> Due:
    """The windows from `begin` that can be closed at `now`.

    A window is closed once the fold's `watermark` has passed its end, or its grace is over; grace counts from
    `watching_since` at the earliest, because after a downtime the fold needs time to catch up too.
    """
    windows: list[Window] = []
    start = _not_too_old(begin, length, now)
    passed_over = (begin, start) if start != begin else None
    while (end := floor(start, length) + length) <= now:
        complete = watermark >= end
        if not complete and now < max(end, watching_since) + grace(length):
            break
        windows.append(Window(start, end, complete))
        start = end
    return Due(tuple(windows), passed_over)


def _not_too_old(begin: int, length: int, now: int) -> int:
    return max(begin, floor(now, length) - MOST_DUE * length)
