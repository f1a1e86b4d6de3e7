"""CalibrationLedger: what thresholds are derived from, by key and by version."""

from lifecycle.ports import CalibrationLedger
from lifecycle.records import Calibration

FIRST = Calibration("1/training|a", 1, 100, {"nulls": {"feature:x:512": {"mean": 0.1}}, "summary": {}})


def test_a_calibration_comes_back_as_it_was_saved(any_ledger: CalibrationLedger) -> None:
    any_ledger.save_calibration(FIRST)
    assert any_ledger.calibration(FIRST.key) == FIRST
    assert any_ledger.calibration("1/other|a") is None


def test_the_same_key_is_replaced_and_versions_are_listed_newest_first(any_ledger: CalibrationLedger) -> None:
    newer = Calibration(FIRST.key, 1, 200, {"nulls": {}, "summary": {}})
    other = Calibration("1/training|b", 1, 150, {})
    for item in (FIRST, other, newer, Calibration("2/training|a", 2, 300, {})):
        any_ledger.save_calibration(item)
    assert any_ledger.calibrations(1) == [newer, other]
