"""The commands that change something: retrain, promote, rollback. Each names the person in the ledger."""

import getpass
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from evenkeel import show
from lifecycle import promotion
from lifecycle.ids import uuid7
from lifecycle.logs import configure
from lifecycle.project import Project
from lifecycle.records import RetrainRun


def run_retrain(path: Path, reason: str, *, as_json: bool) -> int:
    """One run in this process, recorded like any other. The exit code: 1 when it failed, 0 when promoted or refused."""
    from retrain.app import job

    configure("retrain")
    project = Project.open(path)
    requested = RetrainRun(uuid7(), project.clock.now(), f"{person()}: {reason}", "requested")
    project.ledger.save_run(requested)
    with show.notes.status("Retraining"):
        finished = job(project).run(requested.id)
    if as_json:
        show.as_json(asdict(finished))
    else:
        _show_run(finished)
    return exit_code(finished)


def exit_code(finished: RetrainRun) -> int:
    """0 for a run that came to a decision, else 1."""
    return 0 if finished.state in ("promoted", "refused") else 1


def _show_run(finished: RetrainRun) -> None:
    show.line(f"run {finished.id}: {finished.state}", "bold")
    for sentence in finished.decision.get("reasons", []):
        show.line(f"  {sentence}")
    if finished.state == "promoted":
        show.line(f"version {finished.challenger} is the champion now; `evenkeel rollback` takes it back")


def run_promote(path: Path, version: int, reason: str, *, as_json: bool) -> None:
    """Move the pointer to `version`."""
    project = Project.open(path)
    with show.notes.status(f"Promoting version {version}"):
        moved = promotion.promote(project.ledger, project.store, project.clock, version, actor=person(), reason=reason)
    _show_move(moved, as_json=as_json)


def run_rollback(path: Path, *, as_json: bool) -> None:
    """Move the pointer back."""
    project = Project.open(path)
    with show.notes.status("Rolling back"):
        moved = promotion.rollback(project.ledger, project.store, project.clock, actor=person())
    _show_move(moved, as_json=as_json)


def person(name: Callable[[], str] = getpass.getuser) -> str:
    """Who is asking, as the operating system knows them: by name, or by number where it has no name for them."""
    try:
        return f"user {name()}"
    except (KeyError, OSError):  # KeyError until Python 3.12
        return f"uid {os.getuid()}"


def _show_move(moved: promotion.Promotion, *, as_json: bool) -> None:
    if as_json:
        show.as_json(asdict(moved))
        return
    followed = f"{moved.workers} worker(s) followed" if moved.workers else "no worker is running"
    seconds = f" within {moved.seconds:.2f} s" if moved.seconds is not None else ""
    show.line(f"version {moved.version} is the champion (generation {moved.generation}); {followed}{seconds}")
