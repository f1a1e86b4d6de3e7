"""Categories that the reference does not hold: never seen, written in another way, or of another type."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from lifecycle.records import Finding
from monitoring.quality.pairs import Pair, listed, used
from monitoring.quality.shares import Mask, Share
from monitoring.rows import Categories, Codes, Floats, Numbers

NOTEWORTHY = 0.01
"""A smaller share of rows is not looked at."""
ANOTHER_TYPE = 0.5
FEWEST_ROWS = 5
MOST_SEGMENTS = 50
NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,3})?")


def unseen(pair: Pair, surge: float) -> Iterator[Finding]:
    """Every finding on categories that are new; of a column of numbers, only when it is a segment."""
    if isinstance(pair.now, Numbers) or isinstance(pair.before, Numbers):
        if pair.is_segment and pair.measured and len(np.unique(pair.measured[0])) <= MOST_SEGMENTS:
            yield from _new_segments(pair, _Unseen.of(pair, *(_texts(side) for side in pair.measured)))
        return
    found = _Unseen.of(pair, pair.before, pair.now)
    if not found.share.exceeds(found.expected, NOTEWORTHY):
        return
    yield from _new_type(pair, found, surge)
    yield from _other_spellings(pair, found)
    yield from _new_segments(pair, found)


@dataclass(frozen=True)
class _Unseen:
    """The rows at `places` hold `names`, which the reference does not; `expected` is the share that chance explains."""

    before: Categories
    now: Categories
    places: Mask
    names: tuple[str, ...]
    known: frozenset[str]
    share: Share
    expected: Share

    @classmethod
    def of(cls, pair: Pair, before: Categories, now: Categories) -> "_Unseen":
        declared = ("true", "false") if pair.column.kind == "boolean" else pair.column.categories
        known = frozenset({*used(before), *declared})
        places = _holding(now, [name not in known for name in now.names])
        names = tuple(name for name in used(now.taken(places)) if name not in known)
        expected = _still_unseen(before, len(now), in_time_order=pair.in_time_order)
        return cls(before, now, places, names, known, pair.share_of_present(places), expected)


def _new_type(pair: Pair, found: _Unseen, surge: float) -> Iterator[Finding]:
    """One finding for the cause: texts became numbers or numbers texts; otherwise the categories are merely new."""
    if not found.share.exceeds(found.expected, surge):
        return
    now = pair.share_of_present(_are_numbers(found.now))
    before = Share.of(_are_numbers(found.before)[~found.before.missing])
    if abs(now.part - before.part) > ANOTHER_TYPE:
        words = f"{now.part:.0%} of the texts are numbers, against {before.part:.0%} in the reference"
        yield pair.finding("type_change", f"{words}: {listed(found.names)}")
        return
    words = f"{found.share.part:.0%} of the values are categories that the reference does not hold"
    usual = f"where {found.expected.part:.1%} would be usual"
    yield pair.finding("new_categories", f"{words} ({len(found.names)} of them: {listed(found.names)}), {usual}")


def _other_spellings(pair: Pair, found: _Unseen) -> Iterator[Finding]:
    """Known values in another writing: `1.0` for `1`, or ` Oslo` for `Oslo`."""
    known = {_plain(name): name for name in found.known}
    twins = {name: known[_plain(name)] for name in found.names if _plain(name) in known}
    share = pair.share_of_present(_holding(found.now, [name in twins for name in found.now.names]))
    if share.exceeds(found.expected, NOTEWORTHY):
        pairs = [f'"{new}" beside "{old}"' for new, old in twins.items()]
        words = f"{share.part:.0%} of the values are known ones, written in a way that the reference does not hold"
        yield pair.finding("two_spellings", f"{words} ({len(twins)} of them: {listed(pairs)})")


def _new_segments(pair: Pair, found: _Unseen) -> Iterator[Finding]:
    """Values of a segment column that a reference of this size would hold if they were not new."""
    if not pair.is_segment:
        return
    chance = Share(found.expected.part if pair.in_time_order else 0.0, found.expected.rows)
    codes, counts = np.unique(found.now.codes[found.places], return_counts=True)
    often = codes[np.argsort(-counts, kind="stable")][: min(MOST_SEGMENTS, int((counts >= FEWEST_ROWS).sum()))]
    shares = {code: pair.share_of_present(found.now.codes == code) for code in often.tolist()}
    new = [code for code, share in shares.items() if share.exceeds(chance, NOTEWORTHY)]
    if new:
        what = "new segment" if len(new) == 1 else f"{len(new)} new segments"
        words = f"{sum(shares[code].part for code in new):.1%} of the rows, and none in the reference"
        yield pair.finding("new_segment", f"{what} {listed([found.now.names[code] for code in new])}: {words}")


def _still_unseen(before: Categories, size: int, *, in_time_order: bool) -> Share:
    """The share of rows with categories that were not seen yet.

    Good and Turing (1953): the share of values seen once. Its variance is up to three times that of a share of as many rows
    (Robbins 1968). In order of time, also the most that as many neighbours as the window has held of what none before them did.
    """
    codes = before.codes[~before.missing]
    if not len(codes):
        return Share(0.0, 0.0)
    once = float((np.bincount(codes) == 1).sum()) / len(codes)
    at_most = _new_at_its_time(codes, size) if in_time_order else 0.0
    return Share(max(once, at_most), len(codes) / 3)


def _new_at_its_time(codes: Codes, size: int) -> float:
    """The largest share of `size` neighbours, in the later half, with categories that came up among them."""
    count = len(codes)
    first = np.full(int(codes.max()) + 1, count)
    np.minimum.at(first, codes, np.arange(count))
    size = max(1, min(size, count // 4))
    starts = range(count // 2, count - size + 1, max(1, size // 4))
    return max((float((first[codes[start : start + size]] >= start).mean()) for start in starts), default=0.0)


def _holding(values: Categories, wanted: Sequence[bool]) -> Mask:
    """Which rows hold a name that is wanted; the code of what is missing, -1, is the last."""
    return np.array([*wanted, False])[values.codes]


def _are_numbers(values: Categories) -> Mask:
    return _holding(values, [NUMBER.fullmatch(name.strip()) is not None for name in values.names])


def _plain(name: str) -> Decimal | str:
    """The same for all the ways to write a number, or a text but for its case and the blanks around it."""
    stripped = name.strip()
    return Decimal(stripped) if NUMBER.fullmatch(stripped) else stripped.casefold()


def _texts(values: Floats) -> Categories:
    """Numbers as the categories they are when rows are parted by them."""
    found, codes = np.unique(values, return_inverse=True)
    texts = tuple(f"{value:.15g}" for value in found.tolist())
    return Categories(np.where(np.isnan(values), -1, codes).astype(np.int32), texts)
