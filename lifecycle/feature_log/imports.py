"""History on its way into the feature log: whole files' worth of segments, of which the folder sees all or none.

Segments are staged where no folder looks. A list of them, written in one step, is what makes an import happen; whoever comes next
publishes what is on a list and removes what is on none. So an import that was cut short has not happened, or is finished later.
A list ends with its checksum. A damaged one is put aside, and what is staged then stays for somebody to decide about.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from lifecycle.errors import Conflict, StoreUnavailable
from lifecycle.feature_log.files import LOCAL_FILES, File, FileSystem
from lifecycle.feature_log.naming import SEALED, SEGMENTS, is_segment
from lifecycle.ports import AuditLedger

IMPORTS: Final = "imports"
"""The folder of what is staged, in that of the feature log."""
LOCK, LIST, UNFINISHED = "lock", ".json", ".json.new"
QUARANTINE: Final = "quarantine"
"""The folder of what is damaged, in that of the feature log."""
ASIDE: Final = "import-"
"""How the name of a list begins there: unlike a segment's, so that nobody takes it for one."""
CHECK_BYTES = 1 + 64
"""A new line and the hexadecimal digits of the SHA-256 of all before it."""
ACTION: Final = "import_log"
"""What the audit trail calls an import."""
MOST_ENTRIES = 10**9
log = structlog.get_logger(__name__)


class Imports:
    """The imports of one feature log, in `folder`; one runs at a time."""

    def __init__(self, folder: Path, files: FileSystem = LOCAL_FILES) -> None:
        self.staged = folder / IMPORTS
        self._segments = folder / SEGMENTS
        self._quarantine = folder / QUARANTINE
        self._files = files

    @contextmanager
    def running(self, ledger: AuditLedger) -> Iterator[None]:
        """The right to import, for the block. What an earlier one left is settled first, and at the end what this one did.

        Raises Conflict while another import runs, or is to be decided about.
        """
        try:
            lock = self._lock()
        except BlockingIOError as error:
            raise Conflict(
                "another import into this feature log is running; wait for its end, then try again"
            ) from error
        try:
            self._settle(ledger)
            if self.set_aside():
                raise Conflict(f"{self.decision()}; then import again")
            try:
                yield
            finally:
                self._settle(ledger)
        finally:
            lock.close()

    def settle(self, ledger: AuditLedger) -> int:
        """Publish what was imported, and remove what was not; how many imports. Nothing while one runs; cheap without any.

        What no import put there, or whose list is damaged, stays. Raises StoreUnavailable, or OSError, for what may succeed later.
        """
        if not self._ours():
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
            "segments": [name for name in self._ours() if name.endswith(SEALED)],
        }
        self._files.write(self.staged / f"{identifier}{LIST}", [_checked(orjson.dumps(content))])

    def unfinished(self) -> Sequence[str]:
        """Imports that have happened and are not all published: for the next folder, or import, to finish."""
        return [name.removesuffix(LIST) for name in self._lists()]

    def set_aside(self) -> Sequence[Path]:
        """The damaged lists that nobody has decided about yet."""
        names = self._files.names(self._quarantine)
        return [self._quarantine / name for name in names if name.startswith(ASIDE) and name.endswith(LIST)]

    def odd(self) -> Sequence[Path]:
        """What lies among the staged files and no import put there."""
        known = {*self._ours(), *([LOCK] if _is_plain(self.staged / LOCK) else [])}
        return [self.staged / name for name in self._files.names(self.staged) if name not in known]

    def decision(self) -> str:
        """What somebody has to do about the lists that were put aside."""
        lists = ", ".join(str(path) for path in self.set_aside())
        return (
            f"an import had happened, but the list of its segments is damaged and was put aside as {lists}: move the "
            f"segments in {self.staged} to {self._segments} to finish it, or remove them to do without its rows, and then "
            "remove that list"
        )

    def _settle(self, ledger: AuditLedger) -> int:
        published = 0
        for name in self._lists():
            content = _content(self._files.read(self.staged / name))
            if content is None:
                self._put_aside(name)
            else:
                self._publish(name, content, ledger)
                published += 1
        if self.set_aside():
            return published  # what is staged is the rest of an import that had happened
        for name in self._ours():
            self._files.remove(self.staged / name)
            log.info("staged_file_removed", name=name)
        return published

    def _put_aside(self, name: str) -> None:
        self._files.rename(self.staged / name, self._quarantine / f"{ASIDE}{name}")
        self._files.sync_folder(self._quarantine)
        self._files.sync_folder(self.staged)
        log.error("import_list_quarantined", name=name, problem=self.decision())

    def _publish(self, name: str, content: Mapping[str, Any], ledger: AuditLedger) -> None:
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
        path = self.staged / LOCK
        if path.is_symlink() or path.is_dir():
            raise StoreUnavailable(
                f"{path} is no plain file, so imports cannot lock it; remove it while no import runs"
            )
        try:
            return self._files.adopt(path)
        except FileNotFoundError:
            pass
        try:
            return self._files.create(path)
        except FileExistsError:
            return self._files.adopt(path)

    def _lists(self) -> list[str]:
        return [name for name in self._ours() if name.endswith(LIST)]

    def _ours(self) -> list[str]:
        """The names of what imports leave here, but for the lock: plain files alone, since nothing else was written by one."""
        names = [
            name for name in self._files.names(self.staged) if is_segment(name) or name.endswith((LIST, UNFINISHED))
        ]
        return [name for name in names if _is_plain(self.staged / name)]


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _checked(content: bytes) -> bytes:
    """`content` with its checksum."""
    return content + b"\n" + sha256(content).hexdigest().encode()


def _content(found: bytes) -> Mapping[str, Any] | None:
    """What a list says; None when it is damaged."""
    text = found[:-CHECK_BYTES]
    if found != _checked(text):
        return None
    content: Mapping[str, Any] = orjson.loads(text)
    return content


def imported(ledger: AuditLedger) -> list[Mapping[str, Any]]:
    """The facts of every import there was, newest first."""
    return [entry["detail"] for entry in ledger.audit_trail(MOST_ENTRIES) if entry["action"] == ACTION]
