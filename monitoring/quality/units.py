"""Numbers that are those of the reference in another unit, all of them or a part.

What is asked for is overwhelming evidence: the window is clearly unlike the reference, and like it once the change is undone.
Growth or a season that happens to look like a change of unit must not be taken for one.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from lifecycle.records import Finding
from monitoring.quality.numbers import independent_rows
from monitoring.quality.pairs import Pair, finite
from monitoring.rows import Floats

MOST_ROWS = 5_000
GRID = 400
FEWEST_ROWS = 50
FEWEST_VALUES = 3
CLEAR = 0.1
"""Smallest distance from the reference that is looked at."""
UNLIKELY, LIKELY, TYPICAL = 3.3, 1.95, 1.5
"""Distances, times the square root of the rows, that chance passes once in 10^9, in 10^3, and in fifty (Smirnov 1948)."""
SLACK = 0.02
"""The world may have moved a little besides."""
FAINT, BLUNT = 0.1, 0.25
"""The distance that a change may leave however few rows there are; and one of a factor of five or more that leaves nothing in place."""
APART, FAR_APART = 0.8, 0.98
PART = 0.05
WHOLE = 0.9
NEAR = 5.0
PINNED = 1.1
ROUNDING = 1e-9


@dataclass(frozen=True)
class Change:
    """A change of unit: x becomes `factor` * x + `offset`."""

    factor: float
    words: str
    offset: float = 0.0

    @property
    def is_scale(self) -> bool:
        return self.offset == 0 and self.factor > 0

    @property
    def is_large(self) -> bool:
        return self.is_scale and not 1 / NEAR < self.factor < NEAR

    def of(self, values: Floats) -> Floats:
        return self.factor * values + self.offset


def _both_ways(factor: float, first: str, second: str) -> tuple[Change, Change]:
    ways = (f" ({first} to {second}?)", f" ({second} to {first}?)") if first else ("", "")
    return Change(factor, f"multiplied by {factor:,g}{ways[0]}"), Change(1 / factor, f"divided by {factor:,g}{ways[1]}")


CHANGES = (
    *_both_ways(10.0, "", ""),
    *_both_ways(100.0, "shares", "per cent"),
    *_both_ways(1_000.0, "thousands", "ones"),
    *_both_ways(1e6, "millions", "ones"),
    *_both_ways(60.0, "minutes", "seconds"),
    *_both_ways(24.0, "days", "hours"),
    *_both_ways(2.54, "inches", "centimetres"),
    *_both_ways(0.3048, "feet", "metres"),
    *_both_ways(0.4536, "pounds", "kilograms"),
    *_both_ways(1.609344, "miles", "kilometres"),
    Change(1.8, "turned from Celsius to Fahrenheit (1.8 x + 32)", 32.0),
    Change(1 / 1.8, "turned from Fahrenheit to Celsius", -32.0 / 1.8),
    Change(1.0, "turned from Celsius to kelvin", 273.15),
    Change(1.0, "turned from kelvin to Celsius", -273.15),
    Change(-1.0, "given the other sign"),
)


def unit_change(pair: Pair) -> tuple[Finding, ...]:
    """One finding with the change that fits best, if one fits; none for moments, and for columns of one or two values."""
    before, now = (_thinned(finite(side)) for side in pair.measured or (np.empty(0), np.empty(0)))
    careless = _Compared(np.sort(before), np.sort(now), len(before), len(now))
    if not (careless.is_unlike or careless.magnitudes().is_unlike) or len(np.unique(before)) < FEWEST_VALUES:
        return ()  # nearly always: the rest is dear
    independent = independent_rows(before) if pair.in_time_order else len(before)
    compared = replace(careless, before_rows=independent, now_rows=independent_rows(now))
    best = min(compared.fits(), key=lambda fit: fit.distance, default=None)
    if best is None or not best.is_overwhelming:
        return ()
    many = "the numbers are" if best.part == 1 else f"{best.part:.0%} of the numbers are"
    evidence = f"distance to the reference {best.apart:.2f}, and {best.distance:.2f} once that is undone"
    return (pair.finding("unit_change", f"{many} as if {best.change.words}: {evidence}"),)


@dataclass(frozen=True)
class _Compared:
    """A reference and a window, each in order of size, and how many independent rows each is worth."""

    before: Floats
    now: Floats
    before_rows: float
    now_rows: float

    @property
    def noise(self) -> float:
        return math.sqrt(1 / max(self.before_rows, 1.0) + 1 / max(self.now_rows, 1.0))

    @property
    def is_unlike(self) -> bool:
        """Whether there is anything clear to explain."""
        if min(len(self.before), len(self.now)) < FEWEST_ROWS:
            return False
        return _distance(self.before, self.now) >= max(CLEAR, UNLIKELY * self.noise)

    def magnitudes(self) -> "_Compared":
        """Both without zeros and signs, which say nothing of a scale."""
        before, now = (np.sort(np.abs(side[side != 0])) for side in (self.before, self.now))
        shares = len(before) / max(len(self.before), 1), len(now) / max(len(self.now), 1)
        return _Compared(before, now, self.before_rows * shares[0], self.now_rows * shares[1])

    def fits(self) -> "list[_Fit]":
        """How well each change explains the window; scales are looked at by magnitude."""
        sizes = self.magnitudes()
        whole = [self.fit(change) for change in CHANGES if not change.is_scale] if self.is_unlike else []
        return whole + ([sizes.fit(change) for change in CHANGES if change.is_scale] if sizes.is_unlike else [])

    def fit(self, change: Change) -> "_Fit":
        """How well `change` explains the window, of all rows or of a part."""
        changed = np.sort(change.of(self.before))
        grid = np.concatenate([_thinned(side, GRID) for side in (self.before, self.now, changed)])
        usual, found, wanted = (_below(side, grid) for side in (self.before, self.now, changed))
        apart, between, whole = (
            _largest(one - other) for one, other in ((found, usual), (wanted, usual), (found, wanted))
        )
        if whole < LIKELY * self.noise:
            return _Fit(self, change, 1.0, whole, apart, between)
        part = _part(found - usual, wanted - usual)
        return _Fit(self, change, part, _largest(found - usual - part * (wanted - usual)), apart, between)


@dataclass(frozen=True)
class _Fit:
    """`change` of `part` of the rows explains the window to `distance`, where it is `apart` from the reference.

    All of the reference, changed, is `between` from what it was.
    """

    compared: _Compared
    change: Change
    part: float
    distance: float
    apart: float
    between: float

    @property
    def is_overwhelming(self) -> bool:
        """Whether nothing but the change is likely to look so."""
        noise = self.compared.noise
        likely, far_apart = LIKELY * noise, self.between > FAR_APART
        if self.distance > self.apart / 2:
            return False
        if self.part < 1:
            limit = likely + SLACK if self.change.is_large else likely
            return self.part > PART and far_apart and self.distance < min(limit, self.part / 3, FAINT)
        if self.change.is_large:
            return self.distance < min(likely + SLACK, BLUNT if far_apart else FAINT)
        if self.change.is_scale:
            return self.distance < min(TYPICAL * noise, FAINT) and self._is_pinned
        return self.distance < min(likely, FAINT) and self.between > (APART if self.change.factor > 0 else FAR_APART)

    @property
    def _is_pinned(self) -> bool:
        """Whether a factor a tenth larger or smaller would fit clearly worse: if not, growth explains as much."""
        sides, clearly = self.compared, self.distance + LIKELY * self.compared.noise
        others = (self.change.factor * PINNED, self.change.factor / PINNED)
        return all(_distance(other * sides.before, sides.now) > clearly for other in others)


def _part(found: Floats, wanted: Floats) -> float:
    """The share of changed rows that explains `found` best (least squares); 1 when it is nearly all."""
    part = float(found @ wanted) / max(float(wanted @ wanted), 1e-12)
    return 1.0 if part > WHOLE else max(part, 0.0)


def _distance(before: Floats, now: Floats) -> float:
    """The Kolmogorov-Smirnov distance of two samples in order of size."""
    grid = np.concatenate([before, now])
    return _largest(_below(before, grid) - _below(now, grid))


def _below(values: Floats, grid: Floats) -> Floats:
    """The share of `values`, in order of size, up to each place, and a hair beyond: multiplying rounds."""
    return np.searchsorted(values, grid + ROUNDING * np.abs(grid), side="right") / len(values)


def _largest(differences: Floats) -> float:
    return float(np.abs(differences).max())


def _thinned(values: Floats, most: int = MOST_ROWS) -> Floats:
    """At most `most` of them, evenly spread, in order."""
    return values if len(values) <= most else values[np.linspace(0, len(values) - 1, most).astype(np.intp)]
