"""Snapshots that this project keeps in an Evidently workspace: one for each page that is kept, and none besides.

Their names tell the window and whose they are, so that they can be found and removed without Evidently. Others' stay.
"""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

_MARK_BITS, _STEP_BITS = 62, 12


@dataclass(frozen=True)
class Workspace:
    """The workspace in `folder`, as far as it holds snapshots of the project in `project`."""

    folder: Path
    project: Path

    def keep_only(self, starts: Collection[int]) -> int:
        """Remove the project's snapshots of all windows but those that start at one of `starts`; returns how many went."""
        return keep_only(self.folder, self.project, starts)


def identifier(project: Path, start: int) -> UUID:
    """What the window that starts at `start` (microseconds since 1970) is called: a UUID of version 7 (RFC 9562) of that moment.

    Its random bits are the rest of the microseconds and a mark of the project's folder.
    """
    milliseconds, rest = divmod(start, 1_000)
    return UUID(int=milliseconds << 80 | 7 << 76 | rest << 64 | 2 << _MARK_BITS | _mark(project))


def keep_only(workspace: Path, project: Path, starts: Collection[int]) -> int:
    """Remove the project's snapshots of all windows but those that start at one of `starts`; returns how many went."""
    others = [path for start, path in snapshots(workspace, project) if start not in starts]
    for path in others:
        path.unlink(missing_ok=True)
    return len(others)


def snapshots(workspace: Path, project: Path) -> Iterator[tuple[int, Path]]:
    """The start of the window and the file of each of the project's snapshots."""
    for path in workspace.glob("*/snapshots/*.json"):
        start = _start(path.stem)
        if start is not None and identifier(project, start) == UUID(path.stem):
            yield start, path


def _start(name: str) -> int | None:
    try:
        number = UUID(name).int
    except ValueError:
        return None
    return (number >> 80) * 1_000 + (number >> 64 & (1 << _STEP_BITS) - 1)


def _mark(project: Path) -> int:
    return int.from_bytes(hashlib.sha256(str(project).encode()).digest()[:8]) & (1 << _MARK_BITS) - 1
