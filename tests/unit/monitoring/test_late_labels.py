"""Which label files are news: those that were appended, and merged ones only when they may hide one."""

import numpy as np

from lifecycle.feature_log.data_files import LAST, DataFile
from monitoring.late_labels import added, touches

DAY = "2023-11-14"


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


def test_nothing_moved_touches_no_window_and_the_first_look_touches_all() -> None:
    assert touches(None, 0, 1)
    assert not touches(np.array([], dtype=np.int64), 0, 1)
    assert touches(np.array([5_000_000]), 6_000_000, 7_000_000)
    assert not touches(np.array([5_000_000]), 8_000_000, 9_000_000)
