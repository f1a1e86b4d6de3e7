"""One segment while it is written: which of its bytes are sound, which are on disk, and who waits for that."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.feature_log import frames
from lifecycle.feature_log.files import File


@dataclass(eq=False, slots=True)
class Segment:
    """A file that is open for appending. `size` are its sound bytes, `synced` those that are known to be on disk.

    `named` says whether its name is on disk too, `waiting` are done when all is. A segment that is `torn` has a part
    of a frame behind its sound bytes.
    """

    path: Path
    file: File
    opened_at: int
    size: int = 0
    synced: int = 0
    named: bool = False
    torn: bool = False
    frames: int = 0
    schemas: set[int] = field(default_factory=set)
    waiting: list[Future[None]] = field(default_factory=list)

    def append(self, payloads: Sequence[bytes]) -> None:
        """Add frames with one write. Raises OSError, and then nothing of them is left, unless the segment is torn."""
        text = frames.framed(payloads, self.frames)
        if not self.frames:
            text = frames.MAGIC + text
        try:
            self.file.append(text)
        except OSError:
            self._cut(self.size)
            raise
        self.size += len(text)
        self.frames += len(payloads)

    def cut_to_synced(self) -> None:
        """Give up what may not be on disk; see `torn` for whether that was possible."""
        self._cut(self.synced)
        if not self.torn:
            self.size = self.synced

    def _cut(self, size: int) -> None:
        try:
            self.file.truncate(size)
        except OSError:
            self.torn = True  # the reader sees where the sound frames end
