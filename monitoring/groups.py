"""The groups of a column: a bounded number of its values, each with a name that a person can read.

Categories, and whole numbers of which the reference holds few, are groups by themselves: the commonest of the window, the rest
together. Other numbers are grouped by the quarters of the reference. Names are made of what callers send: they are cut to
80 characters, and none can be taken for another or for a name of ours.
"""

import heapq
import re
from collections.abc import Callable
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lifecycle.clock import MICROSECONDS, to_text
from lifecycle.contract import Kind
from monitoring.rows import Categories, Floats, Numbers, Values

LONGEST = 80
FEW = 10
OTHERS, MISSING, OTHER_NUMBERS = "(others)", "(missing)", "(other numbers)"
CUT = re.compile(r"\.\.\. [0-9a-f]{16}\Z")
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
"""The years 1 to 9999, which have a date."""
MOVED = 0.01
"""The share of the reference that may change its range for the sake of a rounder bound."""

Places = npt.NDArray[np.intp]


class Groups:
    """A division of one column. `names` begin with the window's commonest; OTHERS and MISSING are last."""

    def __init__(self, reference: Values, window: Values, kind: Kind, most: int) -> None:
        """The `most` commonest values of `window` are groups; numbers are divided as `reference` is. Both are of `kind`."""
        self._named = _as_they_are if isinstance(reference, Categories) else _naming(reference, kind)
        found = self._named(window)
        counts = np.bincount(found.codes[found.codes >= 0], minlength=len(found.names)).tolist()
        present = [code for code, count in enumerate(counts) if count]
        own = heapq.nsmallest(most, present, key=lambda code: (-counts[code], found.names[code]))
        self._own = {found.names[code]: place for place, code in enumerate(own)}
        self.names = (*map(shown, self._own), OTHERS, MISSING)

    def places(self, values: Values) -> Places:
        """For each value the place of its group in `names`."""
        found, others = self._named(values), len(self._own)
        of_code = [self._own.get(name, others) for name in found.names]
        return np.array([*of_code, others + 1], dtype=np.intp)[found.codes]  # -1, the last, is what is missing


def shown(value: str) -> str:
    """`value` as a name: itself, or its beginning and digits of its own where that is too long, or a name of ours."""
    if len(value) <= LONGEST and value not in (OTHERS, MISSING) and not CUT.search(value):
        return value
    digits = blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{value[: LONGEST - 20]}... {digits}"


def _as_they_are(values: Values) -> Categories:
    assert isinstance(values, Categories), "a column keeps its kind"
    return values


def _naming(reference: Numbers, kind: Kind) -> Callable[[Values], Categories]:
    """How numbers become names of values or of ranges, from what `reference` holds."""
    finite = np.sort(reference.floats[np.isfinite(reference.floats)])
    known = np.unique(finite)
    is_few = kind != "datetime" and 0 < len(known) <= FEW and bool((known == np.floor(known)).all())
    if is_few:
        bounds, names = known, (*map(_text, known.tolist()), OTHER_NUMBERS)
    elif kind == "datetime":
        bounds = _seconds(_quarters(finite))
        names = _ranges([to_text(int(bound) * MICROSECONDS) for bound in bounds.tolist()])
    else:
        bounds = _rounded(_quarters(finite), finite)
        names = _ranges([_text(bound) for bound in bounds.tolist()])

    def named(values: Values) -> Categories:
        assert isinstance(values, Numbers), "a column keeps its kind"
        codes = np.searchsorted(bounds, values.floats, "left")
        if is_few:
            codes[~np.isin(values.floats, bounds)] = len(bounds)
        return Categories(np.where(values.missing, -1, codes).astype(np.int32), names)

    return named


def _quarters(finite: Floats) -> Floats:
    """The quartiles, without those that leave nothing above them."""
    if not len(finite):
        return finite
    found = np.unique(np.quantile(finite, [0.25, 0.5, 0.75], method="inverted_cdf"))
    return np.asarray(found[found < finite[-1]])


def _rounded(bounds: Floats, ordered: Floats) -> Floats:
    """`bounds` with as few digits as leave all but a few of the `ordered` values in their ranges."""
    below = np.searchsorted(ordered, bounds, "right")
    shorter = (np.array([float(f"{bound:.{digits}g}") for bound in bounds.tolist()]) for digits in range(2, 18))
    moved = ((found, np.abs(np.searchsorted(ordered, found, "right") - below)) for found in shorter)
    return np.unique(next(found for found, count in moved if (count <= MOVED * len(ordered)).all()))


def _seconds(bounds: Floats) -> Floats:
    return np.unique(np.floor(np.clip(bounds, FIRST_SECOND, LAST_SECOND)))


def _ranges(texts: list[str]) -> tuple[str, ...]:
    """Each range excludes its lower bound and includes its upper."""
    if not texts:
        return ("any number",)
    between = [f"{lower} to {upper}" for lower, upper in pairwise(texts)]
    return (f"<= {texts[0]}", *between, f"> {texts[-1]}")


def _text(number: float) -> str:
    return repr(number).removesuffix(".0")
