"""`python -m service --project DIR`: the serving process. Sets BentoML's environment before anything loads it."""

import argparse
import os
import shutil
import sys
from pathlib import Path

import structlog

from lifecycle.logs import configure
from lifecycle.process import exit_code, exit_with_parent
from lifecycle.project import Project
from service.access import ENVIRONMENT, admit

log = structlog.get_logger(__name__)


def main() -> None:
    """Serve the project until a signal ends it."""
    parser = argparse.ArgumentParser(prog="python -m service", description="Serve the champion over HTTP.")
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument(
        "--insecure", action="store_true", help="Listen where others reach it although no key protects it."
    )
    arguments = parser.parse_args()
    exit_with_parent()
    configure("service")
    project = Project.open(arguments.project)
    decide_access(project, insecure=arguments.insecure)
    prepare_environment(project)
    from service.app import serve

    serve(project)


def decide_access(project: Project, *, insecure: bool) -> None:
    """Decide who may call, and tell the workers. Raises ConfigInvalid when it would be anybody from anywhere."""
    section = project.config.service
    access = admit(section, lambda: project.ledger, project.clock.now(), insecure=insecure)
    if access.sentence:
        log.warning("service_opened_to_all", host=section.host)
    os.environ[ENVIRONMENT] = access.state


def prepare_environment(project: Project) -> None:
    """One BentoML home per server, telemetry off, counters of this server alone, and one thread per prediction.

    A second OpenMP thread makes small predictions slower, and on busy cores very much so.
    """
    home = project.runtime / "bentoml"
    counters = home / "prometheus_multiproc_dir"
    shutil.rmtree(counters, ignore_errors=True)
    counters.mkdir(parents=True)
    os.environ.update(
        EVENKEEL_PROJECT=str(project.path),
        BENTOML_HOME=str(home),
        PROMETHEUS_MULTIPROC_DIR=str(counters),
        BENTOML_DO_NOT_TRACK="True",
        OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS", "1"),
    )


if __name__ == "__main__":
    sys.exit(exit_code(main))
