"""`evenkeel doctor`: looks at everything a project stands on and says, for each, whether it is well and what to do.

With `--verify` it also reads every byte of the feature log and compares every checksum.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from evenkeel import show
from lifecycle import models
from lifecycle.clock import MICROSECONDS
from lifecycle.config import load
from lifecycle.contract import Contract
from lifecycle.errors import EvenkeelError
from lifecycle.feature_log.naming import SEALED, is_segment, parsed
from lifecycle.feature_log.rows import decode
from lifecycle.ledger.connect import wal_is_safe
from lifecycle.project import Project
from lifecycle.pseudonyms import Pseudonyms

LOW_DISK_BYTES = 2**30
FOLD_LEASE = "fold"
SILENT_SECONDS = 300
"""A fold reports every few seconds; after an erasure, or a merge of many files, it may take a minute or two."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: Literal["ok", "warning", "failed"]
    detail: str


def run_doctor(path: Path, *, as_json: bool, verify: bool = False) -> int:
    """Print the findings; 1 when any failed, else 0."""
    found = examine(path, verify=verify)
    if as_json:
        show.as_json([asdict(finding) for finding in found])
    else:
        show.table("doctor", ("what", "state", "detail"), [(item.what, item.state, item.detail) for item in found])
    return int(any(finding.state == "failed" for finding in found))


def examine(path: Path, *, verify: bool = False) -> list[Finding]:
    """Every finding, in the order of what depends on what; with `verify` also what every byte of the feature log says."""
    try:
        load(path.resolve())
        project = Project.open(path)
    except EvenkeelError as error:
        return [Finding("configuration", "failed", str(error))]
    checks: dict[str, Callable[[Project], Finding]] = {
        "contract": _contract,
        "ledger": partial(_ledger, thorough=verify),
        "versions": _versions,
        "champion": _champion,
        "feature log": _feature_log,
        "fold": _fold,
        "imports": _imports,
        "erasures": _erasures,
        "disk": _disk,
    }
    found = [Finding("configuration", "ok", "read"), *(_run(what, check, project) for what, check in checks.items())]
    return [*found, *_verified(project)] if verify else found


def _run(what: str, check: Callable[[Project], Finding], project: Project) -> Finding:
    try:
        return check(project)
    except (EvenkeelError, OSError) as error:
        return Finding(what, "failed", str(error))


def _contract(project: Project) -> Finding:
    contract = project.contract()
    _require_key(project, contract)
    return Finding("contract", "ok", f"{len(contract.columns)} features, target {contract.target.name!r}")


def _require_key(project: Project, contract: Contract) -> None:
    if contract.needs_key:
        Pseudonyms.read(project.path / project.config.feature_log.pseudonym_key, contract.key_check)


def _ledger(project: Project, *, thorough: bool) -> Finding:
    project.ledger.pointer()
    if problems := project.ledger.problems(thorough=thorough):
        detail = (
            f"SQLite finds it damaged ({'; '.join(problems)}); stop the project and restore the ledger from a backup"
        )
        return Finding("ledger", "failed", detail)
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
    _require_key(project, models.load(version, project.store).contract)
    return Finding("champion", "ok", f"version {number} loads and answers its golden rows")


def _feature_log(project: Project) -> Finding:
    status = project.ledger.fold_status()
    rows = project.tables.row_count()
    problems = []
    if status and status.quarantined_segments:
        problems.append(
            f"{status.quarantined_segments} damaged segment(s) are set aside in {project.tables.quarantine}"
        )
    if stray := _stray(project.tables.segments):
        problems.append(f"{', '.join(stray)} in {project.tables.segments}: no segment, so never folded; move it away")
    return Finding("feature log", "warning" if problems else "ok", "; ".join(problems) or f"{rows} rows")


def _stray(folder: Path) -> list[str]:
    """What is no segment; what is folded this moment is one."""
    paths = sorted(folder.iterdir()) if folder.exists() else []
    return [path.name for path in paths if not is_segment(path.name) or path.is_symlink() or path.is_dir()]


def _fold(project: Project) -> Finding:
    now, lease, status = project.clock.now(), project.ledger.lease(FOLD_LEASE), project.ledger.fold_status()
    if lease is None or lease.expires_at <= now:
        return Finding("fold", "ok", "nobody folds now")
    if status and status.problem:
        return Finding("fold", "warning", f"the last round had problems: {status.problem}")
    if status and abs(now - status.at) < SILENT_SECONDS * MICROSECONDS:
        return Finding("fold", "ok", f"{lease.holder} folds")
    since = f"for {abs(now - status.at) // MICROSECONDS} s" if status else "so far"
    detail = (
        f"{lease.holder} holds the lease and has reported nothing {since}; unless it began this minute, read its log, and start "
        "the project again"
    )
    return Finding("fold", "warning", detail)


def _imports(project: Project) -> Finding:
    from lifecycle.feature_log.imports import Imports

    area = Imports(project.tables.folder)
    if area.set_aside():
        return Finding("imports", "warning", area.decision())
    if odd := area.odd():
        detail = f"{', '.join(map(str, odd))}: put there by no import, so left alone; move it away"
        return Finding("imports", "warning", detail)
    left = area.unfinished()
    if left:
        detail = f"{len(left)} import(s) were cut short after they were decided; the next fold publishes the rest"
        return Finding("imports", "warning", detail)
    return Finding("imports", "ok", "none is unfinished")


def _erasures(project: Project) -> Finding:
    left = [erasure for erasure in project.ledger.erasures() if erasure.finished_at is None]
    if left:
        detail = f"{len(left)} erasure(s) are not finished; a running fold finishes them, or `evenkeel fold` does"
        return Finding("erasures", "warning", detail)
    return Finding("erasures", "ok", "none is unfinished")


def _verified(project: Project) -> Iterator[Finding]:
    looks = {"tables": _tables, "segments": _segments, "quarantine": _quarantine}
    for what, look in looks.items():
        try:
            yield from look(project)
        except (EvenkeelError, OSError) as error:
            yield Finding(what, "failed", str(error))


def _tables(project: Project) -> Iterator[Finding]:
    tables = project.tables
    problems = tables.verify()
    for problem in problems:
        yield Finding("tables", "failed", problem)
    if not problems:
        files = sum(len(table.files()) for table in tables.all)
        yield Finding("tables", "ok", f"every page of {files} file(s) holds its checksum, and no file is missing")


def _segments(project: Project) -> Iterator[Finding]:
    """Those of living writers too, whose last record may be on its way."""
    count = rows = 0
    for path in _segments_in(project.tables.segments):
        try:
            found = decode(path.read_bytes(), sealed=path.suffix == SEALED, size=parsed(path.name).size)
        except FileNotFoundError:
            continue  # folded this moment
        count, rows = count + 1, rows + found.count
        if found.corrupt_frames:
            detail = (
                f"{path.name} has {found.corrupt_frames} damaged frame(s) and {found.count} sound row(s), which the next fold "
                "takes before it sets the file aside; check the disk"
            )
            yield Finding("segments", "warning", detail)
    yield Finding("segments", "ok", f"{count} segment(s) with {rows} row(s) and label(s) wait for the next fold")


def _quarantine(project: Project) -> Iterator[Finding]:
    paths = _segments_in(project.tables.quarantine)
    for path in paths:
        found = decode(path.read_bytes(), sealed=True)
        detail = (
            f"{path} has {found.corrupt_frames} damaged frame(s) beside {found.count} sound row(s); check the disk, and delete "
            "the file once what is lost is known"
        )
        yield Finding("quarantine", "warning", detail)
    if not paths:
        yield Finding("quarantine", "ok", "nothing is set aside")


def _segments_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if is_segment(path.name)) if folder.exists() else []


def _disk(project: Project) -> Finding:
    free = shutil.disk_usage(project.path).free
    state: Literal["ok", "warning"] = "ok" if free > LOW_DISK_BYTES else "warning"
    return Finding("disk", state, f"{free / 2**30:.1f} GiB free")
