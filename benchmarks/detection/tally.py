"""What was counted, and what it says: rates with exact bounds, kept apart by reference, because windows share its chance."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.stats import beta

CONFIDENCE = 0.95
MONTH = 720
"""Windows of an hour in thirty days."""


@dataclass(frozen=True)
class Tally:
    """One verdict's alarms in one case. The lists have one entry for each reference.

    `onsets` counts alarms that begin, `alarmed` windows in alarm, and `found` runs with any alarm.
    """

    change: str
    rows: int
    reference_rows: int
    memory: float
    whole: bool
    verdict: str
    runs: int
    windows: int
    onsets: list[int]
    alarmed: list[int]
    found: list[int]

    @property
    def all_windows(self) -> int:
        return len(self.onsets) * self.runs * self.windows

    @property
    def all_runs(self) -> int:
        return len(self.onsets) * self.runs

    @property
    def monthly(self) -> float:
        """Alarms that began, in a month of hourly windows."""
        return MONTH * sum(self.onsets) / self.all_windows

    @property
    def monthly_at_most(self) -> float:
        """The upper bound of `monthly`."""
        return MONTH * upper(sum(self.onsets), self.all_windows)

    @property
    def share_in_alarm(self) -> float:
        return sum(self.alarmed) / self.all_windows

    @property
    def power(self) -> float:
        """The share of runs in which an alarm was raised."""
        return sum(self.found) / self.all_runs

    @property
    def references_that_alarm(self) -> int:
        return sum(count > 0 for count in self.onsets)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def counted(alarms: Sequence[Sequence[bool]]) -> tuple[int, int, int]:
    """Onsets, windows in alarm, and runs with any, of the runs with one reference."""
    begun = sum(now and not before for run in alarms for before, now in zip([False, *run], run, strict=False))
    return begun, sum(map(sum, alarms)), sum(map(any, alarms))


def upper(count: int, trials: int) -> float:
    """The exact one-sided upper bound of a rate, after so many of so many trials (Clopper and Pearson, 1934)."""
    return 1.0 if count >= trials else float(beta.ppf(CONFIDENCE, count + 1, trials - count))


def lower(count: int, trials: int) -> float:
    """The exact one-sided lower bound."""
    return 1 - upper(trials - count, trials)


def read(found: Iterable[Mapping[str, Any]]) -> list[Tally]:
    """From the decoded raw file."""
    return [Tally(**item) for item in found]
