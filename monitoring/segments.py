"""The same judgement for parts of a window: how the values of a segment column drift, and how good the answers to them are.

A part is compared with the same part of the reference and of the hold-out, so that what was always hard is not blamed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from lifecycle.config import MonitoringSection
from lifecycle.contract import Contract
from lifecycle.records import ColumnScore, Performance, SegmentScore
from monitoring.groups import Groups, Places
from monitoring.performance.answers import labelled
from monitoring.performance.loss import is_lost, loss_threshold
from monitoring.performance.samples import Sample, bounds
from monitoring.performance.standards import order_inertia
from monitoring.references import Reference
from monitoring.rows import Floats, Rows, prediction_name

MOST_ROWS = 20_000
"""Rows of a part that its drift is scored by, evenly spread; the reference has no more."""
NORMAL_95 = 1.96

Drift = Callable[[Reference, Rows, int], Sequence[ColumnScore]]


def segments(
    reference: Reference, rows: Rows, settings: MonitoringSection, drift: Drift, level: float
) -> tuple[SegmentScore, ...]:
    """Each value of a segment or sensitive column that has `minimum_rows` in the window, the worst first.

    Drift is the furthest of the other columns over its threshold: `drift` is given the part's reference, the part's rows
    and the number of scores of all parts together, which share the budget. The loss of the labelled rows has a 95 % interval
    (Wilson's, 1927, for a share of errors); it and the loss of the hold-out's same part each need `minimum_labels`. Quality is
    lost by the rule for the whole, at `level` divided by the number of parts.
    """
    now, before = (_Labelled.of(reference.contract, side) for side in (rows, reference.holdout))
    parts = list(_parts(reference, rows, settings, now, before))
    others = sum(scored.about == "feature" for scored in reference.columns) - 1
    found = []
    for part in parts:
        furthest = _furthest(reference, rows, part, drift, len(parts) * others)
        quality = _quality(part, now, before, settings, level / len(parts))
        excess = max(_times(quality.loss, quality.threshold), _times_over(furthest))
        found.append((quality.lost, excess, _score(part, furthest, quality)))
    return tuple(score for *_, score in sorted(found, key=lambda item: item[:2], reverse=True))


class _Labelled(NamedTuple):
    """Rows that have an answer and a label, their losses, and those of the one answer that would be best for all of them.

    `is_share`: each loss is 0 or 1.
    """

    rows: Rows
    losses: Floats
    weights: Floats
    trivial: Floats
    is_share: bool

    @classmethod
    def of(cls, contract: Contract, rows: Rows | None) -> "_Labelled":
        found = None if rows is None else labelled(contract, _needed(contract, rows))
        if found is None:
            return cls(Rows({}), np.empty(0), np.empty(0), np.empty(0), is_share=False)
        answers, is_share = found.answers, not contract.target.is_regression
        always = answers.losses_of(np.full(len(found.rows), answers.constant))
        return cls(found.rows, answers.losses, answers.weights, always, is_share)

    def sample(self, places: Places) -> Sample:
        """What the losses at `places`, at least one, say of their mean."""
        losses = self.losses[places]
        return Sample.of(losses, self.weights[places], order_inertia(self.rows.taken(places), losses))

    def trivial_loss(self, places: Places) -> float:
        return float(np.average(self.trivial[places], weights=self.weights[places]))


class _Part(NamedTuple):
    """One value of a column: where its rows are in the window, reference and hold-out, and among the labelled ones."""

    column: str
    value: str
    window: Places
    reference: Places
    holdout: Places
    now: Places
    before: Places


class _Quality(NamedTuple):
    loss: float | None = None
    interval: tuple[float, float] | None = None
    reference_loss: float | None = None
    threshold: float | None = None
    lost: bool = False


def _needed(contract: Contract, rows: Rows) -> Rows:
    """Without the columns that say nothing of loss or segment: a copy of these is small."""
    names = {*contract.segments, *contract.sensitive, prediction_name(contract)}
    return Rows({name: rows.columns[name] for name in names}, rows.at, rows.weights, rows.labels)


def _parts(
    reference: Reference, rows: Rows, settings: MonitoringSection, now: _Labelled, before: _Labelled
) -> Iterator[_Part]:
    kinds = {scored.name: scored.kind for scored in reference.columns}
    nothing = Rows({})
    for name in dict.fromkeys((*reference.contract.segments, *reference.contract.sensitive)):
        groups = Groups(reference.rows.columns[name], rows.columns[name], kinds[name], settings.segment_values)
        divided = [
            groups.places(side.columns[name]) if len(side) else np.empty(0, dtype=np.intp)
            for side in (rows, reference.rows, reference.holdout or nothing, now.rows, before.rows)
        ]
        counts = np.bincount(divided[0], minlength=len(groups.names))
        for group in np.flatnonzero(counts >= settings.minimum_rows).tolist():
            yield _Part(name, groups.names[group], *(np.flatnonzero(places == group) for places in divided))


def _furthest(reference: Reference, rows: Rows, part: _Part, drift: Drift, series: int) -> ColumnScore | None:
    """The score of the other column that is furthest over its threshold; None where nothing can be said."""
    if not len(part.reference):
        return None
    thinned = part.window[np.linspace(0, len(part.window) - 1, min(len(part.window), MOST_ROWS)).astype(np.intp)]
    scores = drift(_reference_of(reference, part), rows.taken(thinned), series)
    others = [score for score in scores if score.column != part.column and score.score is not None]
    return max(others, key=_times_over, default=None)


def _reference_of(reference: Reference, part: _Part) -> Reference:
    """The part of a reference; its key follows from the rows, because what is among the others differs from window to window."""
    digest = blake2b(repr((part.column, part.value)).encode("utf-8", "backslashreplace"), digest_size=8)
    for places in (part.reference, part.holdout):
        digest.update(places.tobytes())
    return replace(
        reference,
        key=f"{reference.key}/{digest.hexdigest()}",
        words=f"those {len(part.reference)} of {reference.words} whose {part.column!r} is {part.value!r}",
        rows=reference.rows.taken(part.reference),
        holdout=None if reference.holdout is None else reference.holdout.taken(part.holdout),
    )


def _quality(part: _Part, now: _Labelled, before: _Labelled, settings: MonitoringSection, level: float) -> _Quality:
    if len(part.now) < settings.minimum_labels:
        return _Quality()
    sample = now.sample(part.now)
    interval = _interval(sample, is_share=now.is_share)
    if len(part.before) < settings.minimum_labels:
        return _Quality(sample.mean, interval)
    known = before.sample(part.before)
    lower, upper = bounds(sample, known, level)
    threshold = loss_threshold(known.mean, before.trivial_loss(part.before), settings.performance_tolerance)
    performance = Performance(
        rows=len(part.now),
        coverage=len(part.now) / len(part.window),
        metrics={"loss": sample.mean, "loss_lower": lower},
        reference={"loss": known.mean, "loss_upper": upper, "threshold": threshold},
    )
    lost = is_lost(performance, settings.minimum_labels, settings.minimum_coverage)
    return _Quality(sample.mean, interval, known.mean, threshold, lost)


def _interval(sample: Sample, *, is_share: bool) -> tuple[float, float]:
    """The 95 % interval of a mean loss, which is a share where every loss is 0 or 1."""
    more = NORMAL_95**2 / sample.rows if is_share else 0.0
    centre = (sample.mean + more / 2) / (1 + more)
    reach = float(np.sqrt(NORMAL_95**2 * sample.variance / sample.rows + more**2 / 4)) / (1 + more)
    return max(0.0, centre - reach), centre + reach


def _times_over(score: ColumnScore | None) -> float:
    return _times(score.score, score.threshold) if score else 0.0


def _times(value: float | None, limit: float | None) -> float:
    """How many times its limit a value is; 0 where that cannot be said."""
    if value is None or limit is None or not value > 0:
        return 0.0
    return value / limit if limit > 0 else float(np.inf)


def _score(part: _Part, furthest: ColumnScore | None, quality: _Quality) -> SegmentScore:
    return SegmentScore(
        column=part.column,
        value=part.value,
        rows=len(part.window),
        labelled=len(part.now),
        drift_column=furthest.column if furthest else None,
        drift_score=furthest.score if furthest else None,
        drift_threshold=furthest.threshold if furthest else None,
        loss=quality.loss,
        interval=quality.interval,
        reference_loss=quality.reference_loss,
        lost=quality.lost,
    )
