"""What holds now and is worth telling a person: read from facts alone, so that the same facts always give the same conditions."""

from collections.abc import Sequence
from dataclasses import dataclass

from lifecycle.clock import MICROSECONDS, to_text
from lifecycle.records import About, Alert, FoldStatus, Pointer, RetrainRun, Severity, Verdict, Worker
from monitoring import sentences
from monitoring.standing import Holding, Standing
from monitoring.verdicts import NOT_FOLDED

KINDS = (
    "drift",
    "performance",
    "data_quality",
    "retrain_refused",
    "retrain_failed",
    "log_degraded",
    "not_converged",
    "monitor_failing",
)
LAG_SECONDS = 60
BACKLOG_SECONDS = 60
"""A backlog is told when it has not become less for so long."""
SILENT_SECONDS = 30
CONVERGED_SECONDS = 30
FAILING_SECONDS = 180
SUBJECTS: dict[About, str] = {
    "feature": "the input",
    "joint": "the input",
    "prediction": "the answers",
    "label": "the labels",
    "calibration": "the calibration",
}


@dataclass(frozen=True)
class Condition:
    """Something that holds now and is worth telling: plain text, one or a few sentences each. `window` is where its verdict starts."""

    kind: str
    severity: Severity
    title: str
    evidence: tuple[str, ...]
    act: str
    since: int
    window: int | None = None
    report: str | None = None


@dataclass(frozen=True)
class Failure:
    """A step of the monitor that has not gone well since `since`, and the sentence why."""

    step: str
    sentence: str
    since: int


@dataclass(frozen=True)
class Facts:
    """What the conditions are read from."""

    now: int
    standing: Standing
    runs: Sequence[RetrainRun]
    fold: FoldStatus | None
    pointer: Pointer
    workers: Sequence[Worker]
    backlog_since: int | None = None
    failures: Sequence[Failure] = ()


def conditions(facts: Facts) -> list[Condition]:
    """Every condition that holds."""
    return [
        *_of_verdicts(facts.standing),
        *_of_runs(facts.runs),
        *_of_log(facts),
        *_of_workers(facts),
        *_of_monitor(facts),
    ]


def is_undecided(kind: str, stands: Standing) -> bool:
    """Whether nothing is known of a condition that was seen before, so that its alert stays.

    While the newest window is broken, or none is judged, nothing is known of drift and quality. Of drift nothing is known either
    while columns are over their thresholds, and have not been for long enough: so it is with a new champion's first windows.
    """
    if kind == "data_quality":
        return stands.latest is None
    if kind not in ("drift", "performance"):
        return False
    return stands.latest is None or stands.data_quality is not None or (kind == "drift" and stands.strays)


def ending(alert: Alert, facts: Facts) -> str:
    """What a promotion has to do with it that `alert` holds no longer, as a sentence; empty when nothing."""
    pointer, newest = facts.pointer, facts.standing.sound
    if alert.kind not in ("drift", "performance") or newest is None or newest.version != pointer.version:
        return ""
    if pointer.moved_at is None or pointer.moved_at < alert.opened_at:
        return ""
    moved, window = to_text(pointer.moved_at), to_text(newest.start)
    return f"Version {pointer.version} became the champion at {moved}, and its window of {window} is judged {newest.state}."


def _of_verdicts(stands: Standing) -> list[Condition]:
    found = []
    if stands.drift:
        title = _drifting(stands.drift.verdict)
        found.append(_condition("drift", "ticket", title, (), stands.drift, "evenkeel reports"))
    if stands.performance:
        found.append(_lost(stands.performance))
    if stands.data_quality:
        severity: Severity = "page" if stands.hit else "ticket"
        title = "the input is broken, and retraining is blocked"
        found.append(_condition("data_quality", severity, title, (), stands.data_quality, "evenkeel status"))
    return found


def _lost(holding: Holding) -> Condition:
    verdict, title = holding.verdict, "the model has lost quality"
    evidence = sentences.of_performance(verdict.performance, verdict.segments)
    if holding.estimated:
        title += ", by an estimate without labels"
        evidence = sentences.of_estimate(verdict.estimate) + evidence
    return _condition("performance", "page", title, evidence, holding, "evenkeel status")


def _condition(
    kind: str, severity: Severity, title: str, evidence: Sequence[str], holding: Holding, act: str
) -> Condition:
    """The evidence, and all that the verdict's reasons say besides."""
    verdict = holding.verdict
    reasons = [reason for reason in verdict.reasons if reason != NOT_FOLDED]
    told = tuple(dict.fromkeys((*evidence, *reasons)))
    return Condition(kind, severity, title, told, act, holding.since, verdict.start, holding.report)


def _drifting(verdict: Verdict) -> str:
    subjects = list(dict.fromkeys(SUBJECTS[score.about] for score in verdict.scores if score.drifted))
    one = subjects in ([], ["the input"], ["the calibration"])
    return f"{' and '.join(subjects) or 'the input'} {'drifts' if one else 'drift'}"


def _of_runs(runs: Sequence[RetrainRun]) -> list[Condition]:
    ended = [run for run in runs if run.state in ("promoted", "refused", "failed")]
    last = max(ended, key=lambda run: run.finished_at or 0, default=None)
    if last is None or last.state == "promoted":
        return []
    reasons = tuple(str(reason) for reason in last.decision.get("reasons", ())) or ("no reason was recorded",)
    since = last.finished_at or last.requested_at
    if last.state == "refused":
        return [Condition("retrain_refused", "ticket", "a retrain was refused", reasons, "evenkeel models", since)]
    return [Condition("retrain_failed", "page", "a retrain failed", reasons, "evenkeel retrain", since)]


def _of_log(facts: Facts) -> list[Condition]:
    fold = facts.fold
    if fold is None:
        return []
    evidence = []
    if fold.quarantined_segments:
        evidence.append(
            f"{fold.quarantined_segments} damaged segments were put aside in the feature log's quarantine folder, and "
            f"{fold.corrupt_frames} of all their records could not be read; look at them, then move them away"
        )
    if fold.problem:
        evidence.append(f"the fold is hindered: {fold.problem}")
    if facts.now - fold.at > SILENT_SECONDS * MICROSECONDS:
        evidence.append(f"the fold has not reported since {to_text(fold.at)}; start it with `evenkeel up`")
    elif facts.now - fold.watermark > LAG_SECONDS * MICROSECONDS:
        evidence.append(
            f"the table ends at {to_text(fold.watermark)}; {fold.pending_segments} segments wait to be folded"
        )
    since = facts.backlog_since
    if since is not None and fold.at - since > BACKLOG_SECONDS * MICROSECONDS:
        evidence.append(
            f"{fold.pending_bytes // 2**20} MiB wait to be folded, and have not become less since {to_text(since)}; "
            "look for what keeps the fold from writing, or give it more of the machine"
        )
    if not evidence:
        return []
    return [
        Condition("log_degraded", "page", "the feature log is degraded", tuple(evidence), "evenkeel doctor", fold.at)
    ]


def _of_workers(facts: Facts) -> list[Condition]:
    moved_at = facts.pointer.moved_at
    if moved_at is None or facts.now - moved_at < CONVERGED_SECONDS * MICROSECONDS:
        return []
    behind = [worker for worker in facts.workers if worker.generation < facts.pointer.generation]
    if not behind:
        return []
    line = f"{len(behind)} of {len(facts.workers)} workers do not serve version {facts.pointer.version}"
    return [
        Condition("not_converged", "page", "workers do not follow the champion", (line,), "evenkeel doctor", moved_at)
    ]


def _of_monitor(facts: Facts) -> list[Condition]:
    lasting = [failure for failure in facts.failures if facts.now - failure.since > FAILING_SECONDS * MICROSECONDS]
    if not lasting:
        return []
    evidence = tuple(f"{item.step} has not gone well since {to_text(item.since)}: {item.sentence}" for item in lasting)
    since = min(failure.since for failure in lasting)
    title = "a step of the monitor keeps failing"
    return [Condition("monitor_failing", "page", title, evidence, "evenkeel doctor", since)]
