from typing import Any

from lifecycle.records import Verdict
from monitoring.evidently_adapter import without_markup
from monitoring.reports import DAY, wanted
from tests.unit.monitoring.making import newest_first, score, verdict


def starts(verdicts: list[Verdict]) -> list[str]:
    return [item.state for item in wanted(verdicts)]


def reported(*states: str, **changes: Any) -> list[Verdict]:
    """A history whose oldest window has the day's report."""
    return [*newest_first(*states, **changes), verdict(-1, report="0.html")]


def test_nothing_judged_nothing_to_show() -> None:
    assert wanted([]) == []
    assert wanted(newest_first("no_traffic")) == []


def test_the_first_window_of_an_alarm_gets_a_report_and_the_next_do_not() -> None:
    assert starts(reported("ok", "drift", "drift", "drift")) == ["drift"]
    assert starts(reported("drift", "performance")) == ["performance", "drift"]


def test_a_quiet_day_gets_one_report() -> None:
    assert starts(newest_first("ok", "ok")) == ["ok"]
    assert starts(reported("ok", "ok")) == []
    late = verdict(5, end=verdict(5).end + DAY)
    assert wanted([late, *reported("ok")]) == [late]


def test_a_window_without_scores_has_nothing_to_show() -> None:
    assert wanted(newest_first("data_quality", scores=(score(value=None),))) == []


def test_no_text_of_a_row_can_end_the_script() -> None:
    page = 'x<script>\n var metric_0a = {"a": "</script><b>"}\n  var additional_graphs_metric_0a = {"<": 1}\n</script>y'
    safe = without_markup(page)
    assert safe.count("<") == 2
    assert r"\u003c/script>\u003cb>" in safe
