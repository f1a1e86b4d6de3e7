from dataclasses import replace
from typing import Any

import pytest

from lifecycle.records import ColumnScore, Estimate, Finding, Verdict
from monitoring.verdicts import Decision, Evidence, decide, strongest, with_streaks
from tests.unit.monitoring.making import config, kept, lost, score, verdict

OVER, UNDER = score(value=0.5), score(value=0.05)
BROKEN = Finding("x", "null_surge", "x: all missing")
REMARK = Finding(None, "volume_jump", "three times the usual rows")


def decided(settings: dict[str, Any] | None = None, **evidence: Any) -> Decision:
    fields: dict[str, Any] = {"rows": 500, "version": 1, "scores": (UNDER,)}
    section = config(monitoring={"persistence": 2, "minimum_labels": 50} | (settings or {})).monitoring
    return decide(Evidence(**(fields | evidence)), section)


def estimated(*, trusted: bool = True, is_lost: bool = True) -> Estimate:
    return Estimate("error model", 500, 2.0, (1.8, 2.2), {"threshold": 1.5}, trusted, "as far as one knows", is_lost)


def in_a_row(count: int) -> ColumnScore:
    return replace(OVER, streak=count)


def test_nobody_asked() -> None:
    assert decided(rows=0, version=None, scores=()).state == "no_traffic"


def test_too_few_rows_are_a_verdict_that_says_how_many_it_takes() -> None:
    decision = decided(rows=7, scores=())
    assert decision.state == "insufficient_data"
    assert "7 rows" in decision.reasons[0]
    assert "100" in decision.reasons[0]


def test_a_window_that_cannot_be_compared_says_why() -> None:
    decision = decided(obstacle="the reference of version 1 is gone")
    assert (decision.state, decision.reasons) == ("insufficient_data", ("the reference of version 1 is gone",))


def test_quiet_columns_are_ok() -> None:
    assert decided().state == "ok"


def test_the_first_window_over_a_threshold_is_a_warning_and_one_that_persists_is_drift() -> None:
    assert (decided(scores=(in_a_row(1),)).state, decided(scores=(in_a_row(2),)).state) == ("warning", "drift")
    assert decided(scores=(in_a_row(1), replace(in_a_row(1), column="b"))).state == "warning"


def chained(*windows: tuple[ColumnScore, ...], states: tuple[str, ...] = ()) -> ColumnScore:
    """The first score of the last of these windows, each judged after the one before."""
    history: list[Verdict] = []
    for index, scores in enumerate(windows):
        known = with_streaks(scores, history, 1)
        state = states[index] if states else "ok"
        history.insert(0, verdict(index, state, scores=known))
    return history[0].scores[0]


def test_a_streak_is_of_one_column_and_breaks_when_it_is_quiet() -> None:
    assert chained((OVER,), (OVER,), (OVER,)).streak == 3
    assert chained((OVER,), (UNDER,), (OVER,)).streak == 1
    other = replace(OVER, column="b")
    assert chained((other,), (OVER,)).streak == 1


@pytest.mark.parametrize("between", ["no_traffic", "insufficient_data", "data_quality"])
def test_a_window_that_says_nothing_of_drift_does_not_break_a_streak(between: str) -> None:
    assert chained((OVER,), (), (OVER,), states=("warning", between, "drift")).streak == 2


def test_the_streak_of_another_version_does_not_count() -> None:
    (found,) = with_streaks((OVER,), [verdict(0, "warning", scores=(in_a_row(1),), version=2)], 1)
    assert found.streak == 1


def test_lost_quality_outranks_drift_and_keeps_its_reasons() -> None:
    decision = decided(scores=(in_a_row(2),), performance=lost())
    assert (decision.state, decision.drifting) == ("performance", True)
    assert any("over their thresholds" in reason for reason in decision.reasons)


def test_an_estimate_counts_only_while_it_can_be_trusted() -> None:
    assert decided(estimate=estimated()).state == "performance"
    assert decided(estimate=estimated(trusted=False)).state == "ok"
    assert decided(estimate=estimated(is_lost=False)).state == "ok"
    assert "without labels" in decided(estimate=estimated()).reasons[0]


def test_breakage_outranks_everything_and_remarks_decide_nothing() -> None:
    decision = decided(scores=(in_a_row(2),), performance=lost(), findings=(REMARK, BROKEN))
    assert decision.state == "data_quality"
    assert decision.reasons[0] == "x: all missing"
    assert decided(findings=(REMARK,)) == Decision("ok", False, ("three times the usual rows",))


def test_few_labels_accuse_nobody() -> None:
    assert decided(performance=lost(rows=49)).state == "ok"
    assert decided(performance=lost(rows=50)).state == "performance"
    assert decided(performance=kept()).state == "ok"


def test_a_column_that_could_not_be_scored_is_mentioned() -> None:
    decision = decided(scores=(UNDER, ColumnScore("b", "ks", None, 0.1, "could not be scored: empty")))
    assert decision.reasons == ("b: could not be scored: empty",)


def test_reasons_name_the_reference_and_how_much_the_model_leans_on_what_drifts() -> None:
    decision = decided(scores=(replace(in_a_row(2), weight=0.4),), reference="the 900 training rows of version 1")
    assert "compared with the 900 training rows of version 1" in decision.reasons[0]
    assert any("40%" in reason for reason in decision.reasons)


def test_the_strongest_column_is_named_first_and_what_the_model_leans_on_is_stronger() -> None:
    near, far = score("near", 0.2), score("far", 0.3, threshold=0.01)
    assert strongest([near, UNDER, far]) == [far, near]
    idle, leaned_on = replace(far, weight=0.0), replace(near, weight=0.9)
    assert strongest([idle, leaned_on])[0] == idle  # thirty times its threshold outweighs twice
    assert strongest([replace(idle, score=0.025), leaned_on])[0] == leaned_on


def test_where_nothing_could_be_compared_nothing_is_ok() -> None:
    unscored = ColumnScore("b", "ks", None, 0.1, "could not be scored: has 9 rows in the reference")
    decision = decided(scores=(unscored,))
    assert decision.state == "insufficient_data"
    assert "nothing could be compared" in decision.reasons[0]
    assert decided(scores=(unscored, UNDER)).state == "ok"


def test_importance_is_not_said_to_be_nothing_where_no_feature_drifts() -> None:
    quiet = replace(UNDER, weight=1.0)
    together = replace(in_a_row(2), column="joint", about="joint")
    assert not any("importance" in reason for reason in decided(scores=(quiet, together)).reasons)
    assert verdict(scores=(quiet, together)).impact is None
    assert verdict(scores=(quiet,)).impact == 0
