"""Columns that stand still and did not, and columns that move and did not."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lifecycle.records import Finding
from monitoring.quality.pairs import Pair, told, used
from monitoring.quality.shares import EVIDENCE, Mask, Share
from monitoring.rows import Categories, Floats, Integers, Values

FEWEST_ROWS = 30
"""Fewer values on either side say nothing of standing still."""
FEWEST_MOVES = 5
SMALLEST_MOVE = 0.01


def constant_moved(pair: Pair) -> Iterator[Finding]:
    """The reference holds one value, or none, and more rows have another than chance could have kept from it."""
    held = _held(pair.before)
    if len(held) > 1 or not len(pair.before):
        return
    moved = ~pair.now.missing & ~_is(pair.now, held)
    share = pair.share(moved) if not held else pair.share_of_present(moved)
    seen = len(pair.before) if not held else int((~pair.before.missing).sum())
    if moved.sum() >= FEWEST_MOVES and share.exceeds(Share(0.0, seen), SMALLEST_MOVE):
        always = f"only {_text(held[0])}" if held else "no value"
        words = (
            f"{share.part:.0%} of the values are others, where the reference holds {always} in {len(pair.before)} rows"
        )
        yield pair.finding("constant_moved", words)


def frozen(pair: Pair) -> Iterator[Finding]:
    """A measured number that stands still for most of the window, and longer than chance and the reference's own pauses explain.

    Where the reference is in no order of time, only a column whose values mostly differ can be told from one that moves slowly.
    """
    if pair.measured is None:
        return
    here, there = ~pair.now.missing, ~pair.before.missing
    known, values = pair.measured[0][there], pair.measured[1][here]
    if len(values) < FEWEST_ROWS or len(known) < FEWEST_ROWS:
        return
    stuck = _in_the_middle(values, _at(pair.window.at, here))
    is_long = stuck.rows >= max(FEWEST_ROWS, len(values) / 2) and _beyond_chance(stuck, len(values), known)
    if not (is_long and math.isfinite(stuck.value)):
        return
    if otherwise := _otherwise(pair, known, there, stuck):
        words = f"{stuck.rows} of {len(values)} values, one after the other, are {stuck.value:.4g}"
        yield pair.finding("frozen", f"{words}, where the reference {otherwise} rows")


@dataclass(frozen=True)
class _Run:
    """Equal values one after the other: how many, which, and for how many microseconds (0 where moments are not known)."""

    rows: int
    value: float
    duration: int


def _otherwise(pair: Pair, known: Floats, there: Mask, stuck: _Run) -> str:
    """How the reference moves; empty where it stands still about as long, in rows or in time, or may do so unseen."""
    if not pair.in_time_order:
        different = len(np.unique(known))
        return f"holds {different} different ones in {len(known)}" if different >= len(known) / 2 else ""
    usual = _longest(known, _at(pair.reference.at, there))
    if 2 * usual.rows >= stuck.rows or usual.duration >= stuck.duration > 0:
        return ""
    return f"never holds a value for more than {usual.rows}"


def _in_the_middle(values: Floats, at: Integers | None) -> _Run:
    """The run that the value in the middle belongs to, as one of more than half of the values does."""
    middle = len(values) // 2
    differs = values != values[middle]
    before, after = np.flatnonzero(differs[:middle]), np.flatnonzero(differs[middle:])
    begin = int(before[-1]) + 1 if len(before) else 0
    end = middle + int(after[0]) if len(after) else len(values)
    return _Run(end - begin, float(values[middle]), 0 if at is None else int(at[end - 1] - at[begin]))


def _longest(values: Floats, at: Integers | None) -> _Run:
    """The longest run in rows, with the duration of the one that lasts longest."""
    begins = np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1])
    ends = np.append(begins[1:], len(values))
    longest = int(np.argmax(ends - begins))
    lasted = 0 if at is None else int((at[ends - 1] - at[begins]).max())
    return _Run(int(ends[longest] - begins[longest]), float(values[begins[longest]]), lasted)


def _beyond_chance(run: _Run, rows: int, known: Floats) -> bool:
    """Whether independent draws from the reference would hardly ever give such a run (Erdős and Rényi 1970)."""
    most = (int((known == run.value).sum()) + FEWEST_MOVES) / (len(known) + FEWEST_MOVES)
    return run.rows * -math.log(most) > EVIDENCE + math.log(rows)


def _at(at: Integers | None, places: Mask) -> Integers | None:
    return None if at is None else at[places]


def _held(values: Values) -> list[float] | list[str]:
    """The first two different values that are there."""
    if isinstance(values, Categories):
        return used(values)[:2]
    present = values.floats[~values.missing]
    return np.unique([present.min(), present.max()]).tolist() if len(present) else []


def _is(values: Values, held: list[float] | list[str]) -> Mask:
    """Which rows have one of the values in `held`."""
    if isinstance(values, Categories):
        wanted = [place for place, name in enumerate(values.names) if name in held]
        return np.isin(values.codes, wanted)
    return np.isin(values.floats, np.asarray(held, dtype=np.float64))


def _text(value: float | str) -> str:
    return f'"{told(value)}"' if isinstance(value, str) else f"{value:.4g}"
