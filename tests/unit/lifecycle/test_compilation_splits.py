"""Splits: thresholds and sets of codes decide exactly as the trees they come from."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.compilation.splits import below, in_set
from lifecycle.compilation.trees import as_float32_thresholds

SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)
SHARES = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])


def _decides_alike(threshold: float, value: float) -> bool:
    folded = as_float32_thresholds(np.array([threshold]))[0]
    return bool((np.float64(np.float32(value)) <= threshold) == (value <= folded))


@settings(max_examples=200, deadline=None)
@given(SINGLE, SHARES, SHARES, st.integers(-2, 2))
def test_a_double_decides_at_the_folded_threshold_as_its_rounded_self_does(
    number: float, threshold_share: float, value_share: float, steps: int
) -> None:
    """Thresholds and values between two neighbours of single precision, in the middle, and right beside it."""
    with np.errstate(over="ignore"):
        low, high = float(number), float(np.nextafter(np.float32(number), np.float32(np.inf)))
    if not np.isfinite(high):
        return
    threshold = low + (high - low) * threshold_share
    value = low + (high - low) * value_share
    for _ in range(abs(steps)):
        value = float(np.nextafter(value, np.inf * np.sign(steps)))
    assert _decides_alike(threshold, value)


def test_an_unfolded_threshold_would_decide_otherwise() -> None:
    low = 1.0
    high = float(np.nextafter(np.float32(1), np.float32(2)))
    threshold, value = low, low + (high - low) / 4  # rounds down to the threshold, but is above it
    assert np.float64(np.float32(value)) <= threshold < value
    assert _decides_alike(threshold, value)


def test_missing_goes_where_the_split_says() -> None:
    values = np.array([1.0, 2.0, np.nan])
    assert below(values, 1.5, missing_left=True).tolist() == [True, False, True]
    assert below(values, 1.5, missing_left=False).tolist() == [True, False, False]


def test_a_category_that_the_trees_never_saw_goes_with_missing() -> None:
    members, known = [0b0010, *[0] * 7], [0b0110, *[0] * 7]
    values = np.array([1.0, 2.0, 3.0, -1.0, np.nan])
    assert in_set(values, members, known, missing_left=True).tolist() == [True, False, True, True, True]
    assert in_set(values, members, known, missing_left=False).tolist() == [True, False, False, False, False]
