"""`python -m lifecycle.feature_log --project DIR`: the fold process. Holds the lease `fold` while it runs."""

import argparse
import signal
import sys
import threading
from pathlib import Path

import structlog

from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log.fold import TRANSIENT, Folder
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
    """Fold every `fold_seconds` while this process has the lease."""
    holder = uuid7()
    section = project.config.feature_log
    folder = Folder(project.tables, project.clock, compact_commits=section.compact_commits)
    renewal = threading.Thread(target=_keep_lease, args=(project, holder, stop), name="lease", daemon=True)
    renewal.start()
    while not project.clock.wait(stop, section.fold_seconds):
        try:
            lease = project.ledger.lease(LEASE)
            if lease and lease.holder == holder and lease.expires_at > project.clock.now():
                project.ledger.save_fold(folder.fold())
        except TRANSIENT as error:
            log.error("fold_failed", error=str(error))  # the segments stay where they are; the next round tries again
    renewal.join()
    project.ledger.release(LEASE, holder)


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
