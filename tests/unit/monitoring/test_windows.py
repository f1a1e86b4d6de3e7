"""Where windows lie, by the clock and by rows, one after the other and overlapping; in minutes after START."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from lifecycle.records import Move
from monitoring.windows import MOST_DUE, NEVER, Moments, Shape, floor, grace

MINUTE = 60_000_000
START = 1_700_000_040_000_000
"""A whole minute, so that windows of a minute begin here."""


class Rows:
    """Rows answered so many minutes after START, and how many of them were read."""

    def __init__(self, *minutes: float) -> None:
        self.at = np.sort(np.array([START + round(minute * MINUTE) for minute in minutes], dtype=np.int64))
        self.read = 0

    def answered(self, start: int, end: int) -> Iterator[Moments]:
        for at in np.array_split(self.at[(self.at >= start) & (self.at < end)], 3):
            self.read += len(at)
            yield at

    def most(self, start: int, end: int) -> int:
        return int(((self.at >= start) & (self.at < end)).sum())


def move(generation: int, version: int, minute: float) -> Move:
    return Move(generation, version, START + round(minute * MINUTE), "test", "a reason")


def minutes(moment: int) -> float:
    return (moment - START) / MINUTE


def walked(
    shape: Shape,
    until: float,
    rows: Rows | None = None,
    moves: Sequence[Move] = (),
    gap: tuple[float, float | None] = (0, None),
) -> list[tuple[float, float]]:
    """Windows that begin in the gap and have ended by `until`; passed-over stretches as (start, -end)."""
    first, last = START + round(gap[0] * MINUTE), NEVER if gap[1] is None else START + round(gap[1] * MINUTE)
    end = START + round(until * MINUTE)
    places = shape.walk((first, last), end, shape.cuts(moves), rows or Rows())
    return [
        (minutes(place.start), -minutes(place.end) if place.passed_over else minutes(place.end))
        for place in places
        if place.end <= end
    ]


TUMBLING = Shape(MINUTE)
SLIDING = Shape(4 * MINUTE, step=0.25)
ON_GRID = START % (4 * MINUTE) // MINUTE


def test_windows_lie_on_the_grid_of_the_clock() -> None:
    assert walked(TUMBLING, 2.5) == [(0, 1), (1, 2)]


def test_a_changed_length_leaves_no_gap() -> None:
    found = walked(Shape(5 * MINUTE), 20, gap=(1, None))
    assert found[0][0] == 1
    assert all((START + end * MINUTE) % (5 * MINUTE) == 0 for _, end in found)
    assert all(before[1] == after[0] for before, after in pairwise(found))


def test_windows_end_where_a_verdict_begins() -> None:
    assert walked(TUMBLING, 10, gap=(0.25, 2.5)) == [(0.25, 1), (1, 2), (2, 2.5)]


def test_sliding_windows_begin_on_the_grid_of_the_step() -> None:
    assert walked(SLIDING, 7) == [(0, 4), (1, 5), (2, 6), (3, 7)]


def test_a_swap_splits_a_window() -> None:
    moves = [move(1, 1, -9), move(2, 2, 1.25)]
    assert walked(TUMBLING, 3, moves=moves) == [(0, 1), (1, 1.25), (1.25, 2), (2, 3)]


def test_the_first_promotion_and_one_of_the_same_version_are_no_swaps() -> None:
    assert walked(TUMBLING, 1, moves=[move(1, 1, 0.5), move(2, 1, 0.7)]) == [(0, 1)]


@pytest.mark.parametrize("minute", [1.01, 1.99, 1.0])
def test_a_piece_of_less_than_a_second_is_joined_to_its_neighbour(minute: float) -> None:
    assert walked(TUMBLING, 2, moves=[move(1, 1, -9), move(2, 2, minute)]) == [(0, 1), (1, 2)]


def test_two_swaps_within_a_second_are_one_cut() -> None:
    moves = [move(1, 1, -9), move(2, 2, 0.5), move(3, 1, 0.51)]
    assert walked(TUMBLING, 1, moves=moves) == [(0, 0.5), (0.5, 1)]


def test_no_sliding_window_reaches_back_over_a_swap() -> None:
    found = walked(SLIDING, 12, moves=[move(1, 1, -9), move(2, 2, 5.5)])
    assert found == [(0, 4), (1, 5), (2, 5.5), (5.5, 9), (6, 10), (7, 11), (8, 12)]


def test_a_window_closes_with_the_row_that_makes_it_full() -> None:
    rows = Rows(0.1, 0.2, 0.3, 0.4, 0.5, 2.6)
    found = walked(Shape(MINUTE, rows=2), 1.5, rows)
    after = 1 / MINUTE
    assert found == [(0, 0.2 + after), (0.2 + after, 0.4 + after), (0.4 + after, 1.4 + after)]


def test_rows_of_one_moment_stay_together() -> None:
    assert walked(Shape(MINUTE, rows=2), 1, Rows(0.1, 0.3, 0.3, 0.3, 0.3))[0][1] == pytest.approx(0.3, abs=1e-6)


def test_sliding_by_rows_begins_so_many_rows_later() -> None:
    rows = Rows(*(index / 100 for index in range(12)))
    shape = Shape(MINUTE, rows=4, step=0.5)
    inside = [rows.most(START + round(a * MINUTE), START + round(b * MINUTE)) for a, b in walked(shape, 0.5, rows)]
    assert inside == [4, 4, 4, 4, 4]


def test_windows_by_rows_end_at_a_swap_too() -> None:
    found = walked(Shape(MINUTE, rows=2), 0.5, Rows(0.1, 0.3, 0.4), moves=[move(1, 1, -9), move(2, 2, 0.2)])
    assert found[0] == (0, 0.2)


def test_no_row_is_read_while_there_are_too_few_to_fill_a_window() -> None:
    rows = Rows(0.1, 0.2)
    Shape(MINUTE, rows=3).place(START, (), rows)
    assert rows.read == 0


def test_a_long_stretch_without_rows_is_passed_over_up_to_the_newest_windows() -> None:
    found = walked(TUMBLING, 3 * MOST_DUE)
    assert found[:1] == [(0, -2 * MOST_DUE)]
    assert len(found) == 1 + MOST_DUE


def test_what_was_passed_over_once_is_passed_over_whole() -> None:
    assert walked(TUMBLING, 9 * MOST_DUE, gap=(0, 2 * MOST_DUE)) == [(0, -2 * MOST_DUE)]


def test_a_row_in_a_long_stretch_is_found() -> None:
    far = 5 * MOST_DUE + 0.5
    found = walked(TUMBLING, 9 * MOST_DUE, Rows(far))
    assert found[:2] == [(0, -(far - 0.5)), (far - 0.5, far + 0.5)]


def test_every_sliding_window_with_a_row_in_a_long_stretch_is_found() -> None:
    far = 5 * MOST_DUE + 0.5
    found = [window for window in walked(SLIDING, 9 * MOST_DUE, Rows(far)) if window[0] <= far < window[1]]
    assert len(found) == 4


def test_where_a_judged_window_leaves_off() -> None:
    assert TUMBLING.after(START, START + MINUTE, Rows()) == START + MINUTE
    assert SLIDING.after(START, START + 4 * MINUTE, Rows()) == START + MINUTE
    cut = START + 3 * MINUTE
    assert SLIDING.after(START, cut, Rows()) == cut, "a swap ended it"


def test_a_window_waits_a_quarter_of_a_minute_for_the_fold_and_a_minute_at_most() -> None:
    assert grace(0) == 15_000_000
    assert grace(10**12) == MINUTE


@given(
    some.integers(1, 7),
    some.sampled_from([1.0, 0.5, 0.3, 0.05]),
    some.integers(0, 5),
    some.lists(some.floats(0, 60), max_size=20),
    some.lists(some.floats(0, 60), max_size=4),
)
def test_every_row_is_in_a_window_and_no_two_begin_together(
    length: int, step: float, most: int, at: list[float], swaps: list[float]
) -> None:
    shape, rows = Shape(length * MINUTE, most, step), Rows(*at)
    cuts = shape.cuts([move(index, index, minute) for index, minute in enumerate([-9.0, *swaps])])
    begin, end = floor(START, shape.stride), START + 60 * MINUTE
    places = list(shape.walk((begin, NEVER), end, cuts, rows))
    assert [place.start for place in places] == sorted({place.start for place in places})
    assert all(any(place.start <= moment < place.end for place in places) for moment in rows.at if moment < end)
    assert all(before.following == after.start <= before.end for before, after in pairwise(places))
    if not shape.slides:
        assert all(before.end == after.start for before, after in pairwise(places))
    assert not any(place.start < cut < place.end for place in places for cut in cuts)
