"""Which hours and weekdays a window touches, and what a period is."""

from datetime import UTC, datetime

import pytest

from lifecycle.clock import from_datetime
from monitoring.references import period, seasons

MINUTE = 60_000_000


def at(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("season", "start", "end", "touched"),
    [
        ("hour", "2026-11-02T08:00", "2026-11-02T09:00", (8,)),
        ("hour", "2026-11-02T08:59", "2026-11-02T09:01", (8, 9)),
        ("hour", "2026-11-02T23:30", "2026-11-03T00:30", (0, 23)),
        ("hour", "2026-11-02T00:00", "2026-11-09T00:00", tuple(range(24))),
        ("weekday", "2026-11-02T08:00", "2026-11-02T09:00", (0,)),  # a Monday
        ("weekday", "2026-11-07T12:00", "2026-11-08T12:00", (5, 6)),
        ("weekday", "2026-11-02T00:00", "2026-12-02T00:00", tuple(range(7))),
    ],
)
def test_a_window_touches_these(season: str, start: str, end: str, touched: tuple[int, ...]) -> None:
    assert seasons(season, at(start), at(end)) == touched


def test_a_period_ends_before_its_last_day() -> None:
    assert period("2026-01-01/2026-02-01") == (at("2026-01-01"), at("2026-02-01"))
