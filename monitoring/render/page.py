"""One window's report page, written to the report folder by renaming: a half-written report is never served.

It shows what the verdict was scored on, with the verdict's own methods and thresholds, so its numbers are the verdict's.
"""

import os
from pathlib import Path

from lifecycle.records import Verdict
from monitoring.columns import prepare_window
from monitoring.evidently_adapter import write_report
from monitoring.judge import Judge
from monitoring.reports import file_name


def render(judge: Judge, verdict: Verdict, drift_share: float, folder: Path) -> dict[str, float]:
    """Write the report of a scored `verdict` into `folder`; returns the score it shows for each column."""
    reference, rows = judge.compared(verdict)
    window = prepare_window(reference, rows)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / file_name(verdict.start)
    working = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shown = write_report(reference.frame, window, verdict.scores, drift_share, working)
        working.rename(target)
    finally:
        working.unlink(missing_ok=True)
    return shown
