import re
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lifecycle.clock import ManualClock
from lifecycle.ledger.sql import SqlLedger
from lifecycle.records import Alert, Calibration, FoldStatus, Performance
from monitoring.metrics import exposition
from tests.unit.monitoring.judged import estimated, full, measured, segment
from tests.unit.monitoring.making import config, kept, score, verdict

TOLD = tuple(
    f"evenkeel_{name}" for name in ("drift_impact", "performance", "label_", "estimate", "segment", "fairness")
)


def samples(ledger: SqlLedger, clock: ManualClock, **settings: Any) -> dict[str, float]:
    text = exposition(ledger, clock, config(monitoring=settings).monitoring, 8).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_an_empty_ledger_has_metrics_too(ledger: SqlLedger, clock: ManualClock) -> None:
    found = samples(ledger, clock)
    assert found["evenkeel_windows_total{state=ok}"] == 0
    assert found["evenkeel_champion_generation"] == 0
    assert "evenkeel_champion_version" not in found


def test_the_numbers_are_the_ledgers(ledger: SqlLedger, clock: ManualClock) -> None:
    scores = (score("a", 0.123456789), score("b", 0.05), score("c", None))
    ledger.save(verdict(0, "warning", scores=scores, performance=kept(40)))
    ledger.save(verdict(1, "no_traffic", rows=0, scores=(), version=None))
    ledger.save_fold(FoldStatus(clock.now() - 4_000_000, clock.now(), 3, 99, 540, 0, 0))
    found = samples(ledger, clock)
    assert found["evenkeel_drift_score{column=a}"] == 0.123456789
    assert found["evenkeel_drift_threshold{column=c}"] == 0.1
    assert "evenkeel_drift_score{column=c}" not in found
    assert found["evenkeel_drift_share"] == pytest.approx(1 / 3)
    assert found["evenkeel_performance_loss"] == 1.0
    assert found["evenkeel_performance_threshold"] == 1.5
    assert found["evenkeel_verdict{state=no_traffic}"] == 1
    assert found["evenkeel_verdict{state=warning}"] == 0
    assert found["evenkeel_windows_total{state=warning}"] == 1
    assert found["evenkeel_window_rows"] == 0
    assert found["evenkeel_log_lag_seconds"] == 4
    assert found["evenkeel_log_pending_segments"] == 3


def test_what_the_fold_met_is_told(ledger: SqlLedger, clock: ManualClock) -> None:
    status = FoldStatus(
        clock.now(), clock.now(), 0, 0, 540, 1, 16, corrupt_frames=2, parked_labels=3, orphaned_labels=4
    )
    ledger.save_fold(status)
    found = samples(ledger, clock)
    assert found["evenkeel_log_quarantined_segments"] == 1
    assert found["evenkeel_log_corrupt_frames_total"] == 2
    assert found["evenkeel_log_truncated_bytes_total"] == 16
    assert found["evenkeel_log_parked_labels"] == 3
    assert found["evenkeel_log_orphaned_labels_total"] == 4


def test_the_coverage_is_that_of_the_newest_judged_window_with_rows(ledger: SqlLedger, clock: ManualClock) -> None:
    ledger.save(verdict(0, "ok", performance=replace(kept(40), coverage=0.25)))
    ledger.save(verdict(1, "insufficient_data", rows=3, scores=()))
    ledger.save(verdict(2, "no_traffic", rows=0, scores=(), version=None))
    assert samples(ledger, clock)["evenkeel_label_coverage_ratio"] == 0.25


def test_the_coverage_goes_to_zero_when_labels_stop_and_the_loss_stays(ledger: SqlLedger, clock: ManualClock) -> None:
    ledger.save(verdict(0, "ok", performance=replace(kept(40), coverage=0.25)))
    ledger.save(verdict(1, "ok", performance=Performance(0, 0.0, {}, {})))
    found = samples(ledger, clock)
    assert found["evenkeel_label_coverage_ratio"] == 0
    assert found["evenkeel_performance_loss"] == 1.0


def test_what_people_are_told_of_a_window_is_measured_alike(ledger: SqlLedger, clock: ManualClock) -> None:
    ledger.save(full())
    found = samples(ledger, clock)
    assert {name: value for name, value in found.items() if name.startswith(TOLD)} == {
        "evenkeel_drift_impact_ratio": 0.7,
        "evenkeel_performance_loss": 2.0,
        "evenkeel_performance_loss_lower": 1.8,
        "evenkeel_performance_loss_upper": 2.2,
        "evenkeel_performance_reference_loss": 1.0,
        "evenkeel_performance_threshold": 1.5,
        "evenkeel_performance_trivial_loss{predictor=median}": 3.5,
        "evenkeel_performance_trivial_loss{predictor=last_value}": 2.5,
        "evenkeel_label_delay_seconds": 7200,
        "evenkeel_label_coverage_ratio": 0.8,
        "evenkeel_estimated_loss": 2.0,
        "evenkeel_estimated_loss_lower": 1.7,
        "evenkeel_estimated_loss_upper": 2.3,
        "evenkeel_estimate_trusted": 1,
        "evenkeel_segment_rows{column=town,value=<script>Ghent}": 60,
        "evenkeel_segment_rows{column=town,value=Turin}": 90,
        "evenkeel_segment_rows{column=town,value=Bergen}": 10,
        "evenkeel_segment_loss{column=town,value=<script>Ghent}": 2.0,
        "evenkeel_segment_loss{column=town,value=Turin}": 1.1,
        "evenkeel_fairness_gap{column=sex,metric=selection_rate}": 0.3,
    }


def test_findings_are_those_of_the_newest_judged_window(ledger: SqlLedger, clock: ManualClock) -> None:
    ledger.save(full())
    found = samples(ledger, clock)
    assert (found["evenkeel_findings{kind=null_surge}"], found["evenkeel_findings{kind=frozen}"]) == (1, 0)
    ledger.save(verdict(1))
    ledger.save(verdict(2, "no_traffic"))
    assert samples(ledger, clock)["evenkeel_findings{kind=null_surge}"] == 0


def test_an_estimate_is_told_with_whether_it_can_be_trusted(ledger: SqlLedger, clock: ManualClock) -> None:
    ledger.save(verdict(0, estimate=estimated(trusted=False)))
    assert samples(ledger, clock)["evenkeel_estimate_trusted"] == 0


def test_segments_are_the_commonest_that_the_reference_knows(ledger: SqlLedger, clock: ManualClock) -> None:
    unknown = segment("made up by a caller", 900, drift_threshold=None, reference_loss=None)
    ledger.save(verdict(0, segments=(segment("rare", 5), segment("common", 80), unknown, segment("usual", 70))))
    rows = {name for name in samples(ledger, clock, segment_values=2) if name.startswith("evenkeel_segment_rows")}
    assert rows == {"evenkeel_segment_rows{column=town,value=common}", "evenkeel_segment_rows{column=town,value=usual}"}


def test_the_expected_false_alarms_are_those_of_the_champions_newest_thresholds(
    ledger: SqlLedger, clock: ManualClock
) -> None:
    ledger.flip(2, 0, "test", "first", clock.now())
    for made_at, (version, expected) in enumerate([(2, 3.0), (2, 0.8), (1, 9.0)]):
        content = {"summary": {"expected_false_alarms_per_month": expected}}
        ledger.save_calibration(Calibration(str(made_at), version, made_at, content))
    ledger.save_calibration(Calibration("unfinished", 2, 9, {"summary": {}}))
    assert samples(ledger, clock)["evenkeel_expected_false_alarms_per_month"] == 0.8


def test_a_window_lasts_as_long_as_is_configured_however_soon_a_swap_cut_the_last_one(
    ledger: SqlLedger, clock: ManualClock
) -> None:
    ledger.save(verdict(0, end=verdict(0).start + 1_000_000))
    assert samples(ledger, clock, window_minutes=10)["evenkeel_window_seconds"] == 600


def test_alerts_that_page_are_told_apart(ledger: SqlLedger, clock: ManualClock) -> None:
    ledger.save_alert(Alert("a", "drift", "ticket", "", "", 0, 0), [])
    ledger.save_alert(Alert("b", "performance", "page", "", "", 0, 0), [])
    found = samples(ledger, clock)
    assert [found[f"evenkeel_alerts_open{{kind={kind}}}"] for kind in ("drift", "performance", "data_quality")] == [
        1,
        1,
        0,
    ]
    assert [found[f"evenkeel_alerts_paging{{kind={kind}}}"] for kind in ("drift", "performance")] == [0, 1]


def test_no_series_is_told_twice(ledger: SqlLedger, clock: ManualClock) -> None:
    twice = full().scores[0]
    ledger.save(full(scores=(twice, twice), segments=(segment("Ghent"), segment("Ghent", 3))))
    text = exposition(ledger, clock, config().monitoring, 8).decode()
    names = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(names) == len(set(names))


def test_labels_come_from_closed_sets(ledger: SqlLedger, clock: ManualClock) -> None:
    ledger.save(full(performance=measured(2.0)))
    names = re.findall(r"[{,](\w+)=", " ".join(samples(ledger, clock)))
    assert set(names) == {"state", "kind", "column", "predictor", "value", "metric"}
