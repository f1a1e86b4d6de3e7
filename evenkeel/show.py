"""How the command line prints: facts as JSON or as quiet tables. Colours only at a terminal."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lifecycle.clock import to_text

console = Console(highlight=False)
notes = Console(stderr=True, highlight=False)
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


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table; None is shown as a dash, and text is never read as markup."""
    grid = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for name in columns[:-1]:
        grid.add_column(name, no_wrap=True)
    grid.add_column(columns[-1], overflow="fold")
    for row in rows:
        grid.add_row(*(cell(value) for value in row))
    console.print(grid)


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
