"""The monitor's round: close the windows that are due, and look again at those whose labels arrived since.

Each verdict is saved as soon as it is reached, so a round can be ended at any point and the next one goes on from the
ledger.
"""

import threading

import structlog

from lifecycle.clock import MICROSECONDS, to_text
from lifecycle.config import MonitoringSection
from lifecycle.errors import StoreUnavailable
from lifecycle.feature_log.table import LogTables
from lifecycle.ports import Clock
from lifecycle.records import Verdict
from monitoring import windows
from monitoring.judge import Judge
from monitoring.late_labels import LateLabels, touches
from monitoring.stores import Amendments, MonitorLedger

LOOKED_BACK = 100
RELABELLED_AT_ONCE = 20
EVERYTHING = 1_000_000
BEGAN = "watch_began"
log = structlog.get_logger(__name__)


class Watch:
    """Keeps the ledger's verdicts up to the clock."""

    def __init__(
        self,
        ledger: MonitorLedger,
        amendments: Amendments,
        tables: LogTables,
        judge: Judge,
        clock: Clock,
        settings: MonitoringSection,
    ) -> None:
        self._ledger = ledger
        self._amendments = amendments
        self._tables = tables
        self._judge = judge
        self._clock = clock
        self._length = windows.length_of(settings.window_minutes)
        self._horizon = int(settings.label_horizon_minutes * 60 * MICROSECONDS)
        self._since = clock.now()
        self._begin: int | None = None
        self._late_labels = LateLabels(tables)
        self._pending: set[int] = set()

    def close_due(self, stop: threading.Event) -> int:
        """Judge and save every window that is due, oldest first; returns how many. Ends early once `stop` is set."""
        begin = self._next_start()
        if begin is None:
            return 0
        fold = self._ledger.fold_status()
        watermark = fold.watermark if fold else 0
        due = windows.due(begin, self._length, self._clock.now(), watermark, self._since)
        if due.passed_over and due.windows:
            self._report_passed_over(*due.passed_over)
        closed = 0
        for window in due.windows:
            if stop.is_set():
                break
            self._ledger.save(self._judged(window))
            closed += 1
        return closed

    def relabel(self) -> int:
        """Measure again the windows whose labels arrived since the last look; returns how many verdicts changed.

        At most twenty at once, the newest first in line; the others keep their place for the next look.
        """
        moments = self._late_labels.moments()
        history = self._ledger.judged(LOOKED_BACK) if moments is None or len(moments) or self._pending else []
        oldest = self._clock.now() - self._horizon
        open_to_labels = [verdict for verdict in history if verdict.end >= oldest and _awaits_labels(verdict)]
        arrived = {item.start for item in open_to_labels if touches(moments, item.start, item.end)}
        self._pending = (self._pending | arrived) & {verdict.start for verdict in open_to_labels}
        chosen = sorted(self._pending, reverse=True)[:RELABELLED_AT_ONCE]
        self._pending -= set(chosen)
        return sum(self._relabelled(history, start) for start in reversed(chosen))

    def _relabelled(self, history: list[Verdict], start: int) -> bool:
        """Measure one window again. Windows are taken oldest first, because a verdict depends on those before it."""
        index = next(index for index, verdict in enumerate(history) if verdict.start == start)
        verdict = self._judge.relabel(history[index], history[index + 1 :])
        if verdict is None:
            return False
        history[index] = verdict
        self._save_relabelled(verdict)
        log.info("window_relabelled", start=to_text(verdict.start), state=verdict.state)
        return True

    def _save_relabelled(self, verdict: Verdict) -> None:
        self._amendments.amend(
            verdict.start,
            performance=verdict.performance,
            state=verdict.state,
            drifting=verdict.drifting,
            reasons=verdict.reasons,
        )

    def _judged(self, window: windows.Window) -> Verdict:
        """The verdict on `window`. A window that cannot be judged still closes, and says why: the next ones must come."""
        try:
            verdict = self._judge.judge(window, self._ledger.judged(LOOKED_BACK))
        except StoreUnavailable:
            raise  # a store that is away for a while is waited for
        except Exception as error:
            log.exception("window_not_judged", start=to_text(window.start))
            reason = f"the window could not be judged ({type(error).__name__}); the monitor's log has the details"
            now = self._clock.now()
            return Verdict(window.start, window.end, 0, "insufficient_data", None, reasons=(reason,), scored_at=now)
        log.info("window_judged", start=to_text(verdict.start), rows=verdict.rows, state=verdict.state)
        return verdict

    def _next_start(self) -> int | None:
        """Where the last verdict ended; before the first, what the ledger says the watch began with."""
        last = self._ledger.latest(1)
        if last:
            return last[0].end
        moves = self._ledger.moves(EVERYTHING)
        if not moves:
            return None  # nothing can answer before a first promotion, so there is nothing to watch yet
        if self._begin is None:
            self._begin = self._begun() or self._begin_now(moves[-1].at)
        return self._begin

    def _begun(self) -> int | None:
        trail = self._ledger.audit_trail(EVERYTHING)
        return next((int(entry["detail"]["start"]) for entry in trail if entry["action"] == BEGAN), None)

    def _begin_now(self, promoted_at: int) -> int:
        """The window of the first traffic since the first promotion, or of this start; recorded, so a restart agrees."""
        began = max(promoted_at, self._since)
        for rows in self._tables.window(promoted_at - self._length, began, ["id", "at"]):  # in order of time
            if rows.num_rows:
                began = int(rows["at"][0].value)
                break
        start = windows.floor(began, self._length)
        self._ledger.audit(self._clock.now(), "monitor", BEGAN, {"start": start})
        return start

    def _report_passed_over(self, start: int, end: int) -> None:
        detail = {"start": to_text(start), "end": to_text(end), "windows": (end - start) // self._length}
        log.warning("windows_passed_over", **detail)
        self._ledger.audit(self._clock.now(), "monitor", "windows_passed_over", detail)


def _awaits_labels(verdict: Verdict) -> bool:
    return verdict.performance is None or verdict.performance.coverage < 1
