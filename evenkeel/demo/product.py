"""The product under the demo: `evenkeel up` as a user runs it, started again when it dies, as an init system would."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from lifecycle.process import child_environment

PATIENCE_SECONDS = 30.0
MOST_STARTS = 4


class Product:
    """`evenkeel up` on one project, for the length of a `with` block; its output goes to `log`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._starts = 0
        self.log = directory / ".evenkeel" / "logs" / "up.log"

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._process = self._start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def look_after(self) -> bool:
        """Start it again if it died; False once it has died too often to go on."""
        if self._process.poll() is None:
            return True
        if self._starts >= MOST_STARTS:
            return False
        self._process = self._start()
        return True

    def _start(self) -> subprocess.Popen[bytes]:
        self._starts += 1
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "evenkeel", "up", "--project", str(self._directory)],
                env=child_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
