"""When a verdict starts a retrain. The policy answers with a run to request, or with the sentence why not."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from lifecycle.clock import MICROSECONDS, to_text
from lifecycle.config import MonitoringSection, RetrainSection
from lifecycle.feature_log.placing import columns_of
from lifecycle.feature_log.table import LogTables
from lifecycle.ids import uuid7
from lifecycle.ports import Clock
from lifecycle.records import ModelVersion, RetrainRun, Verdict
from monitoring.standing import Standing, of_late, standing
from monitoring.stores import Amendments, MonitorLedger

BY_VERDICT = "verdict: "
OPEN = ("requested", "running")
MONTH = 30 * 86_400 * MICROSECONDS
LOOKED_BACK = 100
MOST_RUNS = 1_000
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Situation:
    """What the policy looks at; `labelled_rows` are those the champion has not been trained on."""

    now: int
    standing: Standing
    champion: int | None
    runs: Sequence[RetrainRun]
    labelled_rows: int


def obstacle(situation: Situation, settings: RetrainSection) -> str | None:
    """Why the standing verdict starts no retrain now, as a sentence; None when it does."""
    cause = situation.standing.cause
    if cause is None:
        return "no verdict asks for a retrain"
    if settings.mode == "off":
        return "retraining by verdicts is turned off ([retrain] mode)"
    if situation.standing.data_quality:
        return "the newest window has a data-quality verdict; a model must not learn from broken input"
    if cause.version != situation.champion:
        return f"the verdict is on version {cause.version}, and version {situation.champion} serves now"
    if open_runs := [run for run in situation.runs if run.state in OPEN]:
        return f"retrain {open_runs[0].id} is {open_runs[0].state}"
    return _resting(situation, settings) or _too_few_rows(situation, settings)


def _resting(situation: Situation, settings: RetrainSection) -> str | None:
    ended = max((run.finished_at or 0 for run in situation.runs), default=0)
    rested_at = ended + int(settings.cooldown_minutes * 60 * MICROSECONDS)
    if ended and situation.now < rested_at:
        return f"the last retrain ended at {to_text(ended)}; the next can start at {to_text(rested_at)}"
    spent = [
        run for run in situation.runs if run.trigger.startswith(BY_VERDICT) and run.requested_at > situation.now - MONTH
    ]
    if len(spent) >= settings.runs_per_month:
        return f"{len(spent)} retrains were started in thirty days, which is the budget"
    return None


def _too_few_rows(situation: Situation, settings: RetrainSection) -> str | None:
    if situation.labelled_rows >= settings.minimum_rows:
        return None
    return f"{situation.labelled_rows} new labelled rows are there; a retrain needs {settings.minimum_rows}"


class Trigger:
    """Applies the policy to the ledger: requests a run, and writes on the verdict what became of it."""

    def __init__(
        self,
        ledger: MonitorLedger,
        amendments: Amendments,
        tables: LogTables,
        clock: Clock,
        monitoring: MonitoringSection,
        retrain: RetrainSection,
    ) -> None:
        self._ledger = ledger
        self._amendments = amendments
        self._tables = tables
        self._clock = clock
        self._monitoring = monitoring
        self._retrain = retrain
        self._counted: tuple[Any, int] = (None, 0)

    def look(self) -> RetrainRun | None:
        """Requests a retrain if the standing verdict calls for one; returns it."""
        history = of_late(self._ledger.judged(LOOKED_BACK), self._clock.now(), self._monitoring)
        now_stands = standing(history, self._monitoring)
        cause = now_stands.cause
        if cause is None:
            return None
        runs = self._ledger.runs(MOST_RUNS)
        if started := _started_by(cause, runs):
            self._note(cause, f"started retrain {started.id}")
            return None
        champion = self._ledger.pointer().version
        rows = self._retrain.minimum_rows
        blocked = obstacle(Situation(self._clock.now(), now_stands, champion, runs, rows), self._retrain)
        if blocked is None:
            rows = self._new_labelled_rows(champion, now_stands.since)
            blocked = obstacle(Situation(self._clock.now(), now_stands, champion, runs, rows), self._retrain)
        if blocked is not None:
            self._note(cause, f"no retrain: {blocked}")
            return None
        return self._request(cause)

    def _request(self, cause: Verdict) -> RetrainRun:
        run = RetrainRun(uuid7(), self._clock.now(), trigger_text(cause), "requested")
        self._ledger.save_run(run)
        self._note(cause, f"started retrain {run.id}")
        log.info("retrain_requested", run=run.id, state=cause.state, window=to_text(cause.start))
        return run

    def _note(self, verdict: Verdict, sentence: str) -> None:
        if verdict.retrain != sentence:
            self._amendments.amend(verdict.start, retrain=sentence)

    def _new_labelled_rows(self, champion: int | None, since: int) -> int:
        """What a retrain would learn of the changed world: labelled rows since the change was first seen, after the
        champion's training snapshot, in windows that have a verdict, and not in broken ones.

        Counted once per state of the tables and windows.
        """
        latest = self._ledger.latest(1)
        end = latest[0].end if latest else self._clock.now()
        state = (champion, self._tables.versions(), since, end)
        if self._counted[0] != state:
            version = self._ledger.version(champion) if champion is not None else None
            window = self._tables.window(max(_trained_until(version), since), end, ["id", "at"], labels=True)
            self._counted = state, sum(map(self._usable, window))
        return self._counted[1]

    def _usable(self, rows: pa.RecordBatch) -> int:
        if not rows.num_rows:
            return 0
        at = pc.cast(rows["at"].filter(_labelled(rows)), pa.int64()).to_numpy(zero_copy_only=False)
        broken = self._ledger.windows_in("data_quality")
        return len(at) - sum(int(((at >= verdict.start) & (at < verdict.end)).sum()) for verdict in broken)


def _labelled(rows: pa.RecordBatch) -> pa.Array:
    """Which rows have a label, of whatever kind."""
    masks = [pc.is_valid(rows[name]) for name in columns_of(rows.schema.names, "label")]
    return reduce(pc.or_, masks)


def trigger_text(cause: Verdict) -> str:
    """The trigger of a run that `cause` starts: the same for the same window and version, whatever the labels do."""
    return f"{BY_VERDICT}version {cause.version} in the window {to_text(cause.start)}"


def _started_by(cause: Verdict, runs: Sequence[RetrainRun]) -> RetrainRun | None:
    return next((run for run in runs if run.trigger == trigger_text(cause)), None)


def _trained_until(version: ModelVersion | None) -> int:
    snapshot = (version.lineage.get("snapshot") or {}) if version else {}
    end = snapshot.get("seen_until", snapshot.get("end"))
    return int(end) + 1 if isinstance(end, int | float) else _earliest(version)


def _earliest(version: ModelVersion | None) -> int:
    """A version from a file has seen none of the log; the log has nothing from before its creation."""
    return version.created_at if version else 0
