"""Which files are news: those that were appended, and merged ones only when they may hide one; and which windows they touch."""

import numpy as np

from lifecycle.feature_log.data_files import LAST, DataFile
from monitoring.arrivals import added, touched

DAY = "2023-11-14"
WINDOWS = [(0, 10), (10, 20), (15, 25)]


def file(name: str, rows: int, day: str = DAY) -> DataFile:
    return DataFile(f"day={day}/{name}.parquet", day, rows, 1, -LAST, LAST, "", "")


def news(before: list[DataFile], now: list[DataFile]) -> list[str]:
    found = added({one.path: one for one in before}, {one.path: one for one in now})
    return sorted(one.path.rsplit("/", 1)[-1].removesuffix(".parquet") for one in found)


def test_appended_files_are_news() -> None:
    assert news([file("a", 3)], [file("a", 3), file("b", 2)]) == ["b"]


def test_a_merge_of_what_was_seen_is_no_news() -> None:
    assert news([file("a", 3), file("b", 2)], [file("merged-c", 5), file("d", 1)]) == ["d"]


def test_a_merge_that_holds_a_file_nobody_saw_is_news() -> None:
    assert news([file("a", 3), file("b", 2)], [file("merged-c", 9)]) == ["merged-c"]


def test_days_are_looked_at_apart() -> None:
    before = [file("a", 3), file("b", 2), file("c", 5, "2023-11-15")]
    now = [file("merged-d", 5), file("merged-e", 6, "2023-11-15")]
    assert news(before, now) == ["merged-e"]


def test_a_moment_touches_every_window_it_may_be_in() -> None:
    assert touched(np.array([9, 17]), WINDOWS) == {0, 10, 15}
    assert touched(np.array([10]), WINDOWS) == {10}
    assert touched(np.array([25]), WINDOWS) == set()
    assert touched(np.array([27]), WINDOWS, slack=3) == {15}


def test_nothing_moved_touches_no_window() -> None:
    assert touched(np.array([], dtype=np.int64), WINDOWS) == set()
    assert touched(np.array([1]), []) == set()
