"""How the command line prints: facts as JSON or as quiet tables. Colours only at a terminal."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lifecycle.clock import to_text

console = Console(highlight=False)
notes = Console(stderr=True, highlight=False)
GAP = 2
LAST_COLUMN = 24
"""The last column may be as narrow as this, and longer words in it are folded."""
STATE_STYLES = {
    "ok": "green",
    "warning": "yellow",
    "drift": "red",
    "performance": "bold red",
    "data_quality": "magenta",
    "promoted": "green",
    "refused": "yellow",
    "failed": "red",
}


def as_json(content: object) -> None:
    """`content` on standard output, as JSON that other programs can read."""
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], onto: Console = console) -> None:
    """A table with whole words, or, where that does not fit, a record of lines for each row: nothing is cut off or left out.

    None is shown as a dash, and text is never read as markup.
    """
    content = [[cell(value) for value in row] for row in rows]
    widths = _widths(columns, content, onto.width)
    if widths is None:
        _records(title, columns, content, onto)
        return
    grid = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    grid.padding = (0, GAP, 0, 0)
    for name, width in zip(columns, widths, strict=True):
        grid.add_column(Text(name), width=width, overflow="fold")
    for row in content:
        grid.add_row(*row)
    onto.print(grid)


def _widths(columns: Sequence[str], content: Sequence[Sequence[Text]], room: int) -> list[int] | None:
    """How wide each column is, with no word broken but in the last one; None when there is not the room for that."""
    texts = [[name, *(row[place].plain for row in content)] for place, name in enumerate(columns)]
    widths = [max(map(_width, column)) for column in texts]
    least = [max(_width(word) for text in column for word in text.split() or [""]) for column in texts]
    least[-1] = min(least[-1], LAST_COLUMN)
    excess = sum(widths) + GAP * len(widths) - room
    for _ in range(excess):
        place = max(range(len(widths)), key=lambda place: (widths[place] > least[place], widths[place]))
        if widths[place] <= least[place]:
            return None
        widths[place] -= 1
    return widths


def _width(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def _records(title: str, columns: Sequence[str], content: Sequence[Sequence[Text]], onto: Console) -> None:
    if title:
        onto.print(Text(title, style="bold"))
    for row in content:
        for name, value in zip(columns, row, strict=True):
            onto.print(Text.assemble((f"{name}: ", "dim"), value), soft_wrap=True)
        onto.print()


def cell(value: object) -> Text:
    text = "-" if value is None else str(value)
    return Text(text, style=STATE_STYLES.get(text, ""))


def line(text: str = "", style: str = "") -> None:
    """One line of plain text."""
    console.print(Text(text, style=style))


def moment(microseconds: int | None) -> str | None:
    return None if microseconds is None else to_text(microseconds)


def number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
