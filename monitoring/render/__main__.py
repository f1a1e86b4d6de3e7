"""`python -m monitoring.render`: runs beside the monitor, at low priority, and ends with it."""

import argparse
import os
import sys
from pathlib import Path

import structlog

from lifecycle.clock import to_text
from lifecycle.errors import EvenkeelError, ProjectInvalid
from lifecycle.process import exit_with_parent
from lifecycle.project import Project
from lifecycle.records import Verdict
from lifecycle.snapshots import identifier
from monitoring.evidently_adapter import Picture
from monitoring.references import References
from monitoring.render.page import render
from monitoring.rows import counts_by_version, logged_rows

LOOKED_BACK = 1_000
log = structlog.get_logger(__name__)


def main() -> int:
    """Render the report of the window named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m monitoring.render", description="Render the report of one window.")
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--start", type=int, required=True, help="start of the window, microseconds since 1970")
    arguments = parser.parse_args()
    exit_with_parent()
    os.nice(10)
    try:
        _render(Project.open(arguments.project), arguments.start)
    except (EvenkeelError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _render(project: Project, start: int) -> None:
    verdict = project.ledger.verdict(start)
    if verdict is None or verdict.version is None or not verdict.scores:
        raise ProjectInvalid(f"the window starting at {start} was not scored, so there is nothing to report")
    settings, tables = project.config.monitoring, project.tables
    references = References(project.store, project.ledger, tables, settings)
    reference = references.of(verdict.version, start, verdict.end, _before(project, verdict))
    rows = logged_rows(
        tables, reference.contract, start, verdict.end, version=verdict.version, most=settings.report_rows
    )
    answered = counts_by_version(tables, start, verdict.end).get(verdict.version, 0)
    picture = render(verdict, reference, rows, answered, settings.report_rows, project.reports)
    if picture is not None and settings.evidently_workspace:
        _keep(project, verdict, picture)


def _before(project: Project, verdict: Verdict) -> tuple[int, int] | None:
    """The window that the verdict's reference names, if it is one."""
    named = (
        (other.start, other.end)
        for other in project.ledger.latest(LOOKED_BACK)
        if f"from {to_text(other.start)} to {to_text(other.end)}" in (verdict.reference or "")
    )
    return next(named, None)


def _keep(project: Project, verdict: Verdict, picture: Picture) -> None:
    folder = project.path / project.config.monitoring.evidently_workspace
    try:
        picture.keep(folder, project.config.model.name, identifier(project.path, verdict.start))
    except Exception as error:  # noqa: BLE001 - the workspace is an extra: whatever is wrong with it, the page is there
        log.warning("workspace_not_fed", workspace=str(folder), error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main())
