"""`python -m benchmarks.serving.ours.without_log --project DIR`: `evenkeel serve`, but what it answers is not recorded."""

import argparse
from pathlib import Path

from lifecycle.logs import configure
from lifecycle.process import exit_with_parent
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
    from service.app import serve

    serve(project, SERVICE)


if __name__ == "__main__":
    main()
