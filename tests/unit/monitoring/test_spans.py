from hypothesis import given
from hypothesis import strategies as some

from monitoring.spans import Spans

PARTS = some.lists(some.tuples(some.integers(0, 40), some.integers(1, 9)), max_size=12)


def spans(*parts: tuple[int, int]) -> Spans:
    made = Spans()
    for part in parts:
        made.add(*part)
    return made


def test_stretches_that_touch_are_one() -> None:
    assert list(spans((0, 2), (4, 6), (2, 4))) == [(0, 6)]


def test_gaps_are_what_is_left() -> None:
    assert list(spans((2, 4), (6, 8)).gaps(0, 9)) == [(0, 2), (4, 6), (8, 9)]
    assert list(spans((2, 4)).gaps(3, 4)) == []
    assert list(spans().gaps(0, 1)) == [(0, 1)]


@given(PARTS)
def test_stretches_and_gaps_hold_each_moment_once(parts: list[tuple[int, int]]) -> None:
    made = spans(*((start, start + length) for start, length in parts))
    inside = {moment for start, length in parts for moment in range(start, start + length)}
    assert {moment for start, end in made for moment in range(start, end)} == inside
    assert [moment for start, end in made.gaps(0, 60) for moment in range(start, end)] == sorted(
        set(range(60)) - inside
    )
