"""VerdictLedger: one verdict per window, the newest first."""

from dataclasses import replace

from lifecycle.ports import VerdictLedger
from lifecycle.records import ColumnScore, Estimate, FairnessGap, Finding, Performance, SegmentScore, Verdict

FULL = Verdict(
    start=100,
    end=200,
    rows=50,
    state="drift",
    version=3,
    scores=(
        ColumnScore("a", "ks", 0.4, 0.1, about="label", weight=0.3, streak=2),
        ColumnScore("b", "ks", None, 0.1, "all values missing"),
    ),
    reasons=("a drifted",),
    drifting=True,
    performance=Performance(40, 0.8, {"loss": 0.3}, {"loss": 0.1}, {"loss": (0.2, 0.4)}, {"last value": 0.5}, 60.5),
    scored_at=210,
    report="w.html",
    retrain="run-1",
    reference="the 900 training rows of version 3",
    findings=(
        Finding("a", "unit_change", "a: as if multiplied by 10"),
        Finding(None, "time_gap", "an hour of silence"),
    ),
    estimate=Estimate("error model", 50, 0.3, (0.2, 0.4), {"threshold": 0.35}, True, "as far as one knows", False),
    segments=(
        SegmentScore("town", "Ghent", 20, 10, "a", 0.5, 0.2, 0.4, (0.3, 0.5), 0.1, True),
        SegmentScore("town", "(others)", 3, 0),
    ),
    fairness=(FairnessGap("town", "selection rate", 0.2, (0.1, 0.3), "Ghent", "Turin", {"Ghent": 0.1}, {"Ghent": 40}),),
)


def test_a_verdict_comes_back_as_it_was_saved(any_ledger: VerdictLedger) -> None:
    any_ledger.save(FULL)
    any_ledger.save(Verdict(200, 300, 0, "no_traffic", None))
    assert any_ledger.verdict(100) == FULL
    assert any_ledger.verdict(200) == Verdict(200, 300, 0, "no_traffic", None)
    assert any_ledger.verdict(300) is None


def test_a_window_scored_again_replaces_its_verdict(any_ledger: VerdictLedger) -> None:
    any_ledger.save(FULL)
    any_ledger.save(replace(FULL, state="ok", performance=None))
    assert any_ledger.latest(10) == [replace(FULL, state="ok", performance=None)]


def test_the_newest_windows_come_first(any_ledger: VerdictLedger) -> None:
    for start in (200, 100, 300):
        any_ledger.save(replace(FULL, start=start))
    assert [verdict.start for verdict in any_ledger.latest(2)] == [300, 200]
