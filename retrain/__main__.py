"""`python -m retrain --project DIR --run ID`: one retrain run in a process of its own.

Ends with 0 when the run ended by a decision (promoted or refused), with 1 when it failed, with 3 when another run holds
the lease.
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from lifecycle.errors import Conflict
from lifecycle.logs import configure
from lifecycle.process import exit_code, exit_with_parent
from lifecycle.project import Project
from retrain.app import job

POLITENESS = 10
"""Training yields the processor to the service."""


def main() -> int:
    """Carry out the run named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m retrain", description="Carry out one retrain run.")
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--run", required=True)
    arguments = parser.parse_args()
    exit_with_parent()
    configure("retrain")
    signal.signal(signal.SIGTERM, _end)
    os.nice(POLITENESS)
    try:
        return int(job(Project.open(arguments.project)).run(arguments.run).state == "failed")
    except Conflict as error:
        print(error, file=sys.stderr)
        return 3


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(exit_code(main))
