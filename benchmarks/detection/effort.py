"""How much of each case every product is asked: false alarms of ours are rare, so they need many windows to be seen."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.detection.cases import LOOKS, Case

OURS, EVIDENTLY, NANNYML = "evenkeel", "evidently", "nannyml"
PRODUCTS = (OURS, EVIDENTLY, NANNYML)


@dataclass(frozen=True)
class Effort:
    """With each reference so many runs, of so many windows one after another."""

    runs: int
    windows: int


@dataclass(frozen=True)
class Plan:
    """References of a product; windows of all of them together where nothing has changed, by rows; and changes of all."""

    references: int
    windows: Mapping[int, int]
    changes: int


PLANS = {
    OURS: Plan(25, {100: 8_000, 500: 8_000, 2_000: 5_000, 10_000: 3_000}, 400),
    EVIDENTLY: Plan(5, {100: 300, 500: 300, 2_000: 200, 10_000: 100}, 50),
    NANNYML: Plan(10, {100: 1_000, 500: 500, 2_000: 300, 10_000: 200}, 100),
}
"""With 2,156 windows and no alarm the upper bound of the rate is 1 in 720; with an alarm now and then it takes more."""
WHOLE = 2_200
"""Windows of which everything is looked at, which takes longer."""


def effort(case: Case, product: str) -> Effort | None:
    """None where the product cannot say anything.

    NannyML's thresholds are of the spread of the reference's own windows, of which there must be two; and whole cases
    are of what ours alone looks at.
    """
    if product != OURS and case.whole:
        return None
    if product == NANNYML and case.world.reference_rows < 2 * case.rows:
        return None
    plan = PLANS[product]
    if case.is_null:
        return Effort(1, (WHOLE if case.whole else plan.windows[case.rows]) // plan.references)
    return Effort(plan.changes // plan.references, LOOKS)
