"""`evenkeel monitor --since`: verdicts on the past, with what has been done while it runs and what came of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from evenkeel import show
from evenkeel.supervise import stopped_by_signals
from lifecycle.clock import MICROSECONDS, Rest, from_datetime, to_text
from lifecycle.errors import InputRejected
from lifecycle.ports import Clock
from lifecycle.project import Project
from monitoring.arrivals import LogMoments
from monitoring.backfill import Backfill, Backfilled, monitors_lease
from monitoring.opening import open_judge

TOLD_SECONDS = 5


def run_backfill(path: Path, since: str, until: str | None, *, again: bool, as_json: bool) -> int:
    """Judge the windows from `since` to `until`, or to now; 1 when it was stopped before their end.

    Raises InputRejected for what is no moment, Conflict while a monitor runs.
    """
    project = Project.open(path)
    ledger, clock, settings = project.ledger, project.clock, project.config.monitoring
    start = moment(since, "--since")
    end = clock.now() if until is None else moment(until, "--until")
    if start >= end:
        raise InputRejected(
            f"nothing lies between --since {to_text(start)} and {to_text(end)}; give an earlier --since"
        )
    with monitors_lease(ledger, clock) as held, stopped_by_signals() as stop, _told(clock) as told:
        judge = open_judge(ledger, project.store, project.tables, clock, project.config)
        backfill = Backfill(ledger, LogMoments(project.tables), judge, clock, settings, held)
        found = backfill.run(start, end, stop, again=again, progress=told)
    if as_json:
        show.as_json(facts(found))
    else:
        _show(found)
    return int(found.stopped)


def moment(text: str, option: str) -> int:
    """Microseconds since 1970 for a date or a moment in ISO 8601, UTC unless it says otherwise. Raises InputRejected."""
    try:
        return from_datetime(datetime.fromisoformat(text))
    except (ValueError, OverflowError) as error:
        raise InputRejected(
            f"{option} {text!r} is no moment; write a date such as 2026-01-01, or 2026-01-01T12:00 (UTC)"
        ) from error


def facts(found: Backfilled) -> dict[str, object]:
    """What came of it, for other programs."""
    return {
        "since": to_text(found.since),
        "until": to_text(found.until),
        "reached": to_text(found.reached),
        "judged": found.judged,
        "again": found.again,
        "passed_over": found.passed_over,
        "states": dict(found.states),
        "stopped": found.stopped,
    }


def _show(found: Backfilled) -> None:
    again = f", {found.again} of them again" if found.again else ""
    show.line(f"{found.judged} windows judged{again}, up to {to_text(found.reached)}", "bold")
    if found.states:
        show.table("verdicts", ("state", "windows"), found.states.most_common())
    if found.passed_over:
        show.line(f"{found.passed_over} windows without any row were passed over")
    if found.stopped:
        show.line("stopped before the end; the same command goes on from here", "yellow")


@contextmanager
def _told(clock: Clock) -> Iterator[Callable[[Backfilled], None]]:
    """A bar at a terminal, else a line every few seconds."""
    if not show.notes.is_terminal:
        yield _lines(clock)
        return
    columns = (TextColumn("windows"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=show.notes) as bar:
        task = bar.add_task("windows", total=None, note="")

        def advance(found: Backfilled) -> None:
            done, whole = found.reached - found.since, found.until - found.since
            bar.update(task, completed=done, total=whole, note=f"{found.judged}, up to {to_text(found.reached)}")

        yield advance


def _lines(clock: Clock) -> Callable[[Backfilled], None]:
    rest = Rest(clock)

    def tell(found: Backfilled) -> None:
        if rest.is_over:
            rest.begin(TOLD_SECONDS * MICROSECONDS)
            show.notes.print(f"{found.judged} windows judged, up to {to_text(found.reached)} of {to_text(found.until)}")

    return tell
