"""A window's answers beside their labels, as the metrics take them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lifecycle.classified import Classified
from lifecycle.contract import Contract
from lifecycle.numeric import Numeric
from lifecycle.totals import Answers, Integers
from monitoring.rows import Categories, Numbers, Rows, Values, prediction_name


class Labelled(NamedTuple):
    """Rows that have an answer and a label, and what the metrics take of them."""

    rows: Rows
    answers: Answers


def labelled(contract: Contract, rows: Rows) -> Labelled | None:
    """Those of `rows` with an answer and a label, in their order; None where there is none."""
    found = rows.taken(label_places(contract, rows))
    return Labelled(found, _answers(contract, found)) if len(found) else None


def label_places(contract: Contract, rows: Rows) -> Integers:
    """Where rows have an answer and a label."""
    if rows.labels is None:
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(~rows.labels.missing & ~answer(contract, rows).missing)


def without_features(contract: Contract, rows: Rows) -> Rows:
    """Rows with no column but the answer, so that none is copied in vain."""
    name = prediction_name(contract)
    return replace(rows, columns={name: rows.columns[name]})


def answer(contract: Contract, rows: Rows) -> Values:
    """What the version answered."""
    return rows.columns[prediction_name(contract)]


def class_places(values: Categories, classes: Sequence[str]) -> Integers:
    """The place of each row's text among `classes`; their number for any other text, and for a missing one."""
    known = {name: place for place, name in enumerate(classes)}
    places = [known.get(name, len(classes)) for name in values.names]
    return np.array([*places, len(classes)], dtype=np.intp)[values.codes]


def _answers(contract: Contract, rows: Rows) -> Answers:
    labels, predictions = rows.labels, answer(contract, rows)
    if isinstance(labels, Numbers) and isinstance(predictions, Numbers):
        return Numeric.of(labels.floats, predictions.floats, rows.weights)
    assert isinstance(labels, Categories), "labels are of the kind of the answers"
    assert isinstance(predictions, Categories), "answers are of one kind"
    classes = contract.target.class_texts
    truth, answered = (class_places(side, classes) for side in (labels, predictions))
    return Classified.of(classes, truth, answered, rows.weights, rows.probabilities, by_class=True)
