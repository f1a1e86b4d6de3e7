"""What the champion's thresholds are and what they promise: the false alarms to expect, and the shifts that would be found."""

from typing import Any

from evenkeel import show
from lifecycle.project import Project
from lifecycle.records import Verdict

LOOKED_BACK = 100
UNITS = {"sd": "{:.3g} standard deviations", "share": "{:.1%} of the commonest category", "score": "{:.4g} (score)"}


def thresholds(project: Project, champion: int | None) -> dict[str, Any] | None:
    """The newest derivation of the champion's thresholds, as plain values; None when there is none yet."""
    if champion is None or project.config.monitoring.reference == "previous":
        return None  # there are as many as windows; each verdict has its own
    derived = [entry for entry in project.ledger.calibrations(champion) if entry.content.get("summary")]
    used = next((verdict for verdict in project.ledger.judged(LOOKED_BACK) if verdict.version == champion), None)
    if used is not None:
        derived = [entry for entry in derived if entry.content["summary"]["reference"] == used.reference]
    if not derived:
        return None
    newest = derived[0]
    budget = project.config.monitoring.false_alarms_per_month
    about = {
        "version": champion,
        "made_at": show.moment(newest.made_at),
        "false_alarms_per_month": budget,
    }
    summary: dict[str, Any] = newest.content["summary"]
    return about | summary | (_in_use(summary, used) if used is not None else {})


def _in_use(summary: dict[str, Any], used: Verdict) -> dict[str, Any]:
    """What the newest verdict was reached by; a shift is known only for the method that it was tried with."""
    tried = {(item["column"], item["method"]): item for item in summary["columns"]}
    columns = []
    for score in used.scores:
        known = tried.get((score.column, score.method), {"smallest_shift": None, "unit": "score"})
        told = {"column": score.column, "about": score.about, "method": score.method, "threshold": score.threshold}
        columns.append(known | told)
    return {"window_rows": used.rows, "columns": columns}


def show_thresholds(told: dict[str, Any] | None) -> None:
    """As a table; nothing when there are none."""
    if told is None:
        return
    show.line(
        f"thresholds of version {told['version']}: at most {told['expected_false_alarms_per_month']:.2g} false alarms a month are "
        f"expected, in windows of {told['window_rows']} rows against {told['reference']}",
        "bold",
    )
    show.table(
        "",
        ("column", "about", "method", "threshold", "shift found half the time"),
        [
            (item["column"], item["about"], item["method"], show.number(item["threshold"]), _shift(item))
            for item in told["columns"]
        ],
    )


def _shift(item: dict[str, Any]) -> str:
    if item["smallest_shift"] is None:
        return "none"
    return UNITS[item["unit"]].format(item["smallest_shift"])
