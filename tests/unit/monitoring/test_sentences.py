from dataclasses import replace

import pytest

from lifecycle.records import Performance, SegmentScore
from monitoring.sentences import duration, of_estimate, of_performance
from tests.unit.monitoring.judged import estimated, measured, segment


def test_performance_is_told_with_its_interval_its_yardsticks_and_its_worst_segment() -> None:
    parts = (segment("small", 3, None), segment("<script>Ghent"), segment("Turin", 90, 1.1))
    assert of_performance(measured(2.0), parts) == (
        "the loss over 100 labelled rows is 2 (95 % interval 1.8 to 2.2); 1.5 is tolerated, and the champion's hold-out had 1",
        "predictors that look at no feature lose on the same rows: last value 2.5, median 3.5",
        "80% of the rows have a label, which came 2 hours after the answer (median)",
        (
            "the worst segment is town = <script>Ghent: loss 2 (95 % interval 1.5 to 2.5) over 40 labelled rows, "
            "where the hold-out had 1"
        ),
    )


def test_an_estimate_says_that_it_is_one_and_how_far_it_goes() -> None:
    assert of_estimate(estimated()) == (
        (
            "without labels, the loss over 500 rows is estimated at 2 (95 % interval 1.7 to 2.3); 1.5 is tolerated, "
            "and the champion's hold-out had 1 (method: error_model)"
        ),
        "the estimate can be trusted: the error model explains 40 % of the errors",
    )
    assert of_estimate(estimated(trusted=False))[1] == "the estimate cannot be trusted: the hold-out has 12 rows"


def test_what_a_window_lacks_is_not_told() -> None:
    assert (of_performance(None, ()), of_estimate(None)) == ((), ())
    assert of_performance(Performance(0, 0.0, {}, {}), ()) == ()
    old = replace(measured(2.0), intervals={}, trivial={}, delay_seconds=None, reference={})
    assert of_performance(old, [segment("Ghent", loss=None)]) == (
        "the loss over 100 labelled rows is 2",
        "80% of the rows have a label",
    )


def worst(*segments: SegmentScore) -> str:
    return of_performance(measured(2.0), segments)[-1]


def test_the_worst_segment_is_one_that_lost_most_against_its_own_past() -> None:
    always_hard, risen = segment("hard", loss=5.0, reference_loss=4.9), segment("risen", loss=2.0, reference_loss=1.0)
    unknown, lost = segment("new", loss=9.0, reference_loss=None), segment("lost", loss=1.9, lost=True)
    assert "town = risen" in worst(always_hard, risen, unknown)
    assert "town = lost" in worst(always_hard, risen, lost)
    assert "town = new: loss 9" in worst(unknown)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 seconds"), (90, "1.5 minutes"), (7_200, "2 hours"), (86_400 * 400, "400 days"), (-120, "-2 minutes")],
)
def test_a_length_of_time_is_told_in_its_largest_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text
