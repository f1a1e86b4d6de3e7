"""Segments: each is compared with itself in the reference, and the worst comes first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from lifecycle.config import MonitoringSection
from lifecycle.records import ColumnScore, SegmentScore
from monitoring.drift.methods import score
from monitoring.references import Reference
from monitoring.rows import Rows, Values
from monitoring.segments import MOST_ROWS, segments
from tests.unit.monitoring import lending
from tests.unit.monitoring.lending import SETTINGS, TOWNS, reference, texts

LEVEL = 1e-3


@dataclass
class Distances:
    """A drift of every column by the distance of its shares, and what it was asked."""

    asked: list[tuple[Reference, Rows, int]] = field(default_factory=list)

    def __call__(self, part: Reference, rows: Rows, series: int) -> Sequence[ColumnScore]:
        self.asked.append((part, rows, series))
        return [self._score(name, part.rows.columns[name], now) for name, now in rows.columns.items()]

    def _score(self, name: str, before: Values, now: Values) -> ColumnScore:
        method = "ks" if name == "income" else "jensenshannon"
        return ColumnScore(name, method, score(method, before, now), 0.25)


def nothing(part: Reference, rows: Rows, series: int) -> Sequence[ColumnScore]:
    """A drift that can say nothing of any column."""
    return [ColumnScore(name, "ks", None, 0.1, "could not be scored") for name in rows.columns]


def in_town(town: str, change: Callable[[Any], Any], name: str, made: Rows) -> Rows:
    """`made` with a column changed in one town alone."""
    towns = np.array(texts(made.columns["town"]))
    given = made.columns[name]
    is_text = name != "income"
    old = np.array(texts(given) if is_text else lending.floats(given))
    changed = (lending.categories if is_text else lending.numbers)(np.where(towns == town, change(old), old).tolist())
    return replace(made, columns={**made.columns, name: changed})


def of(found: tuple[SegmentScore, ...], value: str) -> SegmentScore:
    return next(item for item in found if item.value == value)


def test_each_value_is_looked_at_by_itself() -> None:
    found = segments(reference(), lending.rows(), SETTINGS, Distances(), LEVEL)
    assert {(item.column, item.value) for item in found} == {*(("town", t) for t in TOWNS), ("sex", "f"), ("sex", "m")}
    assert sum(item.rows for item in found if item.column == "town") == 1_200
    assert all(item.labelled == item.rows and not item.lost for item in found)


def test_what_drifts_in_one_segment_alone_is_named_and_comes_first() -> None:
    made = in_town("Turin", lambda income: income + 2, "income", lending.rows())
    worst, *others = segments(reference(), made, SETTINGS, Distances(), LEVEL)
    assert (worst.value, worst.drift_column, worst.drift_threshold) == ("Turin", "income", 0.25)
    assert worst.drift_score is not None
    assert worst.drift_score > 0.5
    assert all(item.drift_score is not None and item.drift_score < 0.25 for item in others if item.column == "town")


def test_drift_is_asked_for_the_same_part_of_the_reference() -> None:
    drift = Distances()
    segments(reference(), lending.rows(), SETTINGS, drift, LEVEL)
    keys = {part.key for part, _, _ in drift.asked}
    assert len(keys) == len(drift.asked) == 5
    for part, rows, series in drift.asked:
        column = next(name for name in ("town", "sex") if len(set(texts(rows.columns[name]))) == 1)
        assert part.holdout
        for side in (part.rows, part.holdout):
            assert set(texts(side.columns[column])) == set(texts(rows.columns[column]))
        assert series == 5 * 2
        assert f"whose {column!r} is" in part.words


def test_the_others_have_another_key_when_they_are_others() -> None:
    """Thresholds are kept by key, so a key must not stand for the rows of two divisions."""
    settings, keys = MonitoringSection(segment_values=1), []
    for town in ("Turin", "Turin", "York"):
        drift = Distances()
        made = lending.rows(town=[town] * 700 + ["Ghent"] * 500)
        segments(reference(sensitive=()), made, settings, drift, LEVEL)
        keys.append({part.key for part, _, _ in drift.asked})
    assert keys[0] == keys[1]
    assert not keys[0] & keys[2]


def test_a_loss_in_one_segment_is_found_and_first() -> None:
    made = in_town("York", lambda answers: np.where(answers == "yes", "no", "yes"), "prediction", lending.rows())
    worst, *others = segments(reference(), made, SETTINGS, nothing, LEVEL)
    assert (worst.value, worst.lost) == ("York", True)
    assert worst.loss == pytest.approx(0.9, abs=0.05)
    assert worst.reference_loss == pytest.approx(0.1, abs=0.05)
    assert worst.interval
    assert 0.8 < worst.interval[0] < 0.9 < worst.interval[1] <= 1
    assert not any(item.lost for item in others if item.column == "town")


def test_a_segment_that_was_always_hard_is_not_lost() -> None:
    hard = in_town("York", lambda answers: np.where(answers == "yes", "no", "yes"), "prediction", lending.rows())
    again = in_town("York", lambda answers: np.where(answers == "yes", "no", "yes"), "prediction", lending.rows(seed=5))
    found = segments(reference(holdout=hard), again, SETTINGS, nothing, LEVEL)
    assert of(found, "York").loss == pytest.approx(0.9, abs=0.05)
    assert not any(item.lost for item in found)


def test_segments_compared_with_the_whole_hold_out_would_be_blamed() -> None:
    """The broken way: York is compared with all towns."""
    hard = in_town("York", lambda answers: np.where(answers == "yes", "no", "yes"), "prediction", lending.rows())
    renamed = replace(hard, columns={**hard.columns, "town": lending.categories(["York"] * 1_200)})
    assert of(segments(reference(holdout=renamed), hard, SETTINGS, nothing, LEVEL), "York").lost


def least_level(known: Reference, made: Rows) -> float:
    """The level from which on York is lost."""
    low, high = -9.0, 0.0
    while high - low > 0.01:
        middle = (low + high) / 2
        if of(segments(known, made, SETTINGS, nothing, 10**middle), "York").lost:
            high = middle
        else:
            low = middle
    return float(10**high)


def test_the_level_is_divided_between_the_parts() -> None:
    """With three times as many parts, the loss of the same part must be three times as unlikely."""
    made = lending.rows(seed=3)
    worse = in_town("York", lambda answers: np.where(np.arange(1_200) % 3, answers, "no"), "prediction", made)
    few, many = reference(sensitive=()), reference(segments=("town", "income"), sensitive=("sex",))
    for known, parts in ((few, 3), (many, 9)):
        assert len(segments(known, worse, SETTINGS, nothing, LEVEL)) == parts
    assert least_level(many, worse) / least_level(few, worse) == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_nothing_is_lost_where_nothing_changed(task: str) -> None:
    known = reference(task=task)
    for seed in range(40):
        found = segments(known, lending.rows(seed=100 + seed, task=task), SETTINGS, nothing, LEVEL)
        assert len(found) == 5
        assert not any(item.lost for item in found)


def test_few_rows_few_labels_and_new_values_say_only_what_they_can() -> None:
    towns = ["Ghent"] * 100 + ["Turin"] * 99 + ["Lima"] * 101
    labels = ["yes"] * 49 + [None] * 150 + ["yes"] * 101
    drift = Distances()
    found = segments(reference(sensitive=()), lending.rows(300, town=towns, labels=labels), SETTINGS, drift, LEVEL)
    assert {item.value: (item.rows, item.labelled) for item in found} == {"Ghent": (100, 49), "Lima": (101, 101)}
    assert (of(found, "Ghent").loss, of(found, "Ghent").interval) == (None, None)
    lima = of(found, "Lima")
    assert (lima.drift_column, lima.reference_loss, lima.lost) == (None, None, False)
    assert lima.loss is not None
    assert len(drift.asked) == 1


def test_values_beyond_the_bound_are_together() -> None:
    settings = MonitoringSection(segment_values=2)
    towns = ["a"] * 300 + ["b"] * 200 + [f"</script>{index}" for index in range(150)] + [None] * 150
    found = segments(reference(sensitive=()), lending.rows(800, town=towns), settings, nothing, LEVEL)
    assert {item.value: item.rows for item in found} == {"a": 300, "b": 200, "(others)": 150, "(missing)": 150}


def test_numbers_are_segments_by_quarters_of_the_reference() -> None:
    known = reference(segments=("income",), sensitive=())
    found = segments(known, lending.rows(4_000), SETTINGS, Distances(), LEVEL)
    assert len(found) == 4
    assert all(900 < item.rows < 1_100 for item in found)
    assert all(item.drift_column != "income" for item in found)


def test_drift_is_scored_by_a_bounded_number_of_rows() -> None:
    count = MOST_ROWS + 5_000
    drift = Distances()
    made = lending.rows(count, town=["Ghent"] * count, labelled=False)
    (found,) = segments(reference(sensitive=()), made, SETTINGS, drift, LEVEL)
    assert (found.rows, len(drift.asked[0][1])) == (count, MOST_ROWS)


def test_without_a_hold_out_there_is_a_loss_and_nothing_to_compare_it_with() -> None:
    known = replace(reference(), holdout=None)
    found = segments(known, lending.rows(), SETTINGS, Distances(), LEVEL)
    assert all(item.loss is not None and item.reference_loss is None and not item.lost for item in found)


HOSTILE: dict[str, dict[str, Any]] = {
    "one row": {"count": 1},
    "empty": {"count": 0},
    "all missing": {"town": [None] * 1_200, "sex": [None] * 1_200, "income": [None] * 1_200},
    "strangers": {"town": [f"<script>{index % 500}" for index in range(1_200)], "prediction": ["x"] * 1_200},
    "weights": {"weights": np.array([1e308, 1e-308] * 600)},
    "infinite": {"income": [np.inf, -np.inf, 1e308, np.nan] * 300},
    "long": {"town": ["y" * 5_000 + str(index % 2) for index in range(1_200)]},
}


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("error")
def test_whatever_a_window_holds_something_finite_is_said(name: str, task: str) -> None:
    columns = dict(HOSTILE[name])
    if task == "regression" and "prediction" in columns:
        columns |= {"prediction": [1.7e308, -np.inf] * 600, "labels": [-1.7e308, np.inf] * 600}
    made = lending.rows(**{"count": 1_200, "task": task, **columns})
    settings = MonitoringSection(minimum_rows=10, minimum_labels=10)
    for known in (reference(task=task), reference(made, made, task=task), reference(made, task=task)):
        every = replace(known, contract=known.contract.model_copy(update={"segments": ("town", "income")}))
        for item in segments(every, made, settings, Distances(), LEVEL):
            numbers = [item.loss, item.reference_loss, item.drift_score, *(item.interval or ())]
            assert np.isfinite([number for number in numbers if number is not None]).all()
            assert len(item.value) <= 80
