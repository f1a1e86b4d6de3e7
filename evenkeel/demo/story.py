"""The story of the demo: each step is done or waited for, seen, measured, and told.

No step succeeds by script: a step that is not seen in its time ends the story, and the summary says which.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from evenkeel.demo.observer import NotObserved, Observer
from evenkeel.demo.receiver import AlertReceiver
from evenkeel.demo.traffic import Traffic
from evenkeel.demo.world import UNSEEN_PARTS, DigitsWorld
from lifecycle.clock import SystemClock

FIRST = 1
READY_SECONDS = 60.0
WINDOW_SECONDS = 60.0
ALERT_SECONDS = 90.0
RETRAIN_SECONDS = 150.0
SWAP_SECONDS = 20.0
RECOVERY_SECONDS = 60.0
RECOVERED_SHARE = 0.5
"""The share of the lost accuracy that must come back, on images no model has seen, to call it recovered."""


@dataclass
class Summary:
    """What was measured. Times are seconds since the world changed; accuracies are of the answers that callers got."""

    steps: list[str] = field(default_factory=list)
    missing: str | None = None
    accuracy_before: float | None = None
    accuracy_during: float | None = None
    accuracy_after: float | None = None
    seconds_to_alert: float | None = None
    seconds_to_promotion: float | None = None
    seconds_to_last_worker: float | None = None
    swap_seconds: float | None = None
    workers: int = 0
    alerts: list[str] = field(default_factory=list)
    version: int | None = None
    requests_sent: int = 0
    requests_failed: int = 0
    seconds: float = 0.0
    project: str = ""

    def describe(self) -> dict[str, Any]:
        return asdict(self)


class Story:
    """Tells one demo. `tell` receives each line as it happens."""

    def __init__(
        self, observer: Observer, traffic: Traffic, receiver: AlertReceiver, tell: Callable[[str], None]
    ) -> None:
        self._observer = observer
        self._traffic = traffic
        self._receiver = receiver
        self._tell = tell
        self._world = DigitsWorld()
        self._clock = SystemClock()
        self._onset = 0
        self.summary = Summary()

    def run(self) -> Summary:
        """Go through all steps; `missing` names the one that was not seen, if any."""
        began = time.monotonic()
        steps = (self._ready, self._steady, self._alert, self._promotion, self._swap, self._recovery)
        try:
            for step in steps:
                step()
                self.summary.steps.append(step.__name__.strip("_"))
        except NotObserved as error:
            self.summary.missing = str(error)
            self._tell(f"not seen: {error}")
        self.summary.requests_sent = self._traffic.counts.sent
        self.summary.requests_failed = self._traffic.counts.failed
        self.summary.alerts = [str(message.get("title", "")) for message in self._receiver.messages]
        self.summary.seconds = round(time.monotonic() - began, 1)
        return self.summary

    def _ready(self) -> None:
        self._observer.wait("a ready service and monitor", self._observer.ready, READY_SECONDS)
        self._tell("service and monitor are up; scanned digits start to arrive")

    def _steady(self) -> None:
        self._traffic.switch("before", self._world.steady())
        self._traffic.start()
        verdict = self._observer.wait("a window judged ok", lambda: self._judged("ok", 0), WINDOW_SECONDS)
        before = self._traffic.tally("before").accuracy()
        self.summary.accuracy_before = before
        self._tell(f"first full window judged ok ({verdict['rows']} rows); accuracy of the answers {before:.1%}")

    def _alert(self) -> None:
        self._onset = self._clock.now()
        delivered = len(self._receiver.messages)
        self._traffic.switch("during", self._world.drifted())
        self._tell("the scanner's paper guide slips: every digit arrives one line of pixels lower")
        verdict = self._observer.wait("a drift or performance verdict", self._alarming, ALERT_SECONDS)
        self._tell(f"verdict {verdict['state']}: {verdict['reasons'][0]}")
        message = self._observer.wait(
            "an alert at the webhook", lambda: next(iter(self._receiver.messages[delivered:]), None), ALERT_SECONDS
        )
        self.summary.seconds_to_alert = self._since_onset(self._clock.now())
        self._tell(f"alert received: {message.get('title')}")

    def _promotion(self) -> None:
        run = self._observer.wait("a promoted retrain", self._promoted, RETRAIN_SECONDS)
        self.summary.swap_seconds = run["decision"].get("swap_seconds")
        self.summary.version = run["challenger"]
        self._tell(f"retrain promoted version {run['challenger']}: {run['decision']['reasons'][0]}")

    def _swap(self) -> None:
        status = self._observer.wait("every worker on the new version", self._all_swapped, SWAP_SECONDS)
        workers = status["workers"]
        self.summary.workers = len(workers)
        self.summary.seconds_to_promotion = self._since_onset(status["champion"]["moved_at"])
        self.summary.seconds_to_last_worker = self._since_onset(max(worker["swapped_at"] for worker in workers))
        during = self._traffic.tally("during").accuracy(FIRST)
        self.summary.accuracy_during = during
        self._tell(f"all {len(workers)} workers follow; accuracy of version 1 since the change was {during:.1%}")

    def _recovery(self) -> None:
        """Images no model has seen decide; where one promotion is not enough, the loop goes on and is measured again."""
        before, during = self.summary.accuracy_before, self.summary.accuracy_during
        assert before is not None, "measured in an earlier step"
        assert during is not None, "measured in an earlier step"
        for part in range(UNSEEN_PARTS):
            after = self._measured_on_unseen(part)
            if after >= during + RECOVERED_SHARE * (before - during):
                said = f"accuracy {after:.1%} on images never seen, after {during:.1%}; it was {before:.1%} before"
                self._tell(f"recovered: {said}")
                return
            self._tell(f"not recovered yet: accuracy {after:.1%} on images never seen; the loop goes on")
            if part + 1 < UNSEEN_PARTS:
                self._promotion()
                self._observer.wait("every worker on the new version", self._all_swapped, SWAP_SECONDS)
        raise NotObserved(f"recovery: accuracy is {after:.1%} after {during:.1%}, of {before:.1%} before")

    def _measured_on_unseen(self, part: int) -> float:
        """The accuracy on one part of the unseen images; ordinary drifted traffic goes on afterwards."""
        phase = f"after {part}"
        self._traffic.switch(phase, self._world.unseen(part))
        self._observer.wait("the answers to unseen images", self._all_answered, RECOVERY_SECONDS)
        after = self._traffic.tally(phase).accuracy()
        assert after is not None, "they were answered"
        self.summary.accuracy_after = after
        self._traffic.switch("later", self._world.drifted())
        return after

    def _judged(self, state: str, since: int) -> dict[str, Any] | None:
        found = (item for item in self._observer.verdicts() if item["start"] >= since and item["state"] == state)
        return next(found, None)

    def _alarming(self) -> dict[str, Any] | None:
        return next(
            (
                item
                for item in reversed(self._observer.verdicts())
                if item["end"] > self._onset and item["state"] in ("drift", "performance")
            ),
            None,
        )

    def _promoted(self) -> dict[str, Any] | None:
        """A retrain that promoted a newer version than the last one told of."""
        told = self.summary.version or FIRST
        newer = (run for run in self._observer.runs() if run["state"] == "promoted" and run["challenger"] > told)
        return next(newer, None)

    def _all_swapped(self) -> dict[str, Any] | None:
        status = self._observer.status()
        workers = status["workers"] if status else []
        done = bool(workers) and all((worker["version"] or 0) >= (self.summary.version or 0) for worker in workers)
        return status if done else None

    def _all_answered(self) -> bool | None:
        return self._traffic.done.is_set() or None

    def _since_onset(self, moment: int) -> float:
        return round((moment - self._onset) / 1e6, 2)
