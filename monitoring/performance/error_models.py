"""Models of a row's expected loss, learnt from the labelled rows of a hold-out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from lifecycle.classified import matrix
from lifecycle.contract import Contract
from lifecycle.numeric import LARGEST
from lifecycle.totals import Floats, Integers
from monitoring.performance.answers import Labelled, answer, class_places
from monitoring.rows import Categories, Numbers, Rows, Values

ROWS_PER_CLASS = 100
MOST_CATEGORIES = 200
TREES = 40


class ErrorModel(Protocol):
    """Expected losses."""

    def expected(self, rows: Rows) -> Floats:
        """The loss expected of each row; NaN where the model has nothing to go by."""


@dataclass(frozen=True)
class Confidence:
    """Classifiers: 1 less the calibrated probability of the class that was answered.

    Probabilities are calibrated by isotonic regression (Zadrozny and Elkan, 2002) on the rows that were given the class, or, of
    a class that few were given, on all (top-label calibration: Gupta and Ramdas, 2022). As estimate of performance: Guillory
    et al., 2021; Kivimäki et al., 2024.
    """

    contract: Contract
    curves: dict[int, Any] = field(repr=False)
    overall: Any = field(repr=False)

    @classmethod
    def fit(cls, contract: Contract, known: Labelled, places: Integers) -> "Confidence":
        rows, losses, weights = known.rows.taken(places), known.answers.losses[places], known.answers.weights[places]
        given, confidence = _confidence(contract, rows)
        usable = ~np.isnan(confidence)

        def curve(chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Any:
            from sklearn.isotonic import IsotonicRegression

            falling = IsotonicRegression(increasing=False, out_of_bounds="clip")
            return falling.fit(confidence[chosen], losses[chosen], sample_weight=weights[chosen])

        often = np.flatnonzero(np.bincount(given[usable]) >= ROWS_PER_CLASS)
        return cls(contract, {int(place): curve(usable & (given == place)) for place in often}, curve(usable))

    def expected(self, rows: Rows) -> Floats:
        given, confidence = _confidence(self.contract, rows)
        found = np.full(len(rows), np.nan)
        for place in np.unique(given).tolist():
            chosen = (given == place) & ~np.isnan(confidence)
            if chosen.any():
                found[chosen] = self.curves.get(place, self.overall).predict(confidence[chosen])
        return found


@dataclass(frozen=True)
class Trees:
    """Any model: boosted trees of the loss, learnt from features and answer (direct loss estimation)."""

    columns: tuple[str, ...]
    names: dict[str, tuple[str, ...]]
    scale: float
    largest: float
    trees: Any = field(repr=False)

    @classmethod
    def fit(cls, columns: tuple[str, ...], known: Labelled, places: Integers) -> "Trees":
        from sklearn.ensemble import HistGradientBoostingRegressor

        rows, losses = known.rows.taken(places), known.answers.losses[places]
        weights = None if rows.weights is None else known.answers.weights[places]  # even ones make it ten times as slow
        names = {name: _commonest(values) for name in columns if isinstance(values := rows.columns[name], Categories)}
        scale = max(float(losses.mean()), 1 / LARGEST)  # the trees count in 32 bits
        trees = HistGradientBoostingRegressor(
            max_iter=TREES,
            max_leaf_nodes=8,
            early_stopping=False,
            categorical_features=[name in names for name in columns],
            random_state=0,
        )
        made = cls(columns, names, scale, float(losses.max()), trees)
        trees.fit(made._table(rows), losses / scale, sample_weight=weights)
        return made

    def expected(self, rows: Rows) -> Floats:
        found: Floats = self.trees.predict(self._table(rows))
        return np.clip(found * self.scale, 0.0, self.largest)

    def _table(self, rows: Rows) -> Floats:
        """Each column as numbers: categories by their place among the commonest, missing where they are not among them."""
        return np.column_stack([_numbers(rows.columns[name], self.names.get(name, ())) for name in self.columns])


def _confidence(contract: Contract, rows: Rows) -> tuple[Integers, Floats]:
    """The place of the class that was answered, and its probability; NaN where it is not known."""
    classes, answered = contract.target.class_texts, answer(contract, rows)
    assert isinstance(answered, Categories), "a classifier answers with classes"
    given, probabilities = class_places(answered, classes), matrix(rows.probabilities, classes)
    found = np.full(len(rows), np.nan)
    known = given < len(classes)
    if probabilities is not None:
        found[known] = probabilities[known, given[known]]
    return given, found


def _commonest(values: Categories) -> tuple[str, ...]:
    counts = np.bincount(values.codes[values.codes >= 0], minlength=1)
    order = np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]
    return tuple(values.names[code] for code in order.tolist() if counts[code])


def _numbers(values: Values, names: Sequence[str]) -> Floats:
    if isinstance(values, Numbers):
        return np.clip(values.floats, -LARGEST, LARGEST)
    places = class_places(values, names).astype(np.float64)
    return np.where(places < len(names), places, np.nan)
