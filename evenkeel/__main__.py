"""The command line. Each command opens what it needs and nothing else; what a person did wrong ends with code 2."""

import os
import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated

import typer

from evenkeel import facts
from evenkeel.choices import TaskChoice
from evenkeel.log_command import log
from lifecycle import logs
from lifecycle.errors import EvenkeelError
from lifecycle.records import Scope

app = typer.Typer(
    name="evenkeel",
    help="Keep a tabular model on an even keel in production: serve, log, monitor, retrain, swap.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models = typer.Typer(invoke_without_command=True)
app.add_typer(models, name="models", help="Every model version; `show` tells all about one.")
keys = typer.Typer(no_args_is_help=True)
app.add_typer(keys, name="keys", help="Make, list and revoke the keys that callers of the service show.")
app.add_typer(log, name="log", help="The feature log: newest rows, SQL, export, and bringing history in.")
ProjectOption = Annotated[Path, typer.Option("--project", help="The project folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print facts as JSON.")]
InsecureOption = Annotated[
    bool, typer.Option("--insecure", help="Serve on an address that others reach although no key protects it.")
]
HERE = Path()


def _version(asked: bool) -> None:
    if asked:
        typer.echo(installed("evenkeel"))
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Keep a tabular model on an even keel in production: serve, log, monitor, retrain, swap."""


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="The folder to make.")],
    data: Annotated[Path, typer.Option("--data", help="A CSV or Parquet file with a header.")],
    target: Annotated[str, typer.Option("--target", help="The column to predict.")],
    time: Annotated[str | None, typer.Option("--time", help="The column that orders the rows in time.")] = None,
    identifier: Annotated[str | None, typer.Option("--id", help="The column that names a row.")] = None,
    drop: Annotated[list[str] | None, typer.Option("--drop", help="A column to leave out; may be repeated.")] = None,
    segment: Annotated[
        list[str] | None, typer.Option("--segment", help="A feature that splits rows into segments; may be repeated.")
    ] = None,
    sensitive: Annotated[
        list[str] | None,
        typer.Option("--sensitive", help="A feature whose groups are compared for fairness; may be repeated."),
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="The column that says whom a row is about; kept as a pseudonym.")
    ] = None,
    pseudonymise: Annotated[
        list[str] | None,
        typer.Option("--pseudonymise", help="A column of which only pseudonyms are kept; may be repeated."),
    ] = None,
    unlogged: Annotated[
        list[str] | None,
        typer.Option("--unlogged", help="A feature that the model sees and the log does not keep; may be repeated."),
    ] = None,
    task: Annotated[TaskChoice, typer.Option("--task", help="What kind of label it is.")] = "auto",
    name: Annotated[str | None, typer.Option("--name", help="The model's name; the folder's by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a project from a file: contract, configuration, trainer, reference, and version 1."""
    from evenkeel.init import InitOptions
    from evenkeel.init_command import run_init

    options = InitOptions(
        target,
        time,
        identifier,
        tuple(drop or ()),
        tuple(segment or ()),
        task,
        name,
        subject,
        tuple(pseudonymise or ()),
        tuple(unlogged or ()),
        tuple(sensitive or ()),
    )
    run_init(directory, data, options, as_json=as_json)


@app.command()
def up(project: ProjectOption = HERE, insecure: InsecureOption = False) -> None:
    """Run service, fold and monitor together, and restart what dies. Ctrl-C ends all of it."""
    from evenkeel.up_command import run_up

    run_up(project, insecure=insecure)


@app.command()
def serve(project: ProjectOption = HERE, insecure: InsecureOption = False) -> None:
    """Run the service alone."""
    _become("service", project, *(["--insecure"] if insecure else []))


@app.command()
def fold(project: ProjectOption = HERE) -> None:
    """Run the fold alone: moves records from segments into the tables."""
    _become("lifecycle.feature_log", project)


@app.command()
def monitor(
    project: ProjectOption = HERE,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Judge the log's windows from this date or moment (UTC) on instead, and end."),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="With --since: up to here; now by default.")] = None,
    again: Annotated[bool, typer.Option("--again", help="With --since: windows that have a verdict too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the monitor alone: windows, verdicts, alerts, reports, retrain triggers. With --since, judge the past and end."""
    if since is not None:
        from evenkeel.backfill_command import run_backfill

        raise typer.Exit(run_backfill(project, since, until, again=again, as_json=as_json))
    if until is not None or again or as_json:
        raise typer.BadParameter("--until, --again and --json go with --since, which judges the past")
    _become("monitoring", project)


@app.command()
def retrain(
    project: ProjectOption = HERE,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the run.")] = "on demand",
    as_json: JsonOption = False,
) -> None:
    """Retrain now: snapshot, validate, train, gate, promote if the gate agrees. Ends with 1 when the run failed."""
    from evenkeel.actions import run_retrain

    raise typer.Exit(run_retrain(project, reason, as_json=as_json))


@app.command()
def demo(
    project: Annotated[
        Path | None, typer.Option("--project", help="Where to make it; a new temporary folder by default.")
    ] = None,
    leave: Annotated[
        bool, typer.Option("--exit", help="End when the story is told, with 0 only if all of it happened.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Watch the whole loop on real rows: traffic, drift, alert, retrain, swap, recovery."""
    from evenkeel.demo.command import run_demo

    raise typer.Exit(run_demo(project, leave=leave, as_json=as_json))


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A CSV or Parquet file with the model's columns, and labels if known.")],
    project: ProjectOption = HERE,
    rate: Annotated[float, typer.Option("--rate", min=0.001, help="Rows per second.")] = 50.0,
    label_delay: Annotated[
        float, typer.Option("--label-delay", min=0, help="Seconds from an answer to its label.")
    ] = 5.0,
    batch: Annotated[int, typer.Option("--batch", min=1, max=10_000, help="Rows per request.")] = 1,
    url: Annotated[str | None, typer.Option("--url", help="The service's address; the project's by default.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", envvar="EVENKEEL_KEY", help="A key of scope admin, where keys are required.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Send a file's rows to the running service in order, and their labels later."""
    from evenkeel.replay_command import run_replay

    run_replay(file, project, rate, label_delay, batch, url, key, as_json=as_json)


@app.command()
def status(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """The project at a glance: champion, workers, last verdicts, open alerts, runs, feature log."""
    facts.show_status(project, as_json=as_json)


@models.callback()
def list_models(context: typer.Context, project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """Every model version, what it scored, and where it comes from; `show` tells all about one."""
    context.obj = project, as_json
    if context.invoked_subcommand is None:
        facts.show_models(project, as_json=as_json)


@models.command("show")
def show_model(
    context: typer.Context,
    version: Annotated[int, typer.Argument(help="The number of the version.")],
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """One version: what it scored, where it comes from, and which runtime serves it and why."""
    outer, outer_json = context.obj
    facts.show_model(project if project != HERE else outer, version, as_json=as_json or outer_json)


@app.command()
def alerts(
    project: ProjectOption = HERE,
    every: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Open alerts, newest first."""
    facts.show_alerts(project, every=every, as_json=as_json)


@app.command()
def reports(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """Windows that have a report, newest first."""
    facts.show_reports(project, as_json=as_json)


@app.command()
def why(
    prediction: Annotated[str, typer.Argument(help="The id of a prediction.")],
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """One answer explained: its record, its label, and the version, code and rows behind it."""
    facts.show_why(project, prediction, as_json=as_json)


@app.command()
def promote(
    version: Annotated[int, typer.Argument(help="The version to make champion.")],
    project: ProjectOption = HERE,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the move.")] = "by hand",
    as_json: JsonOption = False,
) -> None:
    """Make a version the champion in every worker."""
    from evenkeel.actions import run_promote

    run_promote(project, version, reason, as_json=as_json)


@app.command()
def rollback(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """Make the previous champion the champion again."""
    from evenkeel.actions import run_rollback

    run_rollback(project, as_json=as_json)


@app.command()
def erase(
    subject: Annotated[str, typer.Option("--subject", help="Whom to erase, as callers name them.")],
    project: ProjectOption = HERE,
    wait: Annotated[float, typer.Option("--wait", min=1, help="Seconds to wait until it is done.")] = 600.0,
    as_json: JsonOption = False,
) -> None:
    """Erase all that is recorded about a subject, and prove it. Ends with 1 when anything of it is found."""
    from evenkeel.erase_command import run_erase

    raise typer.Exit(run_erase(project, subject, wait, as_json=as_json))


@app.command()
def doctor(
    project: ProjectOption = HERE,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every byte of the feature log and compare every checksum.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the project: configuration, stores, versions, folders. Ends with 1 when something needs care."""
    from evenkeel.doctor import run_doctor

    raise typer.Exit(run_doctor(project, as_json=as_json, verify=verify))


@keys.command("create")
def create_key(
    scope: Annotated[Scope, typer.Option("--scope", help="What the key opens; admin opens everything.")],
    project: ProjectOption = HERE,
    name: Annotated[str | None, typer.Option("--name", help="Whose it is, or what for; shown in lists.")] = None,
    rate_per_minute: Annotated[
        int | None,
        typer.Option("--rate-per-minute", min=1, max=10**9, help="Most requests a minute; no limit by default."),
    ] = None,
    expires_days: Annotated[
        int | None, typer.Option("--expires-days", min=1, max=36_500, help="Days until it ends; never by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, this once: only a digest of it is kept."""
    from evenkeel.keys_command import run_create

    run_create(project, scope, name, rate_per_minute, expires_days, as_json=as_json)


@keys.command("list")
def list_keys(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """Every key, newest first: what it opens, and whether it still does."""
    from evenkeel.keys_command import run_list

    run_list(project, as_json=as_json)


@keys.command("revoke")
def revoke_key(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="The key's id, the part before the dot.")],
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """End a key for ever; running services refuse it within a second."""
    from evenkeel.keys_command import run_revoke

    run_revoke(project, identifier, as_json=as_json)


def _become(module: str, project: Path, *flags: str) -> None:
    """Replace this process by the module's, so that signals reach it directly. Raises ConfigInvalid before that."""
    from lifecycle.config import load

    load(project.resolve())
    command = [sys.executable, "-m", module, "--project", str(project), *flags]
    os.execv(sys.executable, command)  # noqa: S606 - no shell on purpose


def main() -> None:
    """The console script."""
    logs.configure("evenkeel", quiet=True)
    try:
        app()
    except EvenkeelError as error:
        typer.echo(f"evenkeel: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
