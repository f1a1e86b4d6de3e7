"""A report shows the verdict's own numbers, renders in a real browser, and runs nothing that a caller sent."""

import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.process import child_environment
from monitoring.evidently_adapter import EvidentlyScorer, write_report
from monitoring.judge import Judge, References
from monitoring.render.page import render
from monitoring.scores import Methods, score_columns
from monitoring.windows import Window, floor
from tests.behaviour import browser, monitored
from tests.unit.monitoring.making import reference, window

pytestmark = pytest.mark.filterwarnings("ignore")
"""Evidently and what it imports warn about themselves."""

SECOND = 1_000_000


def test_the_report_the_ledger_and_the_scores_are_the_same_numbers(tmp_path: Path) -> None:
    world = monitored.make(tmp_path)
    start = floor(world.project.clock.now(), 60 * SECOND)
    world.traffic(400, shift=1.0)
    world.fold()
    settings, store, ledger = world.project.config.monitoring, world.project.store, world.project.ledger
    judge = Judge(world.project.tables, References(store, ledger), EvidentlyScorer(), world.project.clock, settings, 0)
    verdict = judge.judge(Window(start, start + 120 * SECOND), [])
    ledger.save(verdict)
    kept = ledger.verdict(start)
    assert kept
    shown = render(judge, kept, settings.drift_share, tmp_path)
    assert shown == pytest.approx({score.column: score.score for score in kept.scores}, rel=1e-12)
    assert set(shown) == {"a", "b", "prediction"}
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "monitoring.render",
        "--project",
        str(tmp_path),
        "--start",
        str(start),
    ]
    assert subprocess.run(command, env=child_environment(), check=False, timeout=120).returncode == 0
    assert (world.project.reports / f"{start}.html").is_file()


def test_a_report_renders_under_its_policy_and_runs_no_text_of_a_row(tmp_path: Path) -> None:
    attack = "</script><script>document.title='owned'</script><img src=x onerror=document.title='owned'>"
    world = monitored.make(tmp_path)
    before, now = reference(), window(300, town=["Ghent", attack, "Turin"] * 100)
    limits = dict.fromkeys(("x", "n", "town", "prediction"), 0.1)
    scores = score_columns(EvidentlyScorer(), Methods("wasserstein", "jensenshannon"), before, now, limits)
    world.project.reports.mkdir(parents=True)
    write_report(before.frame, now, scores, 0.1, world.project.reports / "1.html")
    with monitored.running(world):
        page = browser.dom(f"{world.url}/reports/1.html")
    assert "Drift Score" in page
    assert "owned'</title>" not in page
    assert "<title>owned" not in page
    assert "<script>document.title" not in page


def test_the_check_for_an_attack_sees_one(tmp_path: Path) -> None:
    attacked = tmp_path / "attacked.html"
    attacked.write_text("<html><head></head><body><script>document.title='owned'</script></body></html>")
    assert "<title>owned" in browser.dom(attacked.as_uri())


def test_a_report_without_scores_is_refused(tmp_path: Path) -> None:
    world = monitored.make(tmp_path)
    command = [sys.executable, "-m", "monitoring.render", "--project", str(world.project.path), "--start", "60000000"]
    ended = subprocess.run(command, env=child_environment(), check=False, timeout=60, capture_output=True)
    assert ended.returncode == 2
    assert b"nothing to report" in ended.stderr
