"""What a check looks at: one feature of a window beside the same feature of its reference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.contract import Column
from lifecycle.records import Finding
from monitoring.quality.kinds import Kind
from monitoring.quality.shares import Mask, Share, usual_share
from monitoring.rows import Categories, Floats, Rows, Values

MOST_LETTERS = 60
MOST_NAMED = 3


@dataclass(frozen=True)
class WindowFacts:
    """What the rows of one version do not tell of their window, [`start`, `end`) in microseconds since 1970.

    `rows` were answered in it by all versions; `earlier_rows` in the judged windows of the same length before it, newest first.
    """

    start: int
    end: int
    rows: int
    earlier_rows: tuple[int, ...]


@dataclass(frozen=True)
class Pair:
    """A feature `now`, among the rows of `window`, and `before`, among those of `reference`. `is_segment`: quality is looked at by it."""

    column: Column
    before: Values
    now: Values
    reference: Rows
    window: Rows
    in_time_order: bool
    is_segment: bool = False

    @property
    def measured(self) -> tuple[Floats, Floats] | None:
        """The reference's numbers and the window's; None for text, and for moments: they go on as time does."""
        if self.column.kind == "datetime" or isinstance(self.before, Categories) or isinstance(self.now, Categories):
            return None
        return self.before.floats, self.now.floats

    def share(self, places: Mask) -> Share:
        """The share of the window's rows at `places`."""
        return Share.of(places, self.window.weights)

    def share_of_present(self, places: Mask) -> Share:
        """The same of the rows that have a value."""
        present = ~self.now.missing
        weights = self.window.weights
        return Share.of(places[present], None if weights is None else weights[present])

    def usual(self, places: Mask) -> Share:
        """The share of the reference's rows at `places`: in order of time, the highest that as many rows ever had."""
        return usual_share(places, self.reference.weights, len(self.now), in_time_order=self.in_time_order)

    def finding(self, kind: Kind, words: str) -> Finding:
        return finding(self.column.name, kind, words)


def finding(column: str | None, kind: Kind, words: str) -> Finding:
    """`words` begin after the column's name."""
    return Finding(column, kind, words if column is None else f"{told(column)}: {words}")


def told(text: str) -> str:
    """A text that somebody sent, on one line and not too long."""
    short = text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}…"
    return short if short.isprintable() else repr(short)[1:-1]


def listed(texts: Sequence[str]) -> str:
    """The first few, quoted."""
    more = f" and {len(texts) - MOST_NAMED} more" if len(texts) > MOST_NAMED else ""
    return ", ".join(f'"{told(text)}"' for text in texts[:MOST_NAMED]) + more


def used(values: Categories) -> list[str]:
    """The names that rows have."""
    return [values.names[code] for code in np.flatnonzero(np.bincount(values.codes[values.codes >= 0])).tolist()]


def finite(values: Floats) -> Floats:
    """The numbers that are there, in order, without infinities."""
    return values[np.isfinite(values)]
