"""Time as the product sees it: UTC, in whole microseconds since 1970. The clock is a port, so tests own it."""

import threading
import time
from datetime import UTC, datetime
from typing import Protocol

MICROSECONDS = 1_000_000


class _Now(Protocol):
    def now(self) -> int: ...


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> int:
        return time.time_ns() // 1000

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        return stop.wait(seconds)


class ManualClock:
    """A clock that moves only when told to, for tests; waiting moves it."""

    def __init__(self, at: int = 1_700_000_000 * MICROSECONDS) -> None:
        self.at = at

    def now(self) -> int:
        return self.at

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.advance(seconds)
        return stop.is_set()

    def advance(self, seconds: float) -> None:
        self.at += int(seconds * MICROSECONDS)


class Rest:
    """A pause between two looks at something: over when its time has passed, or the clock was set back to before it began."""

    def __init__(self, clock: _Now) -> None:
        self._clock = clock
        self._from = self._until = 0

    @property
    def is_over(self) -> bool:
        return not self._from <= self._clock.now() < self._until

    def begin(self, microseconds: int) -> None:
        self._from = self._clock.now()
        self._until = self._from + microseconds


def to_datetime(microseconds: int) -> datetime:
    """The aware UTC datetime for `microseconds` since 1970."""
    return datetime.fromtimestamp(microseconds // MICROSECONDS, UTC).replace(microsecond=microseconds % MICROSECONDS)


def from_datetime(moment: datetime) -> int:
    """Microseconds since 1970 for `moment`; a naive one is taken as UTC.

    Raises OverflowError when it falls outside the years 1 to 9999 in UTC, which `to_datetime` could not give back.
    """
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    delta = aware.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * MICROSECONDS + delta.microseconds


def to_text(microseconds: int) -> str:
    """ISO 8601 with a `Z`, to the second: what people and messages read."""
    return to_datetime(microseconds).strftime("%Y-%m-%dT%H:%M:%SZ")
