"""A new folder that appears whole or not at all, whatever ends its making: an error, Ctrl-C, a full disk.

It is built hidden beside its place and renamed at the end. When the place exists already (empty), it is built inside and
moved up, so that the folder somebody stands in, or has mounted, stays the same folder.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lifecycle.errors import ProjectInvalid


@contextmanager
def new_folder(directory: Path, last: str) -> Iterator[Path]:
    """A folder to fill, which becomes `directory` when the block ends well; `last` is the entry to appear last.

    Raises ProjectInvalid when `directory` is taken or cannot be made. Whatever else the block raises passes through.
    """
    place = directory.absolute()
    _refuse_taken(directory, last)
    existing = place.exists()
    missing = [parent for parent in place.parents if not parent.exists()]
    folder = (place if existing else place.parent) / f".{place.name}-{uuid.uuid4().hex[:8]}"
    try:
        _make(folder, place)
        yield folder
        if existing:
            _move_up(folder, place, last)
        else:
            folder.rename(place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in missing:
            if parent.exists() and not any(parent.iterdir()):
                parent.rmdir()


def _refuse_taken(directory: Path, last: str) -> None:
    if directory.exists() and not directory.is_dir():
        raise ProjectInvalid(f"{directory} is a file, not a folder; name a new folder for the project")
    if directory.is_dir() and any(directory.iterdir()):
        what = "holds a project already" if (directory / last).exists() else "is not empty"
        raise ProjectInvalid(f"the folder {directory} {what}; name a new or empty folder, or remove what is in it")


def _make(folder: Path, place: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ProjectInvalid(
            f"the folder {place} cannot be made ({error.strerror or error}); check the path, its access rights and the free "
            "space"
        ) from error


def _move_up(folder: Path, place: Path, last: str) -> None:
    entries = sorted(folder.iterdir(), key=lambda entry: (entry.name == last, entry.name))
    moved: list[Path] = []
    try:
        for entry in entries:
            if os.path.lexists(place / entry.name):
                raise ProjectInvalid(
                    f"{place / entry.name} appeared while the project was made; empty the folder, and start again"
                )
            moved.append(place / entry.name)
            entry.rename(moved[-1])
    except BaseException:
        for entry in moved:
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        raise
