from typing import Any

import pytest

from lifecycle.records import ColumnScore
from monitoring.verdicts import Decision, Evidence, decide, is_drifting, strongest
from tests.unit.monitoring.making import config, kept, lost, newest_first, score

OVER, UNDER = score(value=0.5), score(value=0.05)


def decided(*before: str, settings: dict[str, Any] | None = None, **evidence: Any) -> Decision:
    fields: dict[str, Any] = {"rows": 500, "version": 1, "scores": (UNDER,)}
    section = config(monitoring={"persistence": 2, "minimum_labels": 50} | (settings or {})).monitoring
    return decide(Evidence(**(fields | evidence)), newest_first(*before), section)


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


def test_the_first_drifting_window_is_a_warning() -> None:
    decision = decided("ok", scores=(OVER,))
    assert (decision.state, decision.drifting) == ("warning", True)


def test_drift_is_a_verdict_once_it_persists() -> None:
    assert decided("ok", "warning", scores=(OVER,)).state == "drift"


def test_a_quiet_window_between_starts_the_count_again() -> None:
    assert decided("drift", "ok", scores=(OVER,)).state == "warning"


@pytest.mark.parametrize("between", ["no_traffic", "insufficient_data", "data_quality"])
def test_a_window_that_says_nothing_of_drift_does_not_break_the_count(between: str) -> None:
    assert decided("warning", between, scores=(OVER,)).state == "drift"


def test_drift_from_another_version_does_not_count() -> None:
    section = config(monitoring={"persistence": 2}).monitoring
    decision = decide(Evidence(500, 2, (OVER,)), newest_first("warning", version=1), section)
    assert decision.state == "warning"


def test_lost_quality_outranks_drift_and_keeps_its_reasons() -> None:
    decision = decided("warning", scores=(OVER,), performance=lost())
    assert (decision.state, decision.drifting) == ("performance", True)
    assert any("over their thresholds" in reason for reason in decision.reasons)


def test_breakage_outranks_everything() -> None:
    decision = decided("warning", scores=(OVER,), performance=lost(), findings=("x: all missing",))
    assert decision.state == "data_quality"
    assert decision.reasons[0] == "x: all missing"


def test_few_labels_accuse_nobody() -> None:
    assert decided(performance=lost(rows=49)).state == "ok"
    assert decided(performance=lost(rows=50)).state == "performance"
    assert decided(performance=kept()).state == "ok"


def test_a_column_that_could_not_be_scored_is_mentioned() -> None:
    decision = decided(scores=(UNDER, ColumnScore("b", "wasserstein", None, 0.1, "could not be scored: empty")))
    assert decision.reasons == ("b: could not be scored: empty",)


@pytest.mark.parametrize(
    ("over", "columns", "share", "drifts"),
    [(1, 5, 0.1, True), (0, 5, 0.1, False), (1, 20, 0.1, False), (2, 20, 0.1, True), (3, 30, 0.1, True)],
)
def test_the_share_of_columns_decides_and_one_suffices_among_few(
    over: int, columns: int, share: float, *, drifts: bool
) -> None:
    assert is_drifting([OVER] * over + [UNDER] * (columns - over), share) is drifts


def test_the_strongest_column_is_named_first() -> None:
    near, far = score("near", 0.2), score("far", 0.3, threshold=0.01)
    assert strongest([near, UNDER, far]) == [far, near]
