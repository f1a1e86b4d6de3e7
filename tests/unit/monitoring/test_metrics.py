from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lifecycle.clock import ManualClock
from lifecycle.ledger.sql import SqlLedger
from lifecycle.records import FoldStatus, Performance
from monitoring.metrics import exposition
from tests.unit.monitoring.making import kept, score, verdict


def samples(ledger: SqlLedger, clock: ManualClock) -> dict[str, float]:
    text = exposition(ledger, clock, 8).decode()
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


def test_labels_come_from_closed_sets(ledger: SqlLedger, clock: ManualClock, tmp_path: Path) -> None:
    found = samples(ledger, clock)
    assert {name.partition("{")[2].partition("=")[0] for name in found if "{" in name} == {"state", "kind"}
