"""How differently a model treats the groups of a sensitive column: fairlearn's rates and gaps, with intervals that hold.

A row is selected when it is answered with the favourable class, and deserves to be when that is its label. For regression
it is selected when its prediction is above the reference's median prediction, and deserves to be when its label is.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from lifecycle.config import MonitoringSection
from lifecycle.records import FairnessGap
from monitoring.groups import Groups
from monitoring.rates import Flags, Rate, interval
from monitoring.references import Reference
from monitoring.rows import Categories, Numbers, Rows, Values, prediction_name

WIDER = 0.05
METRICS = {
    "selection_rate": ("selection rate",),
    "error_rate": ("error rate",),
    "true_positive_rate": ("true positive rate",),
    "false_positive_rate": ("false positive rate",),
    "equalized_odds": ("true positive rate", "false positive rate"),
}
"""What gaps are of, and the rates whose larger gap each is. That of selection rates is the demographic parity difference."""

Outcomes = Mapping[str, tuple[Flags, Flags]]
"""For each rate, which rows it counts and which it is a share of."""


def gaps(reference: Reference, rows: Rows, settings: MonitoringSection) -> tuple[FairnessGap, ...]:
    """The gaps of METRICS between the groups of each sensitive column, as far as `rows` can say.

    A group takes part in a rate with at least 30 of the rows that the rate is a share of: all, those with a label, or those
    whose label is favourable or is not. `counts` has these rows of every group, `groups` the rates of those that take
    part; where fewer than two do, there is no gap. Each row counts as often as it stands for others.
    """
    outcomes = _outcomes(reference, rows, settings)
    return tuple(
        _gap(column, metric, groups, family)
        for column, groups in _divisions(reference, rows, settings)
        for metric, family in _families(_rates(outcomes, rows, column, groups))
    )


def telling(reference: Reference, rows: Rows, settings: MonitoringSection) -> tuple[str, ...]:
    """Sentences for the gaps worth telling: those that have grown since the hold-out, beyond doubt and by enough.

    A gap has when the lower end of its interval is above the hold-out's own gap by more than WIDER, and above the upper end
    of that gap's interval. Only groups that both sides can compare take part, because more groups make a wider gap.
    Without a hold-out nothing is told, except that the favourable class is none of the classes.
    """
    target = reference.contract.target
    if reference.contract.sensitive and not target.is_regression and _favourable(reference, settings) is None:
        words = f"the favourable class {settings.favourable!r} is none of the model's {len(target.classes)} classes"
        return (f"no groups were compared: {words}; correct favourable under [monitoring]",)
    if reference.holdout is None:
        return ()
    now, before = (_outcomes(reference, side, settings) for side in (rows, reference.holdout))
    return tuple(
        sentence
        for column, groups in _divisions(reference, rows, settings)
        for sentence in _grown(
            column, groups, _rates(now, rows, column, groups), _rates(before, reference.holdout, column, groups)
        )
    )


def _divisions(reference: Reference, rows: Rows, settings: MonitoringSection) -> Iterator[tuple[str, Groups]]:
    kinds = {scored.name: scored.kind for scored in reference.columns}
    for name in dict.fromkeys(reference.contract.sensitive):
        yield name, Groups(reference.rows.columns[name], rows.columns[name], kinds[name], settings.segment_values)


def _favourable(reference: Reference, settings: MonitoringSection) -> str | float | None:
    """The class that is favourable, or the number above which a prediction is; None where there is none."""
    answers = _answers(reference, reference.rows if reference.holdout is None else reference.holdout)
    if isinstance(answers, Numbers):
        known = answers.floats[~answers.missing]
        return float(np.quantile(known, 0.5, method="inverted_cdf")) if len(known) else None
    classes = reference.contract.target.class_texts
    wanted = settings.favourable or next(reversed(classes), "")
    return wanted if wanted in classes else None


def _outcomes(reference: Reference, rows: Rows, settings: MonitoringSection) -> Outcomes:
    favourable, answers = _favourable(reference, settings), _answers(reference, rows)
    if favourable is None:
        return {}
    selected, answered = _is(answers, favourable), ~answers.missing
    if rows.labels is None:
        return {"selection rate": (selected, answered)}
    deserving, labelled = _is(rows.labels, favourable), answered & ~rows.labels.missing
    return {
        "selection rate": (selected, answered),
        "error rate": (_wrong(answers, rows.labels, selected != deserving), labelled),
        "true positive rate": (selected, labelled & deserving),
        "false positive rate": (selected, labelled & ~deserving),
    }


def _answers(reference: Reference, rows: Rows) -> Values:
    return rows.columns[prediction_name(reference.contract)]


def _is(values: Values, favourable: str | float) -> Flags:
    if isinstance(values, Numbers):
        return values.floats > float(favourable)
    return np.array([*(name == favourable for name in values.names), False], dtype=np.bool_)[values.codes]


def _wrong(answers: Values, labels: Values, otherwise: Flags) -> Flags:
    """Which answers are another class than the label; for numbers `otherwise`."""
    if not isinstance(answers, Categories) or not isinstance(labels, Categories):
        return otherwise
    place = {name: code for code, name in enumerate(labels.names)}
    known = np.array([*(place.get(name, -2) for name in answers.names), -2], dtype=np.int32)
    return np.asarray(known[answers.codes] != labels.codes)


def _rates(outcomes: Outcomes, rows: Rows, column: str, groups: Groups) -> dict[str, Rate]:
    places = groups.places(rows.columns[column])
    return {
        name: Rate.of(hits, among, places, rows.weights, len(groups.names)) for name, (hits, among) in outcomes.items()
    }


def _families(rates: Mapping[str, Rate]) -> Iterator[tuple[str, list[Rate]]]:
    """The rates of each metric that can be told, each with all its groups."""
    for metric, names in METRICS.items():
        family = [rates[name] for name in names if name in rates]
        if len(family) == len(names) and all(rate.known.sum() > 1 for rate in family):
            yield metric, family


def _gap(column: str, metric: str, groups: Groups, family: Sequence[Rate]) -> FairnessGap:
    widest = max(family, key=lambda rate: rate.compared.gap)
    shares = {groups.names[place]: float(widest.shares[place]) for place in np.flatnonzero(widest.known)}
    return FairnessGap(
        column=column,
        metric=metric,
        difference=widest.compared.gap,
        interval=interval([rate.compared for rate in family]),
        lowest=min(shares, key=lambda name: shares[name]),
        highest=max(shares, key=lambda name: shares[name]),
        groups=shares,
        counts={name: count for name, count in zip(groups.names, widest.rows.tolist(), strict=True) if count},
    )


def _grown(column: str, groups: Groups, now: Mapping[str, Rate], before: Mapping[str, Rate]) -> Iterator[str]:
    for name in [name for name in now if name in before]:
        both = now[name].known & before[name].known
        if both.sum() < 2:
            continue
        gap, kept = (_gap(column, name, groups, [rate.within(both)]) for rate in (now[name], before[name]))
        lower, upper = gap.interval
        if lower > max(kept.difference + WIDER, kept.interval[1]):
            yield (
                f"the {name} of groups of {column!r} differs by {gap.difference:.3f} (95 % interval {lower:.3f} to {upper:.3f}), "
                f"from {gap.groups[gap.lowest]:.3f} of {gap.lowest!r} to {gap.groups[gap.highest]:.3f} of {gap.highest!r}; on "
                f"the hold-out it differed by {kept.difference:.3f}"
            )
