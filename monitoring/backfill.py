"""Judges the past: every window of a period that has no verdict, or all of them, oldest first.

Each verdict is saved as soon as it is reached, so a back-fill that was cut short goes on where it ended. It holds the monitor's
lease, so no monitor judges meanwhile. It opens no alert itself; a monitor that starts later looks at the newest verdicts alone.
"""

import heapq
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from lifecycle.config import MonitoringSection
from lifecycle.errors import Conflict
from lifecycle.ids import uuid7
from lifecycle.ports import Clock, LeaseLedger
from monitoring.steps import Steps
from monitoring.stores import MonitorLedger
from monitoring.timeline import Timeline
from monitoring.watch import LOOKED_BACK, WindowJudge, judged_or_told
from monitoring.windows import Answered, Place, Window

RENEW_SECONDS = 1.0
TAKEN = (
    "a monitor is watching this project, and two of them must not judge its windows at once; stop it (Ctrl-C where "
    "`evenkeel up` or `evenkeel monitor` runs), then try again"
)


@dataclass
class Backfilled:
    """What came of it: windows by state; how many of them had a verdict before, and how many without rows were passed over.

    `reached` is the end of the last window judged, and `until` that of the period as far as its rows are folded.
    """

    since: int
    until: int
    reached: int
    states: Counter[str] = field(default_factory=Counter)
    again: int = 0
    passed_over: int = 0
    stopped: bool = False

    @property
    def judged(self) -> int:
        return self.states.total()


class Backfill:
    """The back-fill of one project; `held` says whether the monitor's lease is still held."""

    def __init__(
        self,
        ledger: MonitorLedger,
        log: Answered,
        judge: WindowJudge,
        clock: Clock,
        settings: MonitoringSection,
        held: Callable[[], bool] = lambda: True,
    ) -> None:
        self._ledger = ledger
        self._log = log
        self._judge = judge
        self._clock = clock
        self._held = held
        self._timeline = Timeline(ledger, log, settings)

    def run(
        self,
        since: int,
        until: int,
        stop: threading.Event,
        *,
        again: bool = False,
        progress: Callable[[Backfilled], None] = lambda _: None,
    ) -> Backfilled:
        """Judge the windows that lie in [`since`, `until`), from the one with the first row on; `again` those with a verdict too.

        What is not folded yet is left for the next time. Ends early once `stop` is set; raises Conflict when the lease is lost.
        """
        fold = self._ledger.fold_status()
        until = min(until, self._clock.now(), fold.watermark if fold else since)
        found = Backfilled(since, until, reached=since)
        for place in self._places(since, until, again=again):
            if stop.is_set():
                found.stopped = True
                break
            if place.passed_over:
                found.passed_over += (place.end - place.start) // self._timeline.shape.stride
            elif place.end <= until:
                self._close(place, found)
                progress(found)
        return found

    def _places(self, since: int, until: int, *, again: bool) -> Iterator[Place]:
        shape = self._timeline.shape
        first = next((int(at[0]) for at in self._log.answered(since, until) if len(at)), until)
        begin = max(since if shape.rows else -(-since // shape.stride) * shape.stride, shape.holding(first))
        known = self._timeline.windows(since) if again else []
        judged = [Place(start, end, end) for start, end in known if start >= since]
        return heapq.merge(self._timeline.due(begin, until), judged, key=lambda place: place.start)

    def _close(self, place: Place, found: Backfilled) -> None:
        window = Window(place.start, place.end)
        before = self._ledger.verdict(place.start)
        verdict = judged_or_told(self._judge, window, self._ledger.judged(LOOKED_BACK, place.start), self._clock)
        if before is not None:
            if verdict.version is None and before.version is not None:
                verdict = before  # what could not be judged now was judged once, and stands
            verdict = replace(verdict, report=before.report, retrain=before.retrain)
        if not self._held():
            raise Conflict("a monitor has taken over while this back-fill was held up; stop it, then run this again")
        self._ledger.save(verdict)
        found.states[verdict.state] += 1
        found.again += before is not None
        found.reached = max(found.reached, place.end)


@contextmanager
def monitors_lease(ledger: LeaseLedger, clock: Clock) -> Iterator[Callable[[], bool]]:
    """Hold the monitor's lease while the block runs, renewed by a thread; gives whether it is held.

    Raises Conflict while a monitor has it.
    """
    steps = Steps(ledger, clock, uuid7())
    steps.renew()
    if not steps.leads:
        raise Conflict(TAKEN)
    done = threading.Event()
    renew = steps.guarded("lease", steps.renew, leading=False)

    def keep() -> None:
        while not done.wait(RENEW_SECONDS):
            renew()

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield lambda: steps.leads
    finally:
        done.set()
        thread.join()
        steps.give_up()
