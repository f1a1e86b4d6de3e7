import pytest

from lifecycle.records import Verdict
from monitoring.standing import Standing, of_late, standing
from tests.unit.monitoring.judged import drifted, estimated, measured
from tests.unit.monitoring.making import MINUTE, START, config, newest_first, verdict

LOST, KEPT = measured(2.0), measured(1.0)
SETTINGS = config().monitoring


def stands(*newest_first: Verdict) -> Standing:
    return standing(newest_first, SETTINGS)


def test_an_empty_history_stands_for_nothing() -> None:
    assert (stands().latest, stands().cause, stands().strays) == (None, None, False)


def test_drift_stands_since_its_first_window() -> None:
    found = stands(*newest_first("warning", "drift", "drift"))
    assert found.drift
    assert found.drift.since == START


def test_one_drifting_window_does_not_stand() -> None:
    found = stands(*newest_first("ok", "warning"))
    assert found.cause is None
    assert found.strays


@pytest.mark.parametrize(("streak", "holds"), [(1, False), (2, True)])
def test_drift_stands_beside_lost_quality_by_the_streak_of_a_column(streak: int, *, holds: bool) -> None:
    scores = (drifted("x", 3.0, streak=streak), drifted("y", 0.5))
    found = stands(verdict(0, "performance", performance=LOST, scores=scores))
    assert (found.drift is not None) is holds
    assert found.performance


def test_late_labels_are_not_hidden_by_newer_windows_without_any() -> None:
    history = [verdict(2), verdict(1), verdict(0, "performance", performance=LOST)]
    assert stands(*history).cause is history[2]


def test_the_newest_labelled_window_decides_on_quality() -> None:
    assert stands(verdict(1, performance=KEPT), verdict(0, "performance", performance=LOST)).performance is None


@pytest.mark.parametrize("too_few", [measured(1.0, rows=49), measured(1.0, coverage=0.04)])
def test_too_few_labels_decide_nothing(too_few: object) -> None:
    assert stands(verdict(1, performance=too_few), verdict(0, "performance", performance=LOST)).performance


def test_a_trusted_estimate_stands_for_lost_quality_while_there_are_no_labels() -> None:
    found = stands(verdict(2, estimate=estimated()), verdict(1, estimate=estimated()), verdict(0, performance=KEPT))
    assert found.performance
    assert found.performance.estimated
    assert found.performance.since == verdict(1).start
    assert found.cause == verdict(2, estimate=estimated())


def test_labels_outrank_the_estimate_of_their_window_and_of_those_before() -> None:
    assert stands(verdict(1, performance=KEPT, estimate=estimated()), verdict(0, estimate=estimated())).cause is None


def test_a_kept_estimate_does_not_outrank_labels_that_show_a_loss() -> None:
    found = stands(verdict(1, estimate=estimated(1.0, lost=False)), verdict(0, "performance", performance=LOST))
    assert found.performance
    assert not found.performance.estimated


def test_an_estimate_that_cannot_be_trusted_says_nothing() -> None:
    untrusted = verdict(1, estimate=estimated(trusted=False))
    assert stands(untrusted).performance is None
    assert stands(untrusted, verdict(0, estimate=estimated())).performance


def test_a_broken_window_stands_beside_the_drift_before_it() -> None:
    found = stands(*newest_first("warning", "drift", "data_quality"))
    assert found.data_quality
    assert found.drift
    assert not found.hit


@pytest.mark.parametrize("broken", [{"performance": LOST}, {"estimate": estimated()}])
def test_a_broken_window_can_be_hit_by_itself_and_says_nothing_of_the_model(broken: dict[str, object]) -> None:
    found = stands(verdict(1, "data_quality", **broken), verdict(0, performance=KEPT))
    assert found.hit
    assert found.performance is None


def test_a_past_that_was_judged_afterwards_is_no_news() -> None:
    settings = config(monitoring={"label_horizon_minutes": 10}).monitoring
    history = newest_first("drift", "drift")
    assert of_late(history, START + 11 * MINUTE, settings) == history
    assert of_late(history, START + 12 * MINUTE, settings) == history[:1]
    assert of_late(history, START + 60 * MINUTE, settings) == []
