"""`evenkeel log import` at a terminal: a bar while it runs, and what came of it."""

from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from evenkeel import show
from evenkeel.log_import import ImportOptions, bring_in
from lifecycle.project import Project


def run_import(path: Path, file: Path, options: ImportOptions, *, as_json: bool) -> None:
    """Import `file` and print how many rows and labels it brought."""
    project = Project.open(path)
    bar = Progress(TextColumn("rows"), BarColumn(), MofNCompleteColumn(), console=show.notes)
    with bar:
        task = bar.add_task("rows", total=None)
        result = bring_in(
            project, file, options, progress=lambda done, count: bar.update(task, completed=done, total=count)
        )
    if as_json:
        show.as_json(result.describe())
        return
    show.line(
        f"{result.rows} rows and {result.labels} labels imported; the next fold puts them into the tables", "bold"
    )
    if result.skipped:
        show.line(f"{result.skipped} rows left out; the first:")
        for problem in result.problems:
            place = "" if problem.field is None else f", {problem.field}"
            show.line(f"  row {(problem.row or 0) + 1}{place}: {problem.problem}")
