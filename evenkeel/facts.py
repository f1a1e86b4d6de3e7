"""The commands that only look: status, models, models show, alerts, reports, why. Each prints what the ledger and the log hold."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from evenkeel import show, thresholds
from lifecycle.errors import ProjectInvalid
from lifecycle.ids import is_uuid7
from lifecycle.project import Project
from lifecycle.promotion import alive
from lifecycle.records import ModelVersion, Verdict
from lifecycle.runtimes.facts import RuntimeFacts

SHOWN = 10


def show_status(path: Path, *, as_json: bool) -> None:
    """The project at a glance."""
    project = Project.open(path)
    facts = status(project)
    if as_json:
        show.as_json(facts)
        return
    champion = facts["champion"]
    show.line(f"{facts['model']} in {facts['project']}", "bold")
    if champion["version"] is None:
        show.line("no champion; `evenkeel promote VERSION` makes one")
    else:
        show.line(
            f"champion   version {champion['version']}, generation {champion['generation']}, since {champion['since']}"
        )
    serving = ", ".join(f"{item['pid']} (version {item['version']})" for item in facts["workers"]) or "none running"
    show.line(f"workers    {serving}")
    log = facts["feature_log"]
    show.line(
        f"log        {log['rows']} rows, {log['pending_segments']} segment(s) to fold, folded until {log['folded_until']}"
    )
    show.table(
        "verdicts",
        ("window", "rows", "verdict", "version", "impact", "loss", "estimate", "labels", "reference", "reason"),
        [
            (
                item["start"],
                item["rows"],
                item["state"],
                item["version"],
                _share(item["impact"]),
                show.number(item["loss"]),
                _estimated(item["estimate"]),
                _share(item["coverage"]),
                item["reference"],
                item["reasons"][0] if item["reasons"] else None,
            )
            for item in facts["verdicts"]
        ],
    )
    thresholds.show_thresholds(facts["thresholds"])
    show.table(
        "open alerts",
        ("since", "severity", "kind", "title"),
        [(item["opened_at"], item["severity"], item["kind"], item["title"]) for item in facts["alerts"]],
    )
    show.table(
        "retrain runs",
        ("requested", "state", "version", "reason"),
        [
            (item["requested_at"], item["state"], item["challenger"], (item["reasons"] or [item["trigger"]])[0])
            for item in facts["runs"]
        ],
    )


def status(project: Project) -> dict[str, Any]:
    """What `status` shows, as plain values."""
    ledger = project.ledger
    pointer = ledger.pointer()
    fold = ledger.fold_status()
    return {
        "project": str(project.path),
        "model": project.config.model.name,
        "champion": {
            "version": pointer.version,
            "generation": pointer.generation,
            "since": show.moment(pointer.moved_at),
        },
        "workers": [
            {"pid": worker.pid, "version": worker.version, "generation": worker.generation}
            for worker in alive(ledger, project.clock)
        ],
        "feature_log": {
            "rows": fold.folded_rows if fold else 0,
            "pending_segments": fold.pending_segments if fold else 0,
            "quarantined_segments": fold.quarantined_segments if fold else 0,
            "folded_until": show.moment(fold.watermark) if fold else None,
        },
        "verdicts": [_verdict(verdict) for verdict in ledger.latest(SHOWN)],
        "thresholds": thresholds.thresholds(project, pointer.version),
        "alerts": [
            {
                "kind": alert.kind,
                "severity": alert.severity,
                "title": alert.title,
                "opened_at": show.moment(alert.opened_at),
            }
            for alert in ledger.alerts(only_open=True)
        ],
        "runs": [
            {
                "id": run.id,
                "state": run.state,
                "trigger": run.trigger,
                "challenger": run.challenger,
                "reasons": run.decision.get("reasons", []),
                "requested_at": show.moment(run.requested_at),
            }
            for run in ledger.runs(SHOWN)
        ],
    }


def show_models(path: Path, *, as_json: bool) -> None:
    """Every version, newest first."""
    project = Project.open(path)
    champion = project.ledger.pointer().version
    found = [_version(version, champion) for version in project.ledger.versions()]
    if as_json:
        show.as_json(found)
        return
    show.table(
        f"versions of {project.config.model.name}",
        ("version", "role", "made", "loss", "trivial", "rows", "parent", "challenger"),
        [
            (
                item["version"],
                item["role"],
                item["created_at"],
                show.number(item["metrics"].get("loss")),
                show.number(item["metrics"].get("trivial_loss")),
                show.number(item["metrics"].get("rows")),
                item["parent"],
                item["lineage"].get("challenger"),
            )
            for item in found
        ],
    )


def show_model(path: Path, number: int, *, as_json: bool) -> None:
    """One version whole. Raises ProjectInvalid when there is none of that number."""
    facts = model(Project.open(path), number)
    if as_json:
        show.as_json(facts)
        return
    runtime = facts["runtime"]
    serving = [
        ("status", facts["status"]),
        ("parent", facts["parent"]),
        ("runtime", runtime["name"]),
        ("because", runtime["reason"]),
        ("differs at most", None if runtime["tolerance"] is None else f"{runtime['tolerance']:.1e} (relative)"),
        ("rows verified", runtime["rows"] or None),
    ]
    show.table(f"version {number} ({facts['role']})", ("what", "value"), [*serving, *_lineage_rows(facts)])


def model(project: Project, number: int) -> dict[str, Any]:
    """Everything about one version, as plain values. Raises ProjectInvalid when there is none of that number."""
    version = project.ledger.version(number)
    if version is None:
        known = [item.number for item in project.ledger.versions()]
        raise ProjectInvalid(
            f"there is no version {number}; "
            + (
                f"the newest is {known[0]}, and `evenkeel models` lists all"
                if known
                else "no version is registered yet"
            )
        )
    runtime = RuntimeFacts.of(project.store.facts(version.number, version.manifest_digest))
    about = _version(version, project.ledger.pointer().version)
    return about | {"status": version.status, "runtime": asdict(runtime)}


def show_alerts(path: Path, *, every: bool, as_json: bool) -> None:
    """Alerts, newest first."""
    project = Project.open(path)
    found = project.ledger.alerts(only_open=not every)
    if as_json:
        show.as_json([asdict(alert) for alert in found])
        return
    if not found:
        show.line("no open alerts" if not every else "no alerts yet")
    for alert in found:
        until = f"resolved {show.moment(alert.resolved_at)}" if alert.resolved_at else "open"
        show.line(f"{show.moment(alert.opened_at)}  {alert.severity:6}  {alert.kind}  ({until})", "bold")
        show.line(alert.title)
        show.line(alert.body)
        show.line()


def show_reports(path: Path, *, as_json: bool) -> None:
    """Windows that have a rendered report."""
    project = Project.open(path)
    found = [verdict for verdict in project.ledger.latest(10_000) if verdict.report]
    facts = [{**_verdict(verdict), "file": str(project.reports / str(verdict.report))} for verdict in found]
    if as_json:
        show.as_json(facts)
        return
    show.table(
        "reports", ("window", "verdict", "file"), [(item["start"], item["state"], item["file"]) for item in facts]
    )


def show_why(path: Path, identifier: str, *, as_json: bool) -> None:
    """The record of one prediction and the version behind it. Raises ProjectInvalid when there is none."""
    project = Project.open(path)
    facts = why(project, identifier)
    if as_json:
        show.as_json(facts)
        return
    record, version = facts["record"], facts["version"]
    show.line(f"prediction {identifier}", "bold")
    show.table("record", ("field", "value"), [(name, value) for name, value in record.items() if name != "id"])
    if version is None:
        show.line("answered by none of this project's versions: it was imported")
        return
    show.table(f"version {version['version']} ({version['role']})", ("what", "value"), _lineage_rows(version))


def why(project: Project, identifier: str) -> dict[str, Any]:
    """Everything behind one answer, as plain values; `version` is None for an imported row of another model.

    Raises ProjectInvalid when the id is unknown.
    """
    if not is_uuid7(identifier):
        raise ProjectInvalid("that is not the id of a prediction; an answer of POST /predict carries one for each row")
    rows = project.tables.record(identifier).to_pylist()
    if not rows:
        raise ProjectInvalid(
            f"the feature log holds no prediction {identifier}; if it was answered just now, wait for the next fold"
        )
    record = rows[0]
    version = project.ledger.version(record["version"])
    moved = [move for move in project.ledger.moves(10_000) if move.generation == record["generation"]]
    return {
        "record": record,
        "version": _version(version, project.ledger.pointer().version) if version else None,
        "promotion": asdict(moved[0]) | {"at": show.moment(moved[0].at)} if moved else None,
    }


def _lineage_rows(version: dict[str, Any]) -> list[tuple[str, Any]]:
    lineage = version["lineage"]
    flat = {key: value for key, value in lineage.items() if not isinstance(value, dict)}
    snapshot = {f"snapshot {key}": value for key, value in lineage.get("snapshot", {}).items()}
    measured = {f"hold-out {key}": show.number(value) for key, value in version["metrics"].items()}
    return [("made", version["created_at"]), *flat.items(), *snapshot.items(), *measured.items()]


def _version(version: ModelVersion, champion: int | None) -> dict[str, Any]:
    role = (
        "champion"
        if version.number == champion
        else {"promoted": "former champion"}.get(version.status, version.status)
    )
    return {
        "version": version.number,
        "role": role,
        "created_at": show.moment(version.created_at),
        "parent": version.parent,
        "metrics": version.metrics,
        "lineage": version.lineage,
        "manifest_digest": version.manifest_digest,
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    performance = verdict.performance
    return {
        "start": show.moment(verdict.start),
        "end": show.moment(verdict.end),
        "rows": verdict.rows,
        "state": verdict.state,
        "version": verdict.version,
        "reference": verdict.reference,
        "drifted_columns": [score.column for score in verdict.scores if score.drifted],
        "impact": verdict.impact,
        "estimate": asdict(verdict.estimate) if verdict.estimate else None,
        "loss": performance.metrics.get("loss") if performance else None,
        "coverage": performance.coverage if performance else None,
        "reasons": list(verdict.reasons),
        "report": verdict.report,
        "retrain": verdict.retrain,
    }


def _estimated(estimate: dict[str, Any] | None) -> str | None:
    if estimate is None:
        return None
    return f"{show.number(estimate['loss'])}{'' if estimate['trusted'] else ' (not trusted)'}"


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.0%}"
