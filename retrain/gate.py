"""The gate: challengers against the champion and a trivial predictor on rows that none of them was trained on.

A challenger passes when its mean loss is lower than the champion's by the configured share, the paired bootstrap
interval of the difference (Efron and Tibshirani 1993, percentile) excludes no gain, and it beats the trivial predictor.
A refusal is a decision with reasons, not an error.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

DRAWS = 1_000
LOWER_QUANTILE = 0.05
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Decision:
    """What the gate decided, every number it looked at, and why."""

    promote: bool
    challenger: str
    reasons: tuple[str, ...]
    holdout_rows: int
    losses: Mapping[str, float]
    improvement: float
    improvement_low: float
    improvement_high: float

    def describe(self) -> dict[str, Any]:
        return asdict(self) | {"outcome": "promoted" if self.promote else "refused"}


def decide(
    champion: Floats, challengers: Mapping[str, Floats], trivial: Floats, *, minimum_improvement: float, seed: int
) -> Decision:
    """Judge the best of `challengers` by the per-row losses of each, all on the same rows in the same order.

    `improvement` is the champion's mean loss less the challenger's, as a share of the champion's; the interval is the
    two-sided 90 % one. A loss that is not a number beats nothing and is beaten by nothing.
    """
    name = min(challengers, key=lambda key: float(np.nan_to_num(challengers[key].mean(), nan=np.inf)))
    challenger = challengers[name]
    before, after, nothing = (float(values.mean()) for values in (champion, challenger, trivial))
    low, high = _interval(champion - challenger, seed)
    scale = before if before > 0 else 1.0
    improvement = (before - after) / scale
    refusals: list[str] = []
    if not improvement >= minimum_improvement:  # said so, because every comparison with NaN is false
        refusals.append(f"its loss {after:.4g} is not {minimum_improvement:.0%} below the champion's {before:.4g}")
    if not low > 0:
        refusals.append(f"the gain is not certain: its 90 % interval is {low / scale:.1%} to {high / scale:.1%}")
    if not after < nothing:
        refusals.append(f"its loss {after:.4g} is no better than {nothing:.4g} of a trivial predictor")
    accepted = f"its loss {after:.4g} is {improvement:.1%} below the champion's {before:.4g} (90 % interval {low / scale:.1%} to {high / scale:.1%})"
    losses = {"champion": before, "trivial": nothing} | {
        key: float(values.mean()) for key, values in challengers.items()
    }
    return Decision(
        promote=not refusals,
        challenger=name,
        reasons=tuple(refusals) or (accepted,),
        holdout_rows=len(champion),
        losses=losses,
        improvement=improvement,
        improvement_low=low / scale,
        improvement_high=high / scale,
    )


def _interval(differences: Floats, seed: int) -> tuple[float, float]:
    random = np.random.default_rng(seed)
    rows = len(differences)
    means = np.array([differences[random.integers(0, rows, rows)].mean() for _ in range(DRAWS)])
    low, high = np.quantile(means, [LOWER_QUANTILE, 1 - LOWER_QUANTILE])
    return float(low), float(high)
