"""`python -m benchmarks.serving.ours.without_log --project DIR`: `evenkeel serve`, but what it answers is not recorded."""

import argparse
import os
from pathlib import Path

from lifecycle.logs import configure
from lifecycle.process import PARENT, exit_with_parent
from lifecycle.project import Project
from service.__main__ import decide_access, prepare_environment

SERVICE = "benchmarks.serving.ours.logless:EvenkeelService"


def main() -> None:
    """Serve the project until a signal ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, required=True)
    arguments = parser.parse_args()
    exit_with_parent()
    configure("service")
    project = Project.open(arguments.project)
    decide_access(project, insecure=False)
    prepare_environment(project)
    serve(project)


def serve(project: Project) -> None:
    """What `service.app.serve` does, with the other service. Keep the two alike."""
    from _bentoml_impl.server.serving import serve_http

    from benchmarks.serving.ours.logless import EvenkeelService

    section = project.config.service
    EvenkeelService.inject_config()
    os.environ[PARENT] = str(os.getpid())
    serve_http(
        SERVICE,
        working_dir=str(project.path),
        host=section.host,
        port=section.port,
        timeout_graceful_shutdown=section.shutdown_seconds,
    )


if __name__ == "__main__":
    main()
