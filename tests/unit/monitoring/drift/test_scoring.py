import math
from typing import Any

import numpy as np
import pytest

from lifecycle.records import ColumnScore
from monitoring.drift.budget import AIM
from monitoring.rows import Categories, Numbers, Rows
from tests.unit.monitoring.drift.drawing import MONTHLY, Kept, latent, reference, rows, scores

BEFORE = reference(latent(5_000, 0))


def by_name(found: tuple[ColumnScore, ...]) -> dict[str, ColumnScore]:
    return {score.column: score for score in found}


def test_every_column_the_answer_and_all_together_have_a_score_against_a_threshold() -> None:
    found = by_name(scores().of(BEFORE, rows(latent(500, 1)), MONTHLY))
    assert list(found) == ["x", "y", "z", "town", "prediction", "joint"]
    assert [score.about for score in found.values()] == ["feature"] * 4 + ["prediction", "joint"]
    assert not any(score.drifted for score in found.values())


def test_a_shift_is_found_and_leaves_its_neighbours_alone() -> None:
    moved = latent(500, 1)
    moved[:, 1] += 0.4
    found = by_name(scores().of(BEFORE, rows(moved), MONTHLY))
    assert {name for name, score in found.items() if score.drifted} == {"y", "prediction"}


def test_a_column_that_cannot_be_scored_hides_no_other() -> None:
    broken = rows(latent(500, 1), y=Categories.of(["text"] * 500))
    found = by_name(scores().of(BEFORE, broken, MONTHLY))
    assert found["y"].score is None
    assert "could not be scored" in str(found["y"].finding)
    assert found["x"].score is not None


def test_thresholds_follow_the_budget_and_the_rows() -> None:
    def threshold(count: int, budget: float) -> float:
        return by_name(scores(false_alarms_per_month=budget).of(BEFORE, rows(latent(count, 1)), MONTHLY))["x"].threshold

    assert threshold(500, 1) > threshold(500, 30)
    assert threshold(200, 1) > threshold(1_000, 1)


def test_a_threshold_can_be_fixed_by_hand() -> None:
    found = by_name(scores(thresholds={"x": 0.5}).of(BEFORE, rows(latent(500, 1)), MONTHLY))
    assert found["x"].threshold == 0.5
    assert found["y"].threshold != 0.5


def test_no_threshold_is_below_the_minimum_effect() -> None:
    found = scores(minimum_effect=0.3).of(BEFORE, rows(latent(500, 1)), MONTHLY)
    assert all(score.threshold >= 0.3 for score in found)


def test_methods_are_chosen_by_column() -> None:
    found = by_name(scores(methods={"x": "psi", "town": "chisquare"}).of(BEFORE, rows(latent(500, 1)), MONTHLY))
    assert [found[name].method for name in ("x", "y", "town")] == ["psi", "ks", "chisquare"]


def test_nulls_are_kept_so_that_a_restart_gives_the_same_thresholds_without_drawing_again() -> None:
    kept, window = Kept(), rows(latent(500, 1))
    first = scores(kept).of(BEFORE, window, MONTHLY)
    (calibration,) = kept.saved.values()
    assert calibration.version == 1
    tampered = {name: item | {"mean": 9.0} for name, item in calibration.content["nulls"].items()}
    assert scores(kept).of(BEFORE, window, MONTHLY) == first
    kept.saved[calibration.key].content["nulls"] = tampered
    assert scores(kept).of(BEFORE, window, MONTHLY)[0].threshold > 1  # what was kept is what is used


def test_the_summary_says_what_would_be_found() -> None:
    kept = Kept()
    scores(kept).of(BEFORE, rows(latent(500, 1)), MONTHLY)
    (calibration,) = kept.saved.values()
    summary = calibration.content["summary"]
    assert summary["expected_false_alarms_per_month"] == pytest.approx(AIM, rel=0.01)
    x = summary["columns"][0]
    assert (x["column"], x["unit"]) == ("x", "sd")
    assert 0.1 < x["smallest_shift"] < 0.35
    moved = latent(4_000, 7)
    moved[:, 0] += x["smallest_shift"] + 0.1
    assert by_name(scores(kept).of(BEFORE, rows(moved).taken(slice(0, 500)), MONTHLY))["x"].score is not None


def test_labels_are_compared_once_there_are_enough() -> None:
    def labelled(count: int, shift: float, share: float = 1.0) -> Rows:
        found = rows(latent(count, 1))
        labels = np.random.default_rng(2).normal(shift, 1, count)
        labels[int(share * count) :] = math.nan
        return Rows(found.columns, labels=Numbers(labels))

    with_labels = reference(latent(5_000, 0), key="1/labelled")
    with_labels = type(with_labels)(
        with_labels.key,
        with_labels.words,
        with_labels.version,
        with_labels.contract,
        Rows(with_labels.rows.columns, labels=Numbers(np.random.default_rng(3).normal(size=5_000))),
        None,
        in_time_order=False,
    )
    assert by_name(scores().of(with_labels, labelled(500, 1.0), MONTHLY))["label"].drifted
    assert not by_name(scores().of(with_labels, labelled(500, 0.0), MONTHLY))["label"].drifted
    assert "label" not in by_name(scores().of(with_labels, labelled(500, 1.0, share=0.04), MONTHLY))


def test_rows_that_stand_for_many_raise_the_threshold() -> None:
    plain = rows(latent(500, 1))
    weighed = Rows(plain.columns, weights=np.where(np.arange(500) < 50, 20.0, 1.0))
    one, other = (by_name(scores().of(BEFORE, window, MONTHLY))["x"].threshold for window in (plain, weighed))
    assert other > 1.5 * one


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_quiet_windows_do_not_alarm(memory: float) -> None:
    """A quick look; `make bench-detection` counts in earnest."""
    stream = latent(5_000 + 60 * 200, 11, memory=memory)
    before = reference(stream[:5_000], in_time_order=memory > 0, key="1/stream")
    judge, streaks, alarms = scores(), dict[str, int](), 0
    for window in range(60):
        begin = 5_000 + 200 * window
        for score in judge.of(before, rows(stream[begin : begin + 200]), MONTHLY):
            streaks[score.column] = streaks.get(score.column, 0) + 1 if score.drifted else 0
        alarms += max(streaks.values()) >= 2
    assert alarms == 0


def test_a_method_that_does_not_fit_costs_its_own_column_alone() -> None:
    found = by_name(scores(methods={"town": "ks"}).of(BEFORE, rows(latent(500, 1)), MONTHLY))
    assert found["town"].score is None
    assert "compares numbers" in str(found["town"].finding)
    assert found["x"].score is not None


def test_what_is_expected_follows_from_the_thresholds_that_are_used() -> None:
    def expected(**settings: Any) -> float:
        kept = Kept()
        scores(kept, **settings).of(BEFORE, rows(latent(500, 1)), MONTHLY)
        (calibration,) = kept.saved.values()
        return float(calibration.content["summary"]["expected_false_alarms_per_month"])

    assert expected(thresholds={"x": 0.5}) < 0.97 * expected() < AIM
    assert expected(thresholds={"x": 0.01}) > 10
    assert expected(minimum_effect=0.5) < 0.3
    assert expected(false_alarms_per_month=1_000) < MONTHLY
