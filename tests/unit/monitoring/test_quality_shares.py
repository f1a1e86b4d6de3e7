"""A share exceeds another only when that is no chance."""

import math

import numpy as np
import pytest

from monitoring.quality.shares import Share, usual_share


class Careless(Share):
    """Takes shares for what they would be over endlessly many rows."""

    def exceeds(self, usual: Share, least: float) -> bool:
        return self.part - usual.part > least


def alarms(kind: type[Share]) -> int:
    """Pairs of a hundred draws each, of equal shares, in which one exceeds the other."""
    random = np.random.default_rng(0)
    pairs = random.binomial(100, 0.5, (20_000, 2)) / 100
    return sum(kind(now, 100).exceeds(kind(usual, 100), 0.2) for now, usual in pairs.tolist())


def test_chance_is_no_surge() -> None:
    assert alarms(Share) == 0
    assert alarms(Careless) > 10


@pytest.mark.parametrize(
    ("now", "usual", "is_surge"),
    [
        (Share(0.5, 100), Share(0.0, 2_000), True),
        (Share(0.25, 100), Share(0.01, 2_000), True),
        (Share(0.19, 10_000), Share(0.0, 2_000), False),
        (Share(1.0, 1), Share(0.0, 2_000), False),
        (Share(1.0, 100), Share(1.0, 100), False),
        (Share(0.0, 0), Share(0.0, 0), False),
        (Share(math.nan, 0), Share(0.0, 10), False),
    ],
)
def test_a_surge_is_large_and_certain(now: Share, usual: Share, *, is_surge: bool) -> None:
    assert now.exceeds(usual, 0.2) is is_surge


def test_weights_count_rows_for_what_they_stand_for() -> None:
    share = Share.of(np.array([True, False, False]), np.array([2.0, 1.0, 1.0]))
    assert share.part == 0.5
    assert share.rows == pytest.approx(16 / 6)


def test_in_order_of_time_the_worst_block_is_usual() -> None:
    """The broken variant knows the whole reference only, and would call every outage like it a surge."""
    outage = np.zeros(1_000, dtype=np.bool_)
    outage[300:400] = True
    assert usual_share(outage, None, 100, in_time_order=True).part == 1.0
    assert usual_share(outage, None, 200, in_time_order=True).part == 0.5
    assert usual_share(outage, None, 5_000, in_time_order=True).part == 0.1
    assert usual_share(outage, None, 100, in_time_order=False).part == 0.1
    assert usual_share(outage[:0], None, 100, in_time_order=True) == Share(0.0, 0.0)
