"""What is measured, each in a process of its own: processor seconds and peak memory, imports and preparations left out."""

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from scipy.stats import ks_2samp

from benchmarks.detection.ours import SEED, Calibrations
from benchmarks.detection.peers.evidently_defaults import report
from benchmarks.monitoring import log, wide
from benchmarks.window import kilobytes
from lifecycle.clock import ManualClock
from lifecycle.config import MonitoringSection
from lifecycle.feature_log.table import LogTables
from lifecycle.records import ColumnScore, Verdict
from monitoring.drift import methods
from monitoring.drift.scoring import DriftScores
from monitoring.evidently_adapter import EvidentlyScorer
from monitoring.quality import WindowFacts, findings
from monitoring.references import Reference
from monitoring.render.page import render
from monitoring.rows import Numbers, Rows, logged_rows

ROWS, COLUMNS = 100_000, 53
HOURLY = 720.0
Measured = dict[str, float]


def ours(reference_rows: int) -> Measured:
    """The scores of a window, after thresholds were derived, and the same with the findings of data quality."""
    reference, scores = wide.reference(reference_rows, COLUMNS), _scores()
    first, window = (wide.rows(ROWS, COLUMNS, seed) for seed in (1, 2))
    derived = _cost(lambda: scores.of(reference, first, HOURLY))
    found = _cost(lambda: scores.of(reference, window, HOURLY))
    quality = _cost(lambda: findings(reference, window, _facts(window), MonitoringSection()))
    return (
        found
        | {"deriving_cpu_s": derived["cpu_s"], "quality_cpu_s": quality["cpu_s"]}
        | _differences(reference, window)
    )


def preset(reference_rows: int) -> Measured:
    """Evidently's preset over the same window and reference."""
    reference, window = wide.reference(reference_rows, COLUMNS), wide.rows(ROWS, COLUMNS, 2).frame()
    run = report(reference)
    run(window.head(500))  # what a first call loads and compiles is no part of a window
    return _cost(lambda: run(window))


def logged(work: Path) -> Measured:
    """A million rows out of the log, read and scored; memory is that of the whole process."""
    reference, scores = wide.reference(20_000, log.COLUMNS), _scores()
    tables = LogTables(work)
    scores.of(reference, wide.rows(log.ROWS // 10, log.COLUMNS, 1), HOURLY)  # thresholds, as the monitor has them
    found: list[tuple[ColumnScore, ...]] = []
    cost = _cost(lambda: found.append(scores.of(reference, _read(tables, reference), HOURLY)))
    assert len(found[0]) > log.COLUMNS, "every column has its score"
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return cost | {"resident_mb": resident}


def rendering(work: Path) -> NoReturn:
    """Render the report of the log's window again and again, until ended from outside."""
    os.nice(10)  # as the monitor's renderer is
    reference, most = wide.reference(20_000, log.COLUMNS), MonitoringSection().report_rows
    rows = logged_rows(LogTables(work), reference.contract, *log.WINDOW, version=1, most=most)
    scores = _scores().of(reference, rows, HOURLY)
    verdict = Verdict(*log.WINDOW, len(rows), "drift", 1, scores)
    while True:
        render(verdict, reference, rows, log.ROWS, most, work)
        print("rendered", flush=True)


ROLES: dict[str, tuple[Callable[[Any], Measured], Callable[[str], Any]]] = {
    "ours": (ours, int),
    "preset": (preset, int),
    "logged": (logged, Path),
    "rendering": (rendering, Path),
}
"""By name, with what makes its argument of text."""


def _read(tables: LogTables, reference: Reference) -> Rows:
    most = MonitoringSection().sample_rows  # as the judge reads
    rows = logged_rows(tables, reference.contract, *log.WINDOW, version=1, most=most)
    assert len(rows) == log.ROWS, len(rows)
    return rows


def _scores() -> DriftScores:
    return DriftScores(Calibrations(), ManualClock(), MonitoringSection(), SEED, EvidentlyScorer())


def _facts(rows: Rows) -> WindowFacts:
    return WindowFacts(*log.WINDOW, len(rows), ())


def _cost(work: Callable[[], Any]) -> Measured:
    """Of this process, with all its threads."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before, began, resident = time.process_time(), time.perf_counter(), kilobytes("VmRSS")
    work()
    return {
        "cpu_s": time.process_time() - before,
        "seconds": time.perf_counter() - began,
        "megabytes": (kilobytes("VmHWM") - resident) / 1024,
    }


def _differences(reference: Reference, window: Rows) -> Measured:
    """How far our Kolmogorov-Smirnov statistics are from SciPy's at most."""
    pairs = [(values, window.columns[name]) for name, values in reference.rows.columns.items()]
    return {
        "from_scipy": max(
            abs(methods.score("ks", before, now) - float(ks_2samp(before.floats, now.floats, method="asymp").statistic))
            for before, now in pairs
            if isinstance(before, Numbers) and isinstance(now, Numbers)
        )
    }
