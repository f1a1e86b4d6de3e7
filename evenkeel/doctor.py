"""`evenkeel doctor`: looks at everything a project stands on and says, for each, whether it is well and what to do."""

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from evenkeel import show
from lifecycle import models
from lifecycle.config import load
from lifecycle.errors import EvenkeelError
from lifecycle.ledger.connect import wal_is_safe
from lifecycle.project import Project

LOW_DISK_BYTES = 2**30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: Literal["ok", "warning", "failed"]
    detail: str


def run_doctor(path: Path, *, as_json: bool) -> int:
    """Print the findings; 1 when any failed, else 0."""
    found = examine(path)
    if as_json:
        show.as_json([asdict(finding) for finding in found])
    else:
        show.table("doctor", ("what", "state", "detail"), [(item.what, item.state, item.detail) for item in found])
    return int(any(finding.state == "failed" for finding in found))


def examine(path: Path) -> list[Finding]:
    """Every finding, in the order of what depends on what."""
    try:
        load(path.resolve())
        project = Project.open(path)
    except EvenkeelError as error:
        return [Finding("configuration", "failed", str(error))]
    checks: dict[str, Callable[[Project], Finding]] = {
        "contract": _contract,
        "ledger": _ledger,
        "versions": _versions,
        "champion": _champion,
        "feature log": _feature_log,
        "disk": _disk,
    }
    return [Finding("configuration", "ok", "read"), *(_run(what, check, project) for what, check in checks.items())]


def _run(what: str, check: Callable[[Project], Finding], project: Project) -> Finding:
    try:
        return check(project)
    except (EvenkeelError, OSError) as error:
        return Finding(what, "failed", str(error))


def _contract(project: Project) -> Finding:
    contract = project.contract()
    return Finding("contract", "ok", f"{len(contract.columns)} features, target {contract.target.name!r}")


def _ledger(project: Project) -> Finding:
    project.ledger.pointer()
    if project.config.ledger.url.startswith("sqlite") and not wal_is_safe():
        detail = f"SQLite {sqlite3.sqlite_version} has the WAL-reset bug; the rollback journal is used, which is safe and slower"
        return Finding("ledger", "ok", detail)
    return Finding("ledger", "ok", "readable")


def _versions(project: Project) -> Finding:
    registered = project.ledger.versions()
    for version in registered:
        project.store.open(version.number, version.manifest_digest)
    stray = set(project.store.numbers()) - {version.number for version in registered}
    if stray:
        detail = (
            f"folders without an entry in the ledger: {sorted(stray)}; a killed run left them, they are never served"
        )
        return Finding("versions", "warning", detail)
    return Finding("versions", "ok", f"{len(registered)} version(s), every digest holds")


def _champion(project: Project) -> Finding:
    number = project.ledger.pointer().version
    version = project.ledger.version(number) if number is not None else None
    if version is None:
        return Finding("champion", "failed", "there is none; `evenkeel promote VERSION` makes one")
    models.load(version, project.store)
    return Finding("champion", "ok", f"version {number} loads and answers its golden rows")


def _feature_log(project: Project) -> Finding:
    status = project.ledger.fold_status()
    rows = project.tables.row_count()
    if status and status.quarantined_segments:
        detail = f"{status.quarantined_segments} damaged segment(s) are set aside in {project.tables.quarantine}"
        return Finding("feature log", "warning", detail)
    return Finding("feature log", "ok", f"{rows} rows")


def _disk(project: Project) -> Finding:
    free = shutil.disk_usage(project.path).free
    state: Literal["ok", "warning"] = "ok" if free > LOW_DISK_BYTES else "warning"
    return Finding("disk", state, f"{free / 2**30:.1f} GiB free")
