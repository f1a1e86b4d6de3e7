"""The gap between probabilities and what came true, as the drift series of calibration takes it."""

import numpy as np
import pytest

from monitoring.performance import calibration_gap
from monitoring.rows import Categories, Floats
from tests.unit.monitoring.performing import named

CLASSES = ("no", "yes")


def answered(rows: int, seed: int, sharpened: float = 1.0) -> tuple[Categories, dict[str, Floats]]:
    """Labels, and probabilities whose log odds are `sharpened` times what they should be."""
    random = np.random.default_rng(seed)
    odds = random.normal(0, 1.5, rows)
    yes = 1 / (1 + np.exp(-sharpened * odds))
    return named(random.random(rows) < 1 / (1 + np.exp(-odds))), {"no": 1 - yes, "yes": yes}


def gap(rows: int, seed: int, sharpened: float = 1.0) -> float:
    return calibration_gap(*answered(rows, seed, sharpened), CLASSES)


@pytest.mark.parametrize("rows", [100, 1_000])
def test_overconfidence_stands_out_from_what_fits(rows: int) -> None:
    fits, wrong = ([gap(rows, seed, sharpened) for seed in range(30)] for sharpened in (1.0, 4.0))
    assert np.median(fits) < 0.05
    assert np.median(wrong) > 0.12


def test_rows_without_label_or_probability_take_no_part() -> None:
    labels, given = answered(200, 0)
    more = Categories(np.concatenate([labels.codes, [-1, 0]]).astype(np.int32), CLASSES)
    longer = {name: np.concatenate([values, [1.0, np.nan]]) for name, values in given.items()}
    assert calibration_gap(more, longer, CLASSES) == calibration_gap(labels, given, CLASSES)


def test_what_is_no_probability_is_taken_as_the_nearest() -> None:
    given = {"no": np.array([-np.inf, 0.0]), "yes": np.array([np.inf, 7.0])}
    assert calibration_gap(named([True, True]), given, CLASSES) == 0.0
    assert calibration_gap(named([False, False]), given, CLASSES) == 1.0


@pytest.mark.parametrize("given", [{}, {"no": np.ones(2)}, {"no": np.ones(2), "yes": np.full(2, np.nan)}])
def test_without_probabilities_the_reason_is_said(given: dict[str, Floats]) -> None:
    with pytest.raises(ValueError, match="has no"):
        calibration_gap(named([True, False]), given, CLASSES)


def test_no_labels_are_said_too() -> None:
    labels = Categories(np.array([-1], dtype=np.int32), CLASSES)
    with pytest.raises(ValueError, match="no row with both"):
        calibration_gap(labels, {"no": np.ones(1), "yes": np.zeros(1)}, CLASSES)
