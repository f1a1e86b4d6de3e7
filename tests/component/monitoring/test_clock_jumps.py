"""The clock jumps by an hour and by years, both ways, and the watch restarts: no window with rows is left out, none is judged twice."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitoring.watch import Watch
from monitoring.windows import Moments, Place, Window
from tests.component.monitoring.clock_jumps import DAY, SHAPES, begun, lived

WINDOWS = 60
"""With rows, of each kind; with those without, there are more than a thousand. `benchmarks/torture/windows.py` has the others."""
LONG = [shape for shape in SHAPES if shape["window_minutes"] >= DAY]


@pytest.mark.parametrize("shape", LONG, ids=str)
def test_no_window_with_rows_is_left_out_and_none_is_judged_twice(shape: dict[str, Any], tmp_path: Path) -> None:
    life = lived(tmp_path, 1, WINDOWS, shape)
    assert life.problems() == []
    assert sum(life.world.ledger.window_counts().values()) >= WINDOWS


def goes_on_after_the_newest(watch: Watch) -> None:
    """A watch that goes on where the newest verdict ends, wherever the clock is."""
    due = watch._timeline.due

    def after_the_newest(begin: int, until: int) -> Iterator[Place]:
        return due(max(begin, watch._timeline.end), until)

    watch._timeline.due = after_the_newest  # type: ignore[method-assign]  # a broken variant


def sees_no_late_rows(watch: Watch) -> None:
    def none(before: int) -> Moments | None:
        return np.array([], dtype=np.int64)

    watch._log.new_rows = none  # type: ignore[method-assign]  # a broken variant


def judges_whatever_was_reached(watch: Watch) -> None:
    """A watch that does not look whether a window has more rows than its verdict says."""

    def many(window: Window) -> int:
        return 10**9

    watch._rows = many  # type: ignore[method-assign]  # a broken variant


BROKEN: Sequence[tuple[Callable[[Watch], None], str]] = (
    (goes_on_after_the_newest, "is in no window"),
    (sees_no_late_rows, "says"),
    (judges_whatever_was_reached, "nothing new"),
)


def story(folder: Path, alter: Callable[[Watch], None]) -> list[str]:
    """The problems of a watch whose clock was a year ahead for a while, with rows in between, and one that came late."""
    life = begun(folder, 1, {"window_minutes": 60}, alter)
    for rows, minutes in (([30.0], 60), ([], 500_000), ([90.0, 150.0], 180), ([40.0], 240)):
        life.world.rows(*rows)
        life.world.at(minutes).round()
    life.settle()
    return life.problems()


def test_a_sound_watch_has_no_problem(tmp_path: Path) -> None:
    assert story(tmp_path, lambda _watch: None) == []


@pytest.mark.parametrize(("broken", "problem"), BROKEN)
def test_a_broken_watch_is_caught(broken: Callable[[Watch], None], problem: str, tmp_path: Path) -> None:
    assert any(problem in found for found in story(tmp_path, broken))
