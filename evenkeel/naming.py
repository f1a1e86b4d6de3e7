"""Names of models: the one asked for, or one made from the project folder's name."""

import re
from pathlib import Path

from lifecycle.errors import ProjectInvalid

FORM = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


def model_name(asked: str | None, directory: Path) -> str:
    """`asked`, or the folder's name with what a name may not hold left out. Raises ProjectInvalid when `asked` is no name."""
    if asked is not None:
        if not FORM.fullmatch(asked):
            raise ProjectInvalid(
                f"--name {asked[:80]!r} is not a model name; use a letter, then up to 62 letters, digits, - or _"
            )
        return asked
    kept = re.sub(r"[^A-Za-z0-9_-]+", "-", directory.absolute().name).strip("-_")[:63]
    return kept if FORM.fullmatch(kept) else "model"
