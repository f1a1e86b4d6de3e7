"""What the newest verdicts say about the world now, whichever of their labels have arrived.

Labels come late, so the newest window seldom has any: drift stands by the newest judged window, quality by the newest
window with enough labels of the version that serves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from lifecycle.records import Verdict
from monitoring.performance import is_lost
from monitoring.verdicts import judged


@dataclass(frozen=True)
class Holding:
    """A condition that holds: the newest verdict that shows it, the start of the first window that did, and the newest report."""

    verdict: Verdict
    since: int
    report: str | None = None


@dataclass(frozen=True)
class Standing:
    """The newest judged verdict, and each condition that holds (None when it does not)."""

    latest: Verdict | None = None
    drift: Holding | None = None
    performance: Holding | None = None
    data_quality: Holding | None = None

    @property
    def cause(self) -> Verdict | None:
        """The verdict that asks for a new model, if any does; lost quality before drift."""
        return self._calling.verdict if self._calling else None

    @property
    def since(self) -> int:
        """The start of the first window that shows what `cause` shows; 0 without a cause."""
        return self._calling.since if self._calling else 0

    @property
    def _calling(self) -> Holding | None:
        return self.performance or self.drift


def standing(history: Sequence[Verdict], minimum_labels: int, persistence: int) -> Standing:
    """The standing of `history` (newest first)."""
    telling = judged(history)
    if not telling:
        return Standing()
    broken = list(takewhile(lambda verdict: verdict.state == "data_quality", telling))
    sound = [verdict for verdict in telling if verdict.state != "data_quality"]
    drifting = list(takewhile(lambda verdict: verdict.drifting and verdict.version == sound[0].version, sound))
    labelled = [verdict for verdict in sound if verdict.performance and verdict.performance.rows >= minimum_labels]
    losing = list(takewhile(lambda verdict: is_lost(verdict.performance, minimum_labels), labelled))
    return Standing(
        latest=telling[0],
        drift=_holding(drifting) if len(drifting) >= persistence else None,
        performance=_holding(losing),
        data_quality=_holding(broken),
    )


def _holding(verdicts: Sequence[Verdict]) -> Holding | None:
    if not verdicts:
        return None
    reports = [verdict.report for verdict in verdicts if verdict.report]
    return Holding(verdicts[0], verdicts[-1].start, reports[0] if reports else None)
