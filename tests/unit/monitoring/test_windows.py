from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as some

from monitoring import windows
from tests.unit.monitoring.making import MINUTE, START

FOLDED = START + 1_000 * MINUTE


def spans(due: windows.Due) -> list[tuple[int, int]]:
    return [(window.start, window.end) for window in due.windows]


def test_windows_lie_on_the_grid_of_the_clock() -> None:
    due = windows.due(START, MINUTE, START + 2 * MINUTE + 1, FOLDED, START)
    assert spans(due) == [(START, START + MINUTE), (START + MINUTE, START + 2 * MINUTE)]


def test_a_window_is_not_due_before_its_end() -> None:
    assert windows.due(START, MINUTE, START + MINUTE - 1, FOLDED, START).windows == ()


def test_a_window_waits_until_its_rows_are_folded() -> None:
    due = windows.due(START, MINUTE, START + MINUTE + 1, START + MINUTE - 1, START)
    assert due.windows == ()


def test_a_window_closes_without_the_fold_after_its_grace_and_is_marked() -> None:
    now = START + MINUTE + windows.grace(MINUTE)
    due = windows.due(START, MINUTE, now, 0, START)
    assert [window.complete for window in due.windows] == [False]


def test_after_a_downtime_the_fold_gets_its_grace_anew() -> None:
    now = START + 100 * MINUTE
    assert windows.due(START, MINUTE, now, 0, watching_since=now).windows == ()
    assert len(windows.due(START, MINUTE, now + windows.grace(MINUTE), 0, watching_since=now).windows) == 100


def test_a_changed_length_leaves_no_gap() -> None:
    begin = START + MINUTE
    due = windows.due(begin, 5 * MINUTE, START + 20 * MINUTE, FOLDED, START)
    assert due.windows[0].start == begin
    assert due.windows[0].end % (5 * MINUTE) == 0


def test_windows_too_many_to_close_are_passed_over_and_said() -> None:
    due = windows.due(START, MINUTE, START + 3_000 * MINUTE, START + 4_000 * MINUTE, START)
    assert len(due.windows) == windows.MOST_DUE
    assert due.passed_over == (START, due.windows[0].start)


@given(some.integers(0, 400), some.lists(some.integers(0, 600), min_size=1, max_size=8), some.integers(1, 7))
def test_rounds_at_any_times_close_every_window_once(offset: int, times: list[int], length: int) -> None:
    begin, size = offset * 1_000_000, length * 1_000_000
    closed: list[tuple[int, int]] = []
    for second in sorted(times):
        now = begin + second * 1_000_000
        closed += spans(windows.due(closed[-1][1] if closed else begin, size, now, now, begin))
    assert all(before[1] == after[0] for before, after in pairwise(closed))
    assert len(set(closed)) == len(closed)
    last = closed[-1][1] if closed else begin
    assert windows.floor(last, size) + size > begin + max(times) * 1_000_000
