"""What the newest verdicts say about the world now, whichever of their labels have arrived.

Labels come late, so the newest window seldom has any: drift stands by the newest sound window, quality by the newest
window with enough labels of the version that answered it or, where newer windows have none yet, by their estimates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from lifecycle.clock import MICROSECONDS
from lifecycle.config import MonitoringSection
from lifecycle.records import Verdict
from monitoring.performance import is_lost
from monitoring.verdicts import is_measured, judged


@dataclass(frozen=True)
class Holding:
    """A condition that holds: the newest verdict that shows it, the start of the first window that did, and the newest report.

    `estimated`: it is a loss of quality that no label has confirmed yet.
    """

    verdict: Verdict
    since: int
    report: str | None = None
    estimated: bool = False


@dataclass(frozen=True)
class Standing:
    """The newest judged verdict, the newest sound one, and each condition that holds (None when it does not).

    `hit`: quality is lost, on sound rows or on those of the broken window that is the newest.
    """

    latest: Verdict | None = None
    sound: Verdict | None = None
    drift: Holding | None = None
    performance: Holding | None = None
    data_quality: Holding | None = None
    hit: bool = False

    @property
    def cause(self) -> Verdict | None:
        """The verdict that asks for a new model, if any does; lost quality before drift."""
        return self._calling.verdict if self._calling else None

    @property
    def since(self) -> int:
        """The start of the first window that shows what `cause` shows; 0 without a cause."""
        return self._calling.since if self._calling else 0

    @property
    def strays(self) -> bool:
        """Whether a column of the newest sound window is over its threshold, for however long."""
        return self.sound is not None and _strays(self.sound)

    @property
    def _calling(self) -> Holding | None:
        return self.performance or self.drift


def of_late(history: Sequence[Verdict], now: int, settings: MonitoringSection) -> list[Verdict]:
    """Those that are young enough for a label to change them: a past that was judged afterwards is no news."""
    oldest = now - int(settings.label_horizon_minutes * 60 * MICROSECONDS)
    return [verdict for verdict in history if verdict.end >= oldest]


def standing(history: Sequence[Verdict], settings: MonitoringSection) -> Standing:
    """The standing of `history` (newest first)."""
    telling = judged(history)
    if not telling:
        return Standing()
    sound = [verdict for verdict in telling if verdict.state != "data_quality"]
    performance = _realised(sound, settings) or _estimated(sound, settings)
    return Standing(
        latest=telling[0],
        sound=sound[0] if sound else None,
        drift=_drift(sound, settings.persistence),
        performance=performance,
        data_quality=_holding(list(takewhile(lambda verdict: verdict.state == "data_quality", telling))),
        hit=performance is not None or _has_lost(telling[0], settings) or _would_lose(telling[0]),
    )


def _drift(sound: Sequence[Verdict], persistence: int) -> Holding | None:
    if not sound or not _drifts(sound[0], persistence):
        return None
    return _holding(list(takewhile(lambda verdict: _strays(verdict) and verdict.version == sound[0].version, sound)))


def _drifts(verdict: Verdict, persistence: int) -> bool:
    """Also where lost quality took precedence in the state."""
    return verdict.state == "drift" or any(score.streak >= persistence for score in verdict.scores)


def _strays(verdict: Verdict) -> bool:
    return verdict.state in ("drift", "warning") or any(score.drifted for score in verdict.scores)


def _realised(sound: Sequence[Verdict], settings: MonitoringSection) -> Holding | None:
    measured = [verdict for verdict in sound if is_measured(verdict.performance, settings)]
    return _holding(list(takewhile(lambda verdict: _has_lost(verdict, settings), measured)))


def _estimated(sound: Sequence[Verdict], settings: MonitoringSection) -> Holding | None:
    """Windows newer than the newest with enough labels: what has been measured needs no estimate."""
    unmeasured = takewhile(lambda verdict: not is_measured(verdict.performance, settings), sound)
    trusted = [verdict for verdict in unmeasured if verdict.estimate and verdict.estimate.trusted]
    return _holding(list(takewhile(_would_lose, trusted)), estimated=True)


def _has_lost(verdict: Verdict, settings: MonitoringSection) -> bool:
    return is_lost(verdict.performance, settings.minimum_labels, settings.minimum_coverage)


def _would_lose(verdict: Verdict) -> bool:
    return verdict.estimate is not None and verdict.estimate.trusted and verdict.estimate.lost


def _holding(verdicts: Sequence[Verdict], *, estimated: bool = False) -> Holding | None:
    if not verdicts:
        return None
    reports = [verdict.report for verdict in verdicts if verdict.report]
    return Holding(verdicts[0], verdicts[-1].start, reports[0] if reports else None, estimated)
