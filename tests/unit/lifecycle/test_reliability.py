"""Whether probabilities fit: errors that are there are found, and few rows do not look like errors."""

import numpy as np
import pytest

from lifecycle.reliability import Reliability


def bets(rows: int, seed: int, lower: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, and wins that come `lower` less often."""
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.5, 1.0, rows)
    return confidence, (random.random(rows) < confidence - lower).astype(np.float64)


def test_errors_by_hand() -> None:
    confidence, won = np.repeat([0.6, 0.9], 25), np.repeat([1.0, 0.0], 25)
    found = Reliability.of(confidence, won)
    assert found.error == pytest.approx((0.4 + 0.9) / 2)
    assert found.gap == pytest.approx(np.sqrt((0.4**2 + 0.9**2) / 2))


@pytest.mark.parametrize("rows", [50, 200, 1_000])
def test_the_gap_of_fitting_probabilities_is_about_nought_however_few_the_rows(rows: int) -> None:
    found = [Reliability.of(*bets(rows, seed)) for seed in range(200)]
    squares = np.array([one.shares @ (one.excesses**2 - one.chances) for one in found])
    plain = np.array([one.shares @ one.excesses**2 for one in found])
    assert abs(squares.mean()) < 4 * squares.std() / np.sqrt(len(squares))
    assert plain.mean() > 10 * plain.std() / np.sqrt(len(plain)), (
        "what chance adds would be seen, were it not taken off"
    )


def test_overconfidence_is_found() -> None:
    assert Reliability.of(*bets(2_000, 0, lower=0.2)).gap == pytest.approx(0.2, abs=0.04)


def test_rows_count_as_often_as_they_stand_for_others() -> None:
    confidence, won = np.array([0.5, 1.0]), np.array([0.0, 1.0])
    assert Reliability.of(confidence, won, np.array([3.0, 1.0])).error == pytest.approx(0.375)


def test_one_row_has_no_gap_of_which_chance_is_no_part() -> None:
    assert Reliability.of(np.array([0.5]), np.array([1.0])).gap == 0.5
