"""`evenkeel replay` at a terminal: a progress bar while it runs, and what came of it."""

from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evenkeel import show
from evenkeel.client import ServiceClient
from evenkeel.read_source import read_source
from evenkeel.replay import Replay, ReplayResult
from evenkeel.supervise import stopped_by_signals
from lifecycle.project import Project


def run_replay(
    file: Path, path: Path, rate: float, delay: float, batch: int, url: str | None, key: str | None, *, as_json: bool
) -> None:
    """Replay `file` against the project's service, or the one at `url`."""
    if url is None:
        section = Project.open(path).config.service
        url = f"http://{section.host}:{section.port}"
    rows = read_source(file)
    with stopped_by_signals() as stop, _bar() as bar:
        task = bar.add_task("rows", total=len(rows), note="")

        def progress(result: ReplayResult) -> None:
            version = max(result.by_version, default="-")
            note = f"version {version}, {result.labels} labels"
            bar.update(task, completed=result.rows, note=note)

        client = ServiceClient(url, stop, key=key)
        result = Replay(client, stop, rate=rate, delay=delay, batch=batch).run(rows, progress)
        client.close()
    if as_json:
        show.as_json(result.describe())
        return
    loss = "" if result.loss is None else f"; {result.metric} {result.loss:.4g}"
    show.line(
        f"{result.rows} rows in {result.seconds:.1f} s, {result.labels} labels, {result.failed} failed{loss}", "bold"
    )
    show.table(
        "by version",
        ("version", "rows", result.metric),
        [
            (version, tally.rows, show.number(tally.loss / tally.rows))
            for version, tally in sorted(result.by_version.items())
        ],
    )


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=show.notes,
    )
