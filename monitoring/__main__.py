"""`python -m monitoring --project DIR`: the monitor as a process of its own."""

import argparse
import os
import sys
from pathlib import Path

from lifecycle import logs
from lifecycle.process import exit_code, exit_with_parent
from lifecycle.project import Project


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m monitoring", description="Watch a project's model.")
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    exit_with_parent()
    logs.configure("monitor", verbose=arguments.verbose)
    from monitoring.app import main as run

    code = exit_code(lambda: run(Project.open(arguments.project)))
    sys.stderr.flush()
    sys.stdout.flush()
    # A step may still be scoring in its thread; it owns nothing that outlives the process, so it is not waited for.
    os._exit(code)


if __name__ == "__main__":
    main()
