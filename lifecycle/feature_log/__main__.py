"""`python -m lifecycle.feature_log --project DIR`: the fold process. Holds the lease `fold` while it runs."""

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
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
    rounds: _Rounds | None = None
    waits = False
    while not project.clock.wait(stop, 0 if rounds and rounds.behind else project.config.feature_log.fold_seconds):
        try:
            if _held(project, holder):
                rounds, waits = rounds or _Rounds(project, holder), False
                rounds.next()
                continue
            if not waits:
                log.info("fold_waits_for_lease", lease=str(project.ledger.lease(LEASE)))
            # Another one may fold now, so what this one remembers is not to be relied upon.
            rounds, waits = None, True
        except TRANSIENT as error:
            log.error("fold_failed", error=str(error))  # the segments stay where they are; the next round tries again
    renewal.join()
    project.ledger.release(LEASE, holder)


class _Rounds:
    """What one process does round after round while it holds the lease; no part of it keeps another from its turn."""

    def __init__(self, project: Project, holder: str) -> None:
        held = partial(_held, project, holder)
        section = project.config.feature_log
        tables, clock = project.tables, project.clock
        self._ledger = project.ledger
        self._folder = Folder(
            tables, clock, parking_hours=section.parking_hours, before=project.ledger.fold_status(), held=held
        )
        self._imports = Imports(tables.folder)
        self._eraser = Eraser(
            tables, project.store, project.ledger, project.reports, clock, workspace=project.workspace, held=held
        )
        self._retention = Retention(tables, clock, section.retention_days)
        self._tidy = partial(tidy, tables, clock, section, held=held)
        self._problems: list[str] = []

    @property
    def behind(self) -> bool:
        """Whether there is more to fold at once."""
        return self._folder.behind

    def next(self) -> None:
        """Fold and report, then do what else is due. What failed is in the next report."""
        before, self._problems = self._problems, []
        self._try("imports", lambda: self._imports.settle(self._ledger))
        status = self._folder.fold()
        problems = [problem for problem in (status.problem, *before) if problem]
        if self._imports.set_aside():
            problems.append(self._imports.decision())
        self._ledger.save_fold(replace(status, problem="; ".join(problems) or None))
        self._try("tidy", self._tidy)
        self._try("erasure", lambda: self._eraser.step(status.watermark))
        self._try("retention", self._retention.step)

    def _try(self, what: str, step: Callable[[], object]) -> None:
        try:
            step()
        except TRANSIENT as error:
            self._problems.append(f"{what}: {error}")
            log.error("fold_step_failed", step=what, error=str(error))


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
