"""Predictors that look at no feature, on the rows of a window: what a model must beat to be worth its keep."""

import numpy as np

from lifecycle.numeric import Numeric
from lifecycle.totals import Floats
from monitoring.performance.answers import Labelled


def trivial_losses(found: Labelled, learnt: Labelled) -> dict[str, float]:
    """Predictor -> its mean loss on the rows of `found`.

    `median` or `majority` always answers what was best on the rows of `learnt`. `last_value` repeats the newest label that was
    known at each row's moment (see `last_values`); it is left out where nothing can be repeated.
    """
    always, answers = learnt.answers.constant, found.answers
    name = "median" if isinstance(answers, Numeric) else "majority"
    losses = {name: answers.losses_of(np.full(len(found.rows), always))}
    repeated = last_values(found, always)
    if repeated is not None:
        losses["last_value"] = answers.losses_of(repeated)
    return {name: float(np.average(values, weights=answers.weights)) for name, values in losses.items()}


def last_values(found: Labelled, before: float) -> Floats | None:
    """What somebody answers who repeats the newest label that is known, in the form of the answers.

    A label is known at a row's moment when it had been received by then: at its own row's moment and its delay. Of those, the
    one of the latest row counts, and until there is one, `before`. None when moments or delays are not known, or no label of
    these rows came while they were answered.
    """
    rows = found.rows
    if rows.at is None or rows.delays is None:
        return None
    arrivals = rows.at + 1e6 * np.where(np.isnan(rows.delays), np.inf, np.maximum(rows.delays, 0.0))
    order = np.argsort(arrivals, kind="stable")
    newest = np.maximum.accumulate(order)  # rows are in order of time, so the latest is the one farthest down
    known = np.searchsorted(arrivals[order], rows.at, side="left")  # a label of the same moment comes too late
    if not known.any():
        return None
    return np.where(known > 0, found.answers.labels[newest[known - 1]], before).astype(np.float64)
