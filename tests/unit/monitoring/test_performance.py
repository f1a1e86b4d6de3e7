import pyarrow as pa
import pytest

from lifecycle.contract import Target
from monitoring.performance import is_lost, loss_threshold, measure

NUMBERS = Target(name="price", task="regression")
HOLD_OUT = {"loss": 1.0, "trivial_loss": 5.0}


def table(labels: list[float | None], error: float) -> pa.Table:
    predictions = [(label or 0.0) + error * (1 if index % 2 else -1) for index, label in enumerate(labels)]
    return pa.table({"label": pa.array(labels, pa.float64()), "prediction": predictions})


def test_quality_is_measured_on_labelled_rows_and_coverage_says_how_many() -> None:
    found = measure(NUMBERS, table([1.0, None, 3.0, None], 0.5), HOLD_OUT, 0.25)
    assert (found.rows, found.coverage, found.metrics["loss"]) == (2, 0.5, 0.5)


def test_no_labels_yet() -> None:
    found = measure(NUMBERS, table([None] * 3, 0.5), HOLD_OUT, 0.25)
    assert (found.rows, found.metrics) == (0, {})
    assert not is_lost(found, 1)


@pytest.mark.parametrize(("error", "loses"), [(1.0, False), (1.9, False), (2.1, True)])
def test_quality_is_lost_with_a_quarter_of_the_advantage(error: float, *, loses: bool) -> None:
    assert is_lost(measure(NUMBERS, table([float(n) for n in range(100)], error), HOLD_OUT, 0.25), 50) is loses


def test_a_few_wild_rows_are_not_enough() -> None:
    labels = [0.0] * 60
    predictions = [0.0] * 58 + [70.0, 70.0]
    found = measure(NUMBERS, pa.table({"label": labels, "prediction": predictions}), HOLD_OUT, 0.25)
    assert found.metrics["loss"] > found.reference["threshold"]
    assert not is_lost(found, 50)


def test_a_champion_without_advantage_is_measured_against_itself() -> None:
    assert loss_threshold(1.0, 0.9, 0.25) == 1.25
    assert loss_threshold(1.0, None, 0.25) == 1.25
    assert loss_threshold(1.0, 5.0, 0.25) == 2.0


def test_a_version_without_a_hold_out_accuses_nobody() -> None:
    assert not is_lost(measure(NUMBERS, table([1.0] * 100, 50), {}, 0.25), 50)
