import numpy as np
import pytest

from monitoring.drift.joint import Together
from monitoring.rows import Categories, Numbers, Rows
from tests.unit.monitoring.drift.drawing import latent, rows

NAMES = ("x", "y", "z", "town")


def correlated(count: int, seed: int, strength: float) -> Rows:
    values = latent(count, seed)
    values[:, 1] = strength * values[:, 0] + np.sqrt(1 - strength**2) * values[:, 1]
    return rows(values)


def test_a_new_correlation_of_two_columns_is_seen_and_named() -> None:
    together = Together(rows(latent(5_000, 0)), NAMES)
    quiet, changed = together.change(correlated(2_000, 1, 0.0)), together.change(correlated(2_000, 1, 0.8))
    assert changed.score > 3 * quiet.score
    assert changed.pair == ("x", "y")


def test_shifts_that_leave_columns_together_as_they_were_are_not_its_business() -> None:
    together = Together(correlated(5_000, 0, 0.6), NAMES)
    shifted = correlated(2_000, 1, 0.6)
    numbers = shifted.columns["x"]
    assert isinstance(numbers, Numbers)
    moved = Rows({**shifted.columns, "x": Numbers(3 * numbers.floats + 10)})
    assert together.change(moved).score == pytest.approx(together.change(shifted).score)


def test_a_category_that_starts_to_follow_a_number_is_seen() -> None:
    together = Together(rows(latent(5_000, 0)), NAMES)
    values = latent(2_000, 1)
    values[:, 3] = values[:, 0]
    assert together.change(rows(values)).pair == ("x", "town")


def test_a_draw_is_scored_against_the_rows_that_were_not_drawn() -> None:
    whole = correlated(600, 0, 0.5)
    places = np.arange(150)
    others = Together(whole.taken(np.arange(150, 600)), NAMES).change(whole.taken(places)).score
    assert Together(whole, NAMES).draw(places) == pytest.approx(others, rel=0.2)


def test_missing_constant_and_single_rows_are_taken_as_they_are() -> None:
    together = Together(rows(latent(500, 0)), NAMES)
    nothing = rows(latent(50, 1), x=Numbers(np.full(50, np.nan)), town=Categories(np.full(50, -1, np.int32), ()))
    constant = rows(latent(50, 1), y=Numbers(np.zeros(50)), town=Categories(np.zeros(50, np.int32), ("only",)))
    for strange in (nothing, constant, rows(latent(1, 1))):
        assert np.isfinite(together.change(strange).score)
