"""Times: whole microseconds since 1970, UTC."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from lifecycle.clock import MICROSECONDS, ManualClock, Rest, from_datetime, to_datetime, to_text


@given(st.integers(-(10**15), 4 * 10**15))
def test_a_moment_survives_the_conversion(moment: int) -> None:
    assert from_datetime(to_datetime(moment)) == moment


def test_zones_are_converted_and_a_naive_time_is_utc() -> None:
    summer = datetime(2024, 6, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert from_datetime(summer) == from_datetime(datetime(2024, 6, 1, 12, tzinfo=UTC))
    assert from_datetime(datetime(2024, 6, 1, 12)) == from_datetime(summer)  # noqa: DTZ001 - naive is the point


def test_the_text_is_iso_8601_to_the_second() -> None:
    assert to_text(1_700_000_000_999_999) == "2023-11-14T22:13:20Z"


def test_a_rest_is_over_after_its_time_or_when_the_clock_was_set_back() -> None:
    clock = ManualClock()
    rest = Rest(clock)
    over = [rest.is_over]
    rest.begin(10 * MICROSECONDS)
    for seconds in (9, 1):
        clock.advance(seconds)
        over.append(rest.is_over)
    rest.begin(10 * MICROSECONDS)
    clock.advance(-3600)
    assert [*over, rest.is_over] == [True, False, True, True]
