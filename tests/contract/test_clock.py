"""Clock: every implementation."""

import threading

import pytest

from lifecycle.clock import ManualClock, SystemClock
from lifecycle.ports import Clock


@pytest.fixture(params=[SystemClock, ManualClock])
def any_clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


def test_time_is_in_microseconds_and_does_not_run_backwards(any_clock: Clock) -> None:
    first = any_clock.now()
    assert 1_600_000_000_000_000 < first < 4_000_000_000_000_000
    assert any_clock.now() >= first


def test_waiting_lets_time_pass_and_says_that_nothing_stopped_it(any_clock: Clock) -> None:
    began = any_clock.now()
    assert not any_clock.wait(threading.Event(), 0.01)
    assert any_clock.now() - began >= 9_000


def test_a_set_event_ends_the_wait(any_clock: Clock) -> None:
    stop = threading.Event()
    stop.set()
    assert any_clock.wait(stop, 0.01)
