"""`evenkeel erase`: all that is recorded about one subject goes, and a search of the bytes on disk proves it.

A folder that runs carries the erasure out between two folds; without one, this process folds until it is done. Cut short, it
is finished by the next folder or the next `evenkeel erase`. Neither the subject nor their token is ever printed.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from evenkeel import show
from evenkeel.actions import person
from lifecycle.errors import Conflict, InputRejected, ProjectInvalid
from lifecycle.feature_log.__main__ import run
from lifecycle.feature_log.storage import ObjectStorage
from lifecycle.feature_log.traces import Traces, search, search_storage
from lifecycle.ids import uuid7
from lifecycle.project import STATE, Project
from lifecycle.pseudonyms import Pseudonyms
from lifecycle.records import Erasure

LOOK_SECONDS = 0.2
LOOKS = 5
"""How often to look at most: a file that could not be looked into may just have been written."""
WORDS = {
    "tables": "rows leave the tables",
    "versions": "rows leave the versions that were trained on them",
    "reports": "reports are withdrawn",
    "search": "the bytes on disk are searched",
}


def run_erase(path: Path, subject: str, wait_seconds: float, *, as_json: bool) -> int:
    """Erase, search, and print the proof; 1 when the search finds anything.

    Raises InputRejected when `subject` is blank, Conflict when it is not done in time.
    """
    if not subject.strip():
        raise InputRejected(
            "the subject is blank, which names nobody; say with --subject whom to erase, as callers name them"
        )
    project = Project.open(path)
    token = _token(project, subject)
    asked = _ask(project, token)
    with show.notes.status("Erasing") as status, _folding(project):
        finished = _wait(project, asked, wait_seconds, lambda words: status.update(f"Erasing: {words}"))
        status.update("Searching the bytes on disk")
        found = _search(project, token, finished)
    if as_json:
        show.as_json(_facts(finished, found))
    else:
        _show(finished, found)
    return int(not found.clean)


def _token(project: Project, subject: str) -> str:
    key = project.path / project.config.feature_log.pseudonym_key
    contract = project.contract()
    if contract.subject is None and not key.exists():
        raise ProjectInvalid(
            "the contract marks no column as the subject, so nothing that is recorded says whom it is about; "
            "mark one under `privacy` in the contract"
        )
    return Pseudonyms.read(key, contract.key_check).subject(subject)


def _ask(project: Project, token: str) -> Erasure:
    """A new erasure in the ledger; one about the same subject that was cut short stays, and comes first."""
    now, actor = project.clock.now(), person()
    asked = Erasure(uuid7(), token, now, actor)
    project.ledger.save_erasure(asked)
    project.ledger.audit(now, actor, "erasure_requested", {"erasure": asked.id})
    return asked


@contextmanager
def _folding(project: Project) -> Iterator[None]:
    """A folder in this process, which does something only while no other one does."""
    _ = project.tables, project.store  # opened here, and not by two threads at once
    stop = threading.Event()
    folder = threading.Thread(target=run, args=(project, stop), name="fold")
    folder.start()
    try:
        yield
    finally:
        stop.set()
        folder.join()


def _wait(project: Project, asked: Erasure, seconds: float, said: Callable[[str], None]) -> Erasure:
    never = threading.Event()
    deadline = project.clock.now() + int(seconds * 1e6)
    while True:
        erasures = project.ledger.erasures()
        erasure = next(item for item in erasures if item.id == asked.id)
        if erasure.finished_at is not None and not any(item.token == asked.token for item in erasures):
            return erasure
        said(WORDS.get(erasure.proof.get("step", ""), "waiting until all from before is folded"))
        if project.clock.now() >= deadline:
            problem = erasure.proof.get("problem", "rows from before it are still being folded")
            raise Conflict(
                f"the erasure was not finished within {seconds:.0f} s ({problem}); whoever folds goes on with it, and "
                "`evenkeel erase` with the same subject waits for it again"
            )
        project.clock.wait(never, LOOK_SECONDS)


def _search(project: Project, token: str, finished: Erasure) -> Traces:
    until = finished.requested_at
    never = threading.Event()
    for _ in range(LOOKS):
        found = search(_places(project), token, until=until)
        for table in project.tables.all:
            if isinstance(table.storage, ObjectStorage):
                found += search_storage(table.storage, token, until=until)
        if found.clean:
            break
        project.clock.wait(never, LOOK_SECONDS)
        project.ledger.save_erasure(finished)  # what the ledger replaced may have stayed while somebody read it
    return found


def _places(project: Project) -> list[Path]:
    """The folders of all stores, wherever the configuration puts them."""
    places = [project.path / STATE, project.tables.folder, project.store.root, project.reports]
    url = make_url(project.config.ledger.url)
    if url.get_backend_name() == "sqlite" and url.database:
        ledger = project.path / url.database
        places += ledger.parent.glob(f"{ledger.name}*")
    return places


def _facts(finished: Erasure, found: Traces) -> dict[str, object]:
    return {
        "erasure": finished.id,
        "requested_at": show.moment(finished.requested_at),
        "finished_at": show.moment(finished.finished_at),
        "removed": finished.proof["removed"],
        "searched": {
            "files": found.files,
            "bytes": found.bytes,
            "found": list(found.found),
            "recorded_later": list(found.later),
            "unreadable": list(found.unreadable),
        },
    }


def _show(finished: Erasure, found: Traces) -> None:
    removed = finished.proof["removed"]
    show.table("erased", ("what", "count"), [(name.replace("_", " "), count) for name, count in removed.items()])
    if not any(removed.values()):
        show.line(
            "nothing was recorded under this value before the request; check its spelling, unless it was erased before",
            "yellow",
        )
    show.line(f"searched {found.files} files with {found.bytes:,} bytes, unpacked where they are packed")
    if found.later:
        show.line(f"{len(found.later)} of them hold rows about the subject that were recorded since", "yellow")
    for name in found.found:
        show.line(f"found in {name}", "bold red")
    for name in found.unreadable:
        show.line(f"could not look into {name}", "bold red")
    if found.clean:
        show.line("0 findings: nothing that was recorded before the request is left", "green")
