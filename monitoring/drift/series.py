"""What is scored in every window: each feature, the answers, the labels, the probabilities against the labels, and features together.

A series knows its reference, scores a window, and scores its reference's own rows against each other, so that its
threshold can be derived.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from lifecycle.config import MonitoringSection
from lifecycle.ports import DriftScorer
from lifecycle.records import About
from monitoring.drift.joint import Together
from monitoring.drift.methods import OURS, Column
from monitoring.drift.nulls import DRAWS
from monitoring.performance import calibration_gap
from monitoring.references import Reference
from monitoring.rows import Categories, Floats, Numbers, Rows, Scored, Values

FOREIGN = "evidently:"
P_VALUES = frozenset(
    {
        "anderson",
        "chisquare",
        "cramer_von_mises",
        "es",
        "fisher_exact",
        "g_test",
        "ks",
        "mannw",
        "empirical_mmd",
        "t_test",
        "TVD",
        "z",
    }
)
"""Evidently's stat tests that answer with a p-value, which is small where the sides differ; 1 - p is their score."""
FOREIGN_DRAWS, FOREIGN_ROWS = 40, 4_000
"""Evidently's tests take milliseconds to seconds each."""
JOINT_DRAWS = 100
"""All pairs of features in each: the largest of so many strays little."""
LABEL, CALIBRATION, JOINT = "label", "calibration", "joint"
Places = npt.NDArray[np.intp]


class Found(NamedTuple):
    """A score, and what is worth telling with it."""

    score: float
    note: str | None = None


class Series(Protocol):
    """One series of scores."""

    @property
    def name(self) -> str:
        """What it is called among all series of a reference."""

    @property
    def about(self) -> About:
        """What it is of."""

    @property
    def method(self) -> str:
        """How it is scored."""

    @property
    def is_squared(self) -> bool:
        """Whether the score grows with the square of a change."""

    @property
    def draws(self) -> int:
        """How many windows its null is drawn from."""

    @property
    def reference_rows(self) -> int:
        """Rows of the reference that take part."""

    def rows_of(self, rows: Rows) -> float:
        """How many rows of a window take part; weighted rows count as fewer (Kish, 1965)."""

    def score(self, rows: Rows) -> Found:
        """How far the window is from the reference; raises ValueError in words when it cannot be said."""

    def draw(self, places: Places) -> float:
        """How far the reference's rows at `places` are from its others."""

    def deviates(self) -> Floats | None:
        """One number per reference row, by which neighbouring rows can be found to be alike."""


@dataclass(frozen=True)
class ColumnSeries:
    """A column by one of our methods: a feature, the answer, or (`of_labels`) the label."""

    name: str
    about: About
    method: str
    reference: Values
    draws: int = DRAWS

    @cached_property
    def column(self) -> Column:
        return Column(self.method, self.reference)

    @property
    def is_squared(self) -> bool:
        return self.column.is_squared

    @property
    def reference_rows(self) -> int:
        return len(self.reference)

    def rows_of(self, rows: Rows) -> float:
        return effective(self._part(rows))

    def score(self, rows: Rows) -> Found:
        part = self._part(rows)
        values = part.labels if self.about == "label" else part.columns[self.name]
        assert values is not None, "only rows with labels take part in the series of labels"
        return Found(self.column.score(values, part.weights))

    def draw(self, places: Places) -> float:
        return self.column.draw(places)

    def deviates(self) -> Floats | None:
        return ranks(self.reference)

    def _part(self, rows: Rows) -> Rows:
        return rows.labelled() if self.about == "label" else rows


@dataclass(frozen=True)
class ForeignSeries:
    """A column by one of Evidently's stat tests, on a sample of the reference and of the window."""

    name: str
    about: About
    method: str
    reference: Values
    scorer: DriftScorer = field(repr=False)
    is_squared: bool = False
    draws: int = FOREIGN_DRAWS

    @property
    def is_level(self) -> bool:
        """Whether the score is a level itself, so that its threshold needs no null."""
        return self.method.removeprefix(FOREIGN) in P_VALUES

    @property
    def reference_rows(self) -> int:
        return len(self._sample)

    @cached_property
    def _sample(self) -> Values:
        return Rows({self.name: self.reference}).thinned(FOREIGN_ROWS).columns[self.name]

    def rows_of(self, rows: Rows) -> float:
        return float(len(rows.thinned(FOREIGN_ROWS)))

    def score(self, rows: Rows) -> Found:
        return Found(self._between(self._sample, rows.thinned(FOREIGN_ROWS).columns[self.name]))

    def draw(self, places: Places) -> float:
        others = np.ones(self.reference_rows, dtype=np.bool_)
        others[places] = False
        try:
            return self._between(self._sample.taken(others), self._sample.taken(places))
        except ValueError:
            return 0.0  # a draw that holds nothing but missing values says nothing of how far windows stray

    def deviates(self) -> Floats | None:
        return ranks(self._sample)

    def _between(self, reference: Values, current: Values) -> float:
        before, now = (Rows({self.name: side.taken(~side.missing)}).frame()[self.name] for side in (reference, current))
        return self.scorer.score(before, now, self.method.removeprefix(FOREIGN))


@dataclass(frozen=True)
class CalibrationSeries:
    """How much worse (or better) probabilities fit labels than on the hold-out."""

    holdout: Rows
    classes: tuple[str, ...]
    name: str = CALIBRATION
    about: About = "calibration"
    method: str = "calibration_gap"
    is_squared: bool = False
    draws: int = DRAWS

    @property
    def reference_rows(self) -> int:
        return len(self.holdout)

    def rows_of(self, rows: Rows) -> float:
        return effective(rows.labelled())

    def score(self, rows: Rows) -> Found:
        return Found(abs(self._gap(rows.labelled()) - self._gap(self.holdout)))

    def draw(self, places: Places) -> float:
        others = np.ones(len(self.holdout), dtype=np.bool_)
        others[places] = False
        return abs(self._gap(self.holdout.taken(places)) - self._gap(self.holdout.taken(others)))

    def deviates(self) -> Floats | None:
        return None

    def _gap(self, rows: Rows) -> float:
        assert rows.labels is not None, "only labelled rows take part"
        if len(rows.probabilities) < len(self.classes):
            raise ValueError("has no probabilities")
        return calibration_gap(rows.labels, rows.probabilities, self.classes)


@dataclass(frozen=True)
class JointSeries:
    """How features go together."""

    together: Together
    name: str = JOINT
    about: About = "joint"
    method: str = "copula_kernel"
    is_squared: bool = False
    draws: int = JOINT_DRAWS

    @property
    def reference_rows(self) -> int:
        return self.together.count

    def rows_of(self, rows: Rows) -> float:
        return effective(rows)

    def score(self, rows: Rows) -> Found:
        change = self.together.change(rows)
        return Found(change.score, f"{change.pair[0]} and {change.pair[1]} go together differently")

    def draw(self, places: Places) -> float:
        return self.together.draw(places)

    def deviates(self) -> Floats | None:
        return None


def series_of(reference: Reference, settings: MonitoringSection, foreign: DriftScorer) -> tuple[Series, ...]:
    """All series of a reference, features first, in the contract's order."""
    columns = [scored for scored in reference.columns if scored.kind != "datetime"]  # a moment moves on by itself
    found: list[Series] = [_column(reference, scored, settings, foreign) for scored in columns]
    features = tuple(scored.name for scored in columns if scored.about == "feature")
    if len(features) > 1:
        found.append(JointSeries(Together(reference.rows, features), _free(JOINT, features)))
    labels = _labels(reference)
    if labels is not None:
        answer = reference.columns[-1]
        found.append(ColumnSeries(_free(LABEL, features), "label", method_of(answer, settings, labels=True), labels))
    classes = reference.contract.target.class_texts
    holdout = reference.holdout.labelled() if reference.holdout is not None else None
    if classes and holdout is not None and len(holdout) and len(holdout.probabilities) == len(classes):
        found.append(CalibrationSeries(holdout, classes, _free(CALIBRATION, features)))
    return tuple(found)


def method_of(scored: Scored, settings: MonitoringSection, *, labels: bool = False) -> str:
    """The configured method of a column; labels are always scored by one of ours."""
    usual = settings.numeric_method if scored.is_numeric else settings.categorical_method
    method = settings.methods.get(scored.name, usual)
    if labels and method not in OURS:
        return "ks" if scored.is_numeric else "jensenshannon"
    return method


def ranks(values: Values) -> Floats | None:
    """Deviates by which rows are compared with their neighbours: ranks, or whether a row has the commonest category."""
    if isinstance(values, Numbers):
        return np.asarray(np.unique(values.floats, return_inverse=True)[1], dtype=np.float64)
    assert isinstance(values, Categories), "values are numbers or categories"
    if not (values.codes >= 0).any():
        return None
    commonest = np.bincount(values.codes[values.codes >= 0]).argmax()
    return np.asarray(values.codes == commonest, dtype=np.float64)


def effective(rows: Rows) -> float:
    """How many rows of equal weight say as much."""
    if rows.weights is None or not len(rows):
        return float(len(rows))
    return float(rows.weights.sum() ** 2 / (rows.weights**2).sum())


def _column(reference: Reference, scored: Scored, settings: MonitoringSection, foreign: DriftScorer) -> Series:
    method, values = method_of(scored, settings), reference.against(scored)
    if method.startswith(FOREIGN):
        return ForeignSeries(scored.name, scored.about, method, values, foreign)
    return ColumnSeries(scored.name, scored.about, method, values)


def _labels(reference: Reference) -> Values | None:
    """The labels of the reference's rows, or else of its hold-out."""
    for rows in (reference.rows, reference.holdout):
        labelled = rows.labelled() if rows is not None else None
        if labelled is not None and len(labelled):
            return labelled.labels
    return None


def _free(name: str, taken: tuple[str, ...]) -> str:
    while name in taken:
        name = f"({name})"
    return name
