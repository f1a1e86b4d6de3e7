"""How the files of the append side are named: by writer and number, and once they are sealed by their size, so that a lost end shows."""

import re
from pathlib import Path
from typing import Final, NamedTuple

OPEN: Final = ".open"
SEALED: Final = ".seg"
SEGMENTS: Final = "segments"
"""The folder of segments, in that of the feature log."""
_FORM = re.compile(rf"[0-9a-z-]+\.[0-9]{{10,18}}(\.[0-9]{{1,18}})?({re.escape(OPEN)}|{re.escape(SEALED)})")


class SegmentName(NamedTuple):
    """What a name says: whose segment it is, which one of theirs, and the bytes it was sealed with (None when it does not say)."""

    writer: str
    sequence: int
    size: int | None = None


def open_name(writer: str, sequence: int) -> str:
    return f"{writer}.{sequence:010d}{OPEN}"


def sealed(path: Path, size: int) -> Path:
    """Where the segment at `path` belongs once it is sealed with `size` bytes."""
    writer, sequence, _ = parsed(path.name)
    return path.with_name(f"{writer}.{sequence:010d}.{size}{SEALED}")


def is_segment(name: str) -> bool:
    """Whether a segment may have this name; whatever else lies in the folder is nobody's to fold."""
    return _FORM.fullmatch(name) is not None


def parsed(name: str) -> SegmentName:
    """The parts of a segment's name, open or sealed. Raises ValueError for any other."""
    writer, sequence, *size = name.rsplit(".", 1)[0].split(".")
    return SegmentName(writer, int(sequence), *map(int, size))
