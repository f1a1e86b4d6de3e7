"""The monitor's round: close the windows that are due, and look again at those that rows or labels reached since.

Each verdict is saved as soon as it is reached, so a round can be ended at any point and the next one goes on from the
ledger. The clock may jump. Windows that were judged while it ran ahead stay as they are: none is judged again but for rows that
come to it, and no other window waits for them.
"""

import threading
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Protocol

import structlog

from lifecycle.clock import MICROSECONDS, to_text
from lifecycle.config import MonitoringSection
from lifecycle.errors import StoreUnavailable
from lifecycle.ports import Clock
from lifecycle.records import Verdict
from monitoring.arrivals import SLACK_MICROSECONDS, touched
from monitoring.stores import Amendments, MonitorLedger
from monitoring.timeline import EVERYTHING, Timeline
from monitoring.windows import MOST_DUE, Answered, Moments, Place, Window, floor, grace

LOOKED_BACK = 100
AGAIN_AT_ONCE = 20
BEGAN, PASSED_OVER, WENT_BACK = "watch_began", "windows_passed_over", "clock_went_back"
NOTES = frozenset(("start", "end", "report", "retrain"))
"""What is known of a verdict that judging its window again does not tell."""
log = structlog.get_logger(__name__)


class WindowJudge(Protocol):
    """Judges windows by what is in the log and in the verdicts before them, newest first."""

    def judge(self, window: Window, earlier: Sequence[Verdict]) -> Verdict:
        """The verdict on `window`."""

    def relabel(self, verdict: Verdict, earlier: Sequence[Verdict]) -> Verdict | None:
        """`verdict` with the labels there are now; None when that changes nothing."""


class Arriving(Answered, Protocol):
    """When rows were answered, and of which moments there is something new since the last look; None means any, at first."""

    def new_rows(self, before: int) -> Moments | None:
        """Moments before `before`, ascending."""

    def new_labels(self) -> Moments | None:
        """Moments of the labels' predictions, ascending, to within SLACK_MICROSECONDS."""


class Watch:
    """Keeps the ledger's verdicts up to the clock."""

    def __init__(
        self,
        ledger: MonitorLedger,
        amendments: Amendments,
        arriving: Arriving,
        judge: WindowJudge,
        clock: Clock,
        settings: MonitoringSection,
    ) -> None:
        self._ledger = ledger
        self._amendments = amendments
        self._log = arriving
        self._judge = judge
        self._clock = clock
        self._timeline = Timeline(ledger, arriving, settings)
        self._shape = self._timeline.shape
        self._horizon = int(settings.label_horizon_minutes * 60 * MICROSECONDS)
        self._started = self._since = self._looked_at = clock.now()
        self._begin: int | None = None
        self._told_ahead = 0
        self._reached: set[int] = set()
        self._labelled: set[int] = set()
        self._follow_changed: set[int] = set()

    def close_due(self, stop: threading.Event) -> int:
        """Judge and save the windows that are due, oldest first; returns how many. Ends early once `stop` is set."""
        now = self._clock.now()
        self._follow(now)
        begin = self._began(now)
        if begin is None:
            return 0
        closed = 0
        watermark = self._watermark()
        for place in self._timeline.due(begin, now):
            if stop.is_set() or closed == MOST_DUE:
                break
            if place.passed_over:
                self._report_passed_over(place)
            elif not self._is_over(place.end, now, watermark):
                break
            elif self._ledger.verdict(place.start) is None:  # a back-fill may have been here
                self._ledger.save(self._judged(Window(place.start, place.end, complete=watermark >= place.end)))
                closed += 1
            self._timeline.settle(place)
        return closed

    def look_again(self) -> int:
        """Judge again the windows that rows or labels reached since the last look; returns how many verdicts changed.

        At most twenty at once, the newest first in line; the others keep their place for the next look. A window that is not over
        by the clock, for it was judged while that ran ahead, waits until it is.
        """
        now, watermark = self._clock.now(), self._watermark()
        self._note_arrivals(now - self._horizon)
        waiting = self.waiting
        known = self._timeline.windows(min(waiting)) if waiting else []
        over = [(start, end) for start, end in known if start in waiting and self._is_over(end, now, watermark)]
        changed = 0
        for start, end in over[-AGAIN_AT_ONCE:]:  # oldest first, because a verdict depends on those before it
            if self._judged_again(Window(start, end, complete=watermark >= end)):
                changed += 1
                self._follow_changed.update(self._next(start))
            for waits in (self._reached, self._labelled, self._follow_changed):
                waits.discard(start)
        return changed

    @property
    def waiting(self) -> set[int]:
        """The starts of windows that are to be looked at again."""
        return self._reached | self._labelled | self._follow_changed

    def _next(self, start: int) -> list[int]:
        """The window that comes after this one: how long a column has drifted there depends on it."""
        return [other for other, _ in self._timeline.windows(start) if other > start][:1]

    def _follow(self, now: int) -> None:
        """Notice that the clock jumped, or that nobody looked for a while: then the fold gets its grace anew."""
        if not self._looked_at <= now <= self._looked_at + grace(self._shape.length):
            self._since = now
        if now < self._looked_at:
            self._timeline.forget()
        self._looked_at = now
        ahead = self._timeline.end
        if ahead > now + self._shape.length and ahead != self._told_ahead:
            self._told_ahead = ahead
            self._tell(WENT_BACK, {"judged_until": to_text(ahead)})

    def _is_over(self, end: int, now: int, watermark: int) -> bool:
        """Whether a window can be closed: its end has come, and its rows are folded or have been waited for.

        That is counted from the start of this watch at the earliest, because after a downtime the fold needs time to catch up.
        """
        waited = now >= max(end, self._since) + grace(self._shape.length)
        return end <= now and (watermark >= end or waited)

    def _note_arrivals(self, oldest: int) -> None:
        rows, labels = self._log.new_rows(self._timeline.end), self._log.new_labels()
        if rows is None or self._timeline.has_passed_over(rows):
            self._timeline.forget()
        if rows is None or labels is None or len(rows) or len(labels):
            known = self._timeline.windows(oldest)
            self._reached |= {start for start, _ in known} if rows is None else touched(rows, known)
            lately = {start for start, _ in known[-LOOKED_BACK:]}
            self._labelled |= lately if labels is None else touched(labels, known, SLACK_MICROSECONDS)

    def _judged_again(self, window: Window) -> bool:
        """Whether there was reason to judge `window` again, and its verdict changed."""
        verdict = self._ledger.verdict(window.start)
        if verdict is None:
            return False
        earlier = self._ledger.judged(LOOKED_BACK, window.start)
        found: Verdict | None = None
        try:
            if window.start in self._reached and self._rows(window) > verdict.rows:
                found = self._judge.judge(window, earlier)
            elif window.start in self._follow_changed or (window.start in self._labelled and _awaits_labels(verdict)):
                found = self._judge.relabel(verdict, earlier)
        except StoreUnavailable:
            raise  # a store that is away for a while is waited for
        except Exception:  # the verdict there is stands
            log.exception("window_not_judged_again", start=to_text(window.start))
        if found is None:
            return False
        self._amendments.amend(window.start, **told_by(found))
        log.info("window_judged_again", start=to_text(window.start), rows=found.rows, state=found.state)
        return True

    def _rows(self, window: Window) -> int:
        return sum(map(len, self._log.answered(window.start, window.end)))

    def _judged(self, window: Window) -> Verdict:
        earlier = self._ledger.judged(LOOKED_BACK, window.start)
        return judged_or_told(self._judge, window, earlier, self._clock)

    def _watermark(self) -> int:
        fold = self._ledger.fold_status()
        return fold.watermark if fold else 0

    def _began(self, now: int) -> int | None:
        """Where the first window begins, as the ledger says; None before a first promotion, when nothing can answer."""
        if self._begin is None or self._begin > now:
            self._begin = self._recorded_begin()
        if self._begin is None or self._begin > now:  # a watch that began while the clock ran ahead begins anew
            if self._watermark() < self._started and now < self._started + grace(self._shape.length):
                return None  # what was answered before this start may still wait to be folded
            moves = self._ledger.moves(EVERYTHING)
            self._begin = self._begin_now(moves[-1].at, now) if moves else None
        return self._begin

    def _recorded_begin(self) -> int | None:
        trail = self._ledger.audit_trail(EVERYTHING)
        return next((int(entry["detail"]["start"]) for entry in trail if entry["action"] == BEGAN), None)

    def _begin_now(self, promoted_at: int, now: int) -> int:
        """The window of the first traffic since the first promotion, or of this start; recorded, so a restart agrees.

        A promotion in the future of the clock says nothing; then it is the first traffic for which labels are still waited for.
        """
        since = promoted_at - self._shape.length if promoted_at <= now else now - self._horizon
        started = min(max(promoted_at, self._started), now)
        began = next((int(at[0]) for at in self._log.answered(since, now) if len(at)), started)
        start = floor(began, self._shape.stride)
        self._ledger.audit(now, "monitor", BEGAN, {"start": start})
        return start

    def _report_passed_over(self, place: Place) -> None:
        windows = (place.end - place.start) // self._shape.stride
        self._tell(PASSED_OVER, {"start": to_text(place.start), "end": to_text(place.end), "windows": windows})

    def _tell(self, action: str, detail: dict[str, Any]) -> None:
        """Put it into the audit trail, once: a restart finds the same again."""
        trail = self._ledger.audit_trail(EVERYTHING)
        if not any(entry["action"] == action and _includes(entry["detail"], detail) for entry in trail):
            log.warning(action, **detail)
            self._ledger.audit(self._clock.now(), "monitor", action, detail)


def judged_or_told(judge: WindowJudge, window: Window, earlier: Sequence[Verdict], clock: Clock) -> Verdict:
    """The verdict on `window`. A window that cannot be judged still closes, and says why: the next ones must come."""
    try:
        verdict = judge.judge(window, earlier)
    except StoreUnavailable:
        raise  # a store that is away for a while is waited for
    except Exception as error:
        log.exception("window_not_judged", start=to_text(window.start))
        reason = f"the window could not be judged ({type(error).__name__}); the monitor's log has the details"
        return Verdict(window.start, window.end, 0, "insufficient_data", None, reasons=(reason,), scored_at=clock.now())
    log.info("window_judged", start=to_text(verdict.start), rows=verdict.rows, state=verdict.state)
    return verdict


def told_by(verdict: Verdict) -> dict[str, Any]:
    """What a verdict says of its window, without what others noted on it since."""
    return {field.name: getattr(verdict, field.name) for field in fields(verdict) if field.name not in NOTES}


def _includes(told: dict[str, Any], detail: dict[str, Any]) -> bool:
    """Whether a line of the audit trail says all that `detail` does: the same, or a longer stretch."""
    if "start" not in detail:
        return told == detail
    return bool(told["start"] <= detail["start"] and detail["end"] <= told["end"])


def _awaits_labels(verdict: Verdict) -> bool:
    return verdict.performance is None or verdict.performance.coverage < 1
