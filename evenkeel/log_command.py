"""The commands `evenkeel log ...`: look at the feature log, ask it in SQL, take rows out, and bring history in."""

# ruff: noqa: FBT002  # the parameters are options of the command line, which have defaults

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from evenkeel import show
from lifecycle.errors import InputRejected

log = typer.Typer(no_args_is_help=True)
ProjectOption = Annotated[Path, typer.Option("--project", help="The project folder.")]
LinesOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per row.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print facts as JSON.")]
HERE = Path()


@log.command("tail")
def tail(
    project: ProjectOption = HERE,
    count: Annotated[int, typer.Option("-n", "--rows", min=1, max=100_000, help="How many rows.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with rows as they come, until Ctrl-C.")] = False,
    as_json: LinesOption = False,
) -> None:
    """The newest rows, oldest first, also those that are not folded yet."""
    from evenkeel import log_tail
    from evenkeel.log_rows import json_line
    from evenkeel.supervise import stopped_by_signals
    from lifecycle.project import Project

    tables = Project.open(project).tables
    with stopped_by_signals() as stop, _reader_may_leave():
        for row in log_tail.follow(tables, count, stop) if follow else log_tail.newest(tables, count):
            sys.stdout.write(json_line(row).decode() if as_json else log_tail.line(row) + "\n")
            if follow:
                sys.stdout.flush()


@log.command("query")
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT over predictions, labels, latest_labels and parked.")],
    project: ProjectOption = HERE,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV, as is done when the output is no terminal.")
    ] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Do not verify the files first: faster, and damage may go unseen.")
    ] = False,
    as_json: LinesOption = False,
) -> None:
    """Ask the tables in SQL; nothing but reading them is possible. Rows not folded yet are not in them."""
    from evenkeel.log_query import run_query

    if as_csv and as_json:
        raise InputRejected("--csv and --json say two forms; choose one")
    with _reader_may_leave():
        run_query(project, sql, as_json=as_json, as_csv=as_csv, verified=not trust)


@log.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="The file to write: .parquet, .csv or .jsonl.")],
    project: ProjectOption = HERE,
    start: Annotated[str | None, typer.Option("--start", help="First moment, such as 2026-01-31T14:05:00Z.")] = None,
    end: Annotated[str | None, typer.Option("--end", help="Moment after the last.")] = None,
    columns: Annotated[str | None, typer.Option("--columns", help="Columns or features, with commas between.")] = None,
    labels: Annotated[bool, typer.Option("--labels", help="Put each row's latest label beside it.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the rows of a time as one file, whole or not at all."""
    from evenkeel import log_export
    from lifecycle.project import Project

    options = log_export.ExportOptions(
        start=log_export.BEGINNING if start is None else log_export.moment(start),
        end=log_export.END if end is None else log_export.moment(end),
        columns=None if columns is None else [name.strip() for name in columns.split(",")],
        labels=labels,
        force=force,
    )
    count = log_export.export(Project.open(project).tables, file, options)
    if as_json:
        show.as_json({"file": str(file), "rows": count})
    else:
        show.line(f"{count} rows in {file}")


@log.command("import")
def bring_in(
    file: Annotated[Path, typer.Argument(help="A CSV or Parquet file: the model's columns, the answers, their times.")],
    project: ProjectOption = HERE,
    time: Annotated[str | None, typer.Option("--time", help="Column that says when; `at` by default.")] = None,
    prediction: Annotated[
        str | None, typer.Option("--prediction", help="Column of the answers; `prediction` by default.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="Column of the truth; `label` or the target's if there is one.")
    ] = None,
    version: Annotated[
        int | None, typer.Option("--model-version", min=0, help="The version that answered; 0 is none of this project.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows that are refused, and count them.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Import a file that was imported before.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring history in: rows that something answered before, checked by the contract. All of the file, or nothing."""
    from evenkeel.log_import import ImportOptions
    from evenkeel.log_import_command import run_import

    run_import(project, file, ImportOptions(time, prediction, label, version, skip_bad, again), as_json=as_json)


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """End quietly when nobody reads the output any more, as `head` does not after its lines."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that nothing is flushed to it at the end
