"""What is asked of ours, and whether it was met."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.detection.cases import MEMORIES
from benchmarks.detection.measure import VERDICT
from benchmarks.detection.tally import MONTH, Tally, lower, upper
from benchmarks.detection.traffic import CHANGES, CORRELATION, NOTHING, SHIFT, SMALL_SHIFT

BUDGET = 1.0
"""False alarms a month: what `false_alarms_per_month` is when nobody sets it."""
POWER = 0.99
FOUND = {SHIFT: 500, SMALL_SHIFT: 10_000, CORRELATION: 2_000}
"""The rows of a window in which a change is to be found when rows are independent."""


@dataclass(frozen=True)
class Goal:
    what: str
    wanted: str
    measured: str
    met: str


def judge(tallies: Sequence[Tally]) -> Iterator[Goal]:
    """Goals of which something was measured."""
    ours = [tally for tally in tallies if tally.verdict == VERDICT]
    for memory in MEMORIES:
        nulls = [tally for tally in ours if tally.change == NOTHING and tally.memory == memory]
        if nulls:
            yield _quiet(memory, nulls)
            yield from (_case(tally) for tally in nulls if tally.monthly_at_most > BUDGET)
    for change, rows in FOUND.items():
        for tally in ours:
            if (tally.change, tally.rows, tally.memory) == (change, rows, 0.0):
                yield _found(tally)


def _quiet(memory: float, nulls: Sequence[Tally]) -> Goal:
    begun, windows = sum(sum(tally.onsets) for tally in nulls), sum(tally.all_windows for tally in nulls)
    most = MONTH * upper(begun, windows)
    return Goal(
        f"false alarms a month, all sizes, neighbouring rows correlated by {memory:g}",
        f"at most {BUDGET:g} with 95 % confidence",
        f"{begun} in {windows:,} windows, so at most {most:.2f}",
        _kept(MONTH * begun / windows, most),
    )


def _case(tally: Tally) -> Goal:
    return Goal(
        f"the same in windows of {tally.rows:,} rows against {tally.reference_rows:,}{', labels and all' if tally.whole else ''}",
        f"at most {BUDGET:g} with 95 % confidence",
        f"{sum(tally.onsets)} in {tally.all_windows:,} windows, so at most {tally.monthly_at_most:.2f}",
        _kept(tally.monthly, tally.monthly_at_most),
    )


def _kept(monthly: float, most: float) -> str:
    """Too few windows cannot show that a budget is kept."""
    if most <= BUDGET:
        return "yes"
    return "too few windows to tell" if monthly <= BUDGET else "**no**"


def _found(tally: Tally) -> Goal:
    least = lower(sum(tally.found), tally.all_runs)
    return Goal(
        f"{CHANGES[tally.change].words}, found within 2 windows of {tally.rows:,} rows against {tally.reference_rows:,}",
        f"at least {POWER:.0%}",
        f"{tally.power:.1%} of {tally.all_runs} (at least {least:.1%} with 95 % confidence)",
        "yes" if tally.power >= POWER else "**no**",
    )
