#!/usr/bin/env python3
"""Prints the configuration table in Markdown, from the code; `--write README.md` puts it between the file's marks."""

import json
import sys
from pathlib import Path

from lifecycle.config import keys

BEGIN, END = "<!-- configuration: made by scripts/config_table.py -->", "<!-- configuration: end -->"


def table() -> str:
    """One row per key: name, default as TOML writes it, meaning."""
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for section, key, default, meaning in keys():
        rows.append(f"| `[{section}] {key}` | {_toml(default)} | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def written(text: str) -> str:
    """`text` with the table between its marks. Raises ValueError when they are not there once."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}{END}{after}"


def _toml(default: object) -> str:
    if default is None:
        return "required"
    value = list(default) if isinstance(default, tuple) else default
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        target = Path(sys.argv[2])
        target.write_text(written(target.read_text()))
    else:
        sys.stdout.write(table())
