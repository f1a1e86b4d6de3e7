"""`python -m monitoring.render`: runs beside the monitor, at low priority, and ends with it."""

import argparse
import os
import sys
from pathlib import Path

from lifecycle.errors import EvenkeelError, ProjectInvalid
from lifecycle.process import exit_with_parent
from lifecycle.project import Project
from monitoring.evidently_adapter import EvidentlyScorer
from monitoring.judge import Judge, References
from monitoring.render.page import render


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
    settings = project.config.monitoring
    references = References(project.store, project.ledger)
    judge = Judge(project.tables, references, EvidentlyScorer(), project.clock, settings, project.config.model.seed)
    render(judge, verdict, settings.drift_share, project.reports)


if __name__ == "__main__":
    sys.exit(main())
