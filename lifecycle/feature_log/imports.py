"""History on its way into the feature log: whole files' worth of segments, of which the folder sees all or none.

Segments are staged where no folder looks. A list of them, written in one step, is what makes an import happen; whoever comes next
publishes what is on a list and removes what is on none. So an import that was cut short has not happened, or is finished later.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from lifecycle.errors import Conflict
from lifecycle.feature_log.files import LOCAL_FILES, File, FileSystem
from lifecycle.feature_log.naming import SEALED, SEGMENTS
from lifecycle.ports import AuditLedger

IMPORTS: Final = "imports"
"""The folder of what is staged, in that of the feature log."""
LOCK, LIST = "lock", ".json"
ACTION: Final = "import_log"
"""What the audit trail calls an import."""
MOST_ENTRIES = 10**9
log = structlog.get_logger(__name__)


class Imports:
    """The imports of one feature log, in `folder`; one runs at a time."""

    def __init__(self, folder: Path, files: FileSystem = LOCAL_FILES) -> None:
        self.staged = folder / IMPORTS
        self._segments = folder / SEGMENTS
        self._files = files

    @contextmanager
    def running(self, ledger: AuditLedger) -> Iterator[None]:
        """The right to import, for the block. What an earlier one left is settled first, and at the end what this one did.

        Raises Conflict while another import runs.
        """
        try:
            lock = self._lock()
        except BlockingIOError as error:
            raise Conflict(
                "another import into this feature log is running; wait for its end, then try again"
            ) from error
        try:
            self._settle(ledger)
            try:
                yield
            finally:
                self._settle(ledger)
        finally:
            lock.close()

    def settle(self, ledger: AuditLedger) -> int:
        """Publish what was imported, and remove what was not; how many imports. Nothing while one runs; cheap without any."""
        if not self._files.names(self.staged):
            return 0
        try:
            lock = self._lock()
        except BlockingIOError:
            return 0  # a running import settles for itself
        try:
            return self._settle(ledger)
        finally:
            lock.close()

    def commit(self, identifier: str, at: int, actor: str, facts: Mapping[str, Any]) -> None:
        """From here on the import has happened: every sealed segment that is staged belongs to it. Called while `running`."""
        self._files.sync_folder(self.staged)
        content = {
            "at": at,
            "actor": actor,
            "facts": {"import": identifier, **facts},
            "segments": self._names(SEALED),
        }
        self._files.write(self.staged / f"{identifier}{LIST}", [orjson.dumps(content)])

    def unfinished(self) -> Sequence[str]:
        """Imports that have happened and are not all published: for the next folder, or import, to finish."""
        return [name.removesuffix(LIST) for name in self._names(LIST)]

    def _settle(self, ledger: AuditLedger) -> int:
        lists = self._names(LIST)
        for name in lists:
            self._publish(name, ledger)
        for name in self._files.names(self.staged):
            if name != LOCK:
                self._files.remove(self.staged / name)
                log.info("staged_file_removed", name=name)
        return len(lists)

    def _publish(self, name: str, ledger: AuditLedger) -> None:
        content = orjson.loads(self._files.read(self.staged / name))
        if not any(entry["import"] == content["facts"]["import"] for entry in imported(ledger)):
            ledger.audit(content["at"], content["actor"], ACTION, content["facts"])
        for segment in content["segments"]:
            try:
                self._files.rename(self.staged / segment, self._segments / segment)
            except FileNotFoundError:
                continue  # published before it was cut short
        self._files.sync_folder(self._segments)
        self._files.sync_folder(self.staged)
        self._files.remove(self.staged / name)
        self._files.sync_folder(self.staged)
        log.info("import_published", segments=len(content["segments"]), **content["facts"])

    def _lock(self) -> File:
        try:
            return self._files.adopt(self.staged / LOCK)
        except FileNotFoundError:
            pass
        try:
            return self._files.create(self.staged / LOCK)
        except FileExistsError:
            return self._files.adopt(self.staged / LOCK)

    def _names(self, suffix: str) -> list[str]:
        return [name for name in self._files.names(self.staged) if name.endswith(suffix)]


def imported(ledger: AuditLedger) -> list[Mapping[str, Any]]:
    """The facts of every import there was, newest first."""
    return [entry["detail"] for entry in ledger.audit_trail(MOST_ENTRIES) if entry["action"] == ACTION]
