"""`evenkeel init` at a terminal: what is being done while it is, and the summary."""

from pathlib import Path

from evenkeel import show
from evenkeel.init import InitOptions, init_project
from evenkeel.init_summary import print_summary


def run_init(directory: Path, source: Path, options: InitOptions, *, as_json: bool) -> None:
    """Make the project and print what it is."""
    with show.notes.status("Looking") as status:
        summary = init_project(directory, source, options, status.update)
    if as_json:
        show.as_json(summary.as_json())
    else:
        print_summary(summary, show.console)
