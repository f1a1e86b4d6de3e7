from typing import Any

import numpy as np
import pandas as pd

from lifecycle.contract import Column
from lifecycle.versions import PREDICTION
from monitoring.columns import prepare_reference
from monitoring.quality import findings
from tests.unit.monitoring.making import config, contract, reference, rows, window

SETTINGS = config().monitoring
ROWS = 400


def found(**columns: Any) -> tuple[str, ...]:
    return findings(reference(), window(ROWS, **columns), SETTINGS)


def test_a_sound_window_has_no_finding() -> None:
    assert found() == ()


def test_values_that_went_missing() -> None:
    column = np.where(np.arange(ROWS) % 2, np.nan, 0.5)
    assert "50% of the values are missing" in found(x=column + np.random.default_rng(0).normal(size=ROWS))[0]


def test_categories_never_seen() -> None:
    assert "town: 100% of the values are categories" in found(town=["Atlantis"] * ROWS)[0]


def test_rare_categories_are_expected_where_the_reference_has_many() -> None:
    names = np.array([f"id-{index}" for index in range(2_000)])
    before = reference(rows(2_000, town=names))
    now = window(ROWS, town=[f"new-{index}" for index in range(ROWS)])
    assert findings(before, now, SETTINGS) == ()


def test_a_category_that_the_contract_declares_is_known() -> None:
    declared = contract().model_copy(
        update={"columns": (*contract().columns[:2], Column(name="town", kind="categorical", categories=("Oslo",)))}
    )
    before = reference()
    known = type(before)(1, declared, before.columns, before.frame, in_time_order=False)
    assert findings(known, window(ROWS, town=["Oslo"] * ROWS), SETTINGS) == ()


def test_a_change_of_unit() -> None:
    assert "more than a full span outside" in found(x=1_000 + np.random.default_rng(0).normal(size=ROWS))[0]


def test_ordinary_drift_is_not_breakage() -> None:
    moved = np.random.default_rng(0).normal(2.5, 1.5, ROWS)
    grown = np.random.default_rng(0).integers(30, 80, ROWS)
    assert found(x=moved, n=grown, town=["Ghent"] * ROWS) == ()


def test_a_stuck_sensor() -> None:
    assert "x: all 400 values are 0.25" in found(x=np.full(ROWS, 0.25))[0]


def test_a_number_that_often_stands_still_in_the_reference_may_do_so_again() -> None:
    frame = rows(2_000)
    frame.loc[500:1_500, "x"] = 0.0
    assert findings(reference(frame, time="day"), window(ROWS, x=np.zeros(ROWS)), SETTINGS) == ()


def test_a_constant_that_moves_is_drift() -> None:
    before = reference(rows(2_000, x=np.zeros(2_000)))
    assert findings(before, window(ROWS, x=np.ones(ROWS)), SETTINGS) == ()


def test_one_row_over_and_over() -> None:
    one = rows(1)
    repeated = reference(pd.concat([one] * 300 + [rows(100, 3)], ignore_index=True)).frame
    assert "one and the same row" in findings(reference(), repeated, SETTINGS)[-1]


def test_an_empty_column_is_one_finding_and_no_error() -> None:
    assert len(found(x=[None] * ROWS)) == 1


def test_a_log_that_keeps_no_feature_has_no_finding() -> None:
    nothing = contract().model_copy(update={"privacy": dict.fromkeys(contract().names, "drop")})
    before = prepare_reference(1, nothing, rows(50).assign(**{PREDICTION: 0.5}))
    assert [column.name for column in before.columns] == ["prediction"]
    assert findings(before, before.frame, SETTINGS) == ()
