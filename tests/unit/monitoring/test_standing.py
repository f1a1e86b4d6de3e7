from monitoring.standing import standing
from tests.unit.monitoring.making import START, kept, lost, newest_first, verdict


def test_an_empty_history_stands_for_nothing() -> None:
    stands = standing([], 50, 2)
    assert (stands.latest, stands.cause) == (None, None)


def test_drift_stands_since_its_first_window() -> None:
    stands = standing(newest_first("warning", "drift", "drift"), 50, 2)
    assert stands.drift
    assert stands.drift.since == START


def test_one_drifting_window_does_not_stand() -> None:
    assert standing(newest_first("ok", "warning"), 50, 2).cause is None


def test_late_labels_are_not_hidden_by_newer_windows_without_any() -> None:
    history = [verdict(2), verdict(1), verdict(0, "performance", performance=lost())]
    cause = standing(history, 50, 2).cause
    assert cause is history[2]


def test_the_newest_labelled_window_decides_on_quality() -> None:
    history = [verdict(1, performance=kept()), verdict(0, "performance", performance=lost())]
    assert standing(history, 50, 2).performance is None


def test_a_broken_window_stands_beside_the_drift_before_it() -> None:
    stands = standing(newest_first("warning", "drift", "data_quality"), 50, 2)
    assert stands.data_quality
    assert stands.drift
