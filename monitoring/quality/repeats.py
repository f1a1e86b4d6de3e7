"""Rows that repeat other rows of their window."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from lifecycle.records import Finding
from monitoring.quality.pairs import finding
from monitoring.quality.shares import EVIDENCE, Share
from monitoring.rows import Numbers, Rows, Values

Keys = npt.NDArray[np.uint64]
SURGE = 0.2
ORDINARY = 0.1
"""Rows so coarse that more of the reference's repeat each other say nothing by repeating."""
FEWEST_ROWS = 30
MIXER, SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)


def repeated(reference: Rows, window: Rows, names: Sequence[str]) -> Iterator[Finding]:
    """Many rows that are equal in every feature, where blocks of as many rows of the reference hold next to none."""
    told = [name for name in names if not window.columns[name].missing.all()]
    if not told or min(len(reference), len(window)) < FEWEST_ROWS:
        return
    before, now = row_keys(reference, told), row_keys(window, told)
    size = _size(before, len(now))
    usual = max(_shares(before, min(size, len(before))))
    share = float(np.mean(_shares(now, size)))
    if usual <= ORDINARY and Share(share, len(now)).exceeds(Share(usual, len(before)), SURGE):
        yield finding(None, "duplicated_rows", f"{_what(now, share)}, against at most {usual:.1%} in the reference")


def row_keys(rows: Rows, names: Sequence[str]) -> Keys:
    """One number per row, the same for rows that are equal in the columns `names`; what is missing equals what is missing."""
    keys = np.zeros(len(rows), dtype=np.uint64)
    for name in names:
        keys ^= _bits(rows.columns[name])
        keys *= MIXER
        keys ^= keys >> SHIFT
    return keys


def _bits(values: Values) -> Keys:
    """The values' own bits, but one pattern for all that is missing, and one for zero of either sign."""
    if isinstance(values, Numbers):
        return np.where(values.missing, np.nan, values.floats + 0.0).view(np.uint64)
    return values.codes.astype(np.int64).view(np.uint64)


def _size(before: Keys, rows: int) -> int:
    """How many rows are compared at a time: rows repeat the more, the more of them there are.

    All of the window, when the reference is free of repeats and long enough for that to hold for as many rows (by the
    birthday problem); otherwise no more than the reference has.
    """
    telling = len(before) ** 2 / (EVIDENCE / ORDINARY)
    return rows if rows <= len(before) or (rows <= telling and not _repeats(before)) else len(before)


def _shares(keys: Keys, size: int) -> list[float]:
    """The share of rows that repeat another one, block after block of `size` rows."""
    return [_repeats(keys[start : start + size]) for start in range(0, len(keys) - size + 1, size)]


def _repeats(keys: Keys) -> float:
    ordered = np.sort(keys)
    return float((ordered[1:] == ordered[:-1]).sum()) / len(keys)


def _what(keys: Keys, share: float) -> str:
    found, counts = np.unique(keys, return_counts=True)
    most = int(counts.max())
    if most > share * len(keys) / 2:
        return f"one and the same row makes up {most / len(keys):.0%} of the window, and {share:.0%} of the rows repeat another one"
    return f"{share:.0%} of the rows repeat another one ({len(found)} different ones among {len(keys)})"
