"""`python -m lifecycle.feature_log --project DIR`: the fold process. Holds the lease `fold` while it runs."""

import argparse
import signal
import sys
import threading
from functools import partial
from pathlib import Path

import structlog

from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log.compaction import tidy
from lifecycle.feature_log.erasure import Eraser
from lifecycle.feature_log.fold import TRANSIENT, Folder
from lifecycle.feature_log.imports import Imports
from lifecycle.feature_log.retention import Retention
from lifecycle.ids import uuid7
from lifecycle.logs import configure
from lifecycle.process import exit_code, exit_with_parent
from lifecycle.project import Project

LEASE = "fold"
LEASE_SECONDS = 5.0
log = structlog.get_logger(__name__)


def main() -> None:
    """Fold until a signal ends it; a fold that has begun is finished first."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.feature_log", description="Fold the feature log.")
    parser.add_argument("--project", type=Path, default=Path())
    arguments = parser.parse_args()
    exit_with_parent()
    configure("fold")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(Project.open(arguments.project), stop)


def run(project: Project, stop: threading.Event) -> None:
    """Fold every `fold_seconds` while this process has the lease, and at once while there is a backlog."""
    holder = uuid7()
    renewal = threading.Thread(target=_keep_lease, args=(project, holder, stop), name="lease", daemon=True)
    renewal.start()
    folder: Folder | None = None
    eraser: Eraser | None = None
    retention = Retention(project.tables, project.clock, project.config.feature_log.retention_days)
    while not project.clock.wait(stop, 0 if folder and folder.behind else project.config.feature_log.fold_seconds):
        try:
            if not _held(project, holder):
                folder = None  # another one may fold now, so what this one remembers is not to be relied upon
                continue
            folder = folder or _folder(project, holder)
            Imports(project.tables.folder).settle(project.ledger)
            status = folder.fold()
            project.ledger.save_fold(status)
            tidy(project.tables, project.clock, project.config.feature_log)
            eraser = eraser or _eraser(project, holder)
            eraser.step(status.watermark)
            retention.step()
        except TRANSIENT as error:
            log.error("fold_failed", error=str(error))  # the segments stay where they are; the next round tries again
    renewal.join()
    project.ledger.release(LEASE, holder)


def _folder(project: Project, holder: str) -> Folder:
    return Folder(
        project.tables,
        project.clock,
        parking_hours=project.config.feature_log.parking_hours,
        before=project.ledger.fold_status(),
        held=lambda: _held(project, holder),
    )


def _eraser(project: Project, holder: str) -> Eraser:
    held = partial(_held, project, holder)
    return Eraser(project.tables, project.store, project.ledger, project.reports, project.clock, held=held)


def _held(project: Project, holder: str) -> bool:
    lease = project.ledger.lease(LEASE)
    return lease is not None and lease.holder == holder and lease.expires_at > project.clock.now()


def _keep_lease(project: Project, holder: str, stop: threading.Event) -> None:
    while True:
        try:
            project.ledger.acquire(LEASE, holder, project.clock.now(), LEASE_SECONDS)
        except StoreUnavailable as error:
            log.warning("fold_lease_not_renewed", error=str(error))
        if project.clock.wait(stop, LEASE_SECONDS / 3):
            return


if __name__ == "__main__":
    sys.exit(exit_code(main))
