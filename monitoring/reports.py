"""HTML reports: which windows get one, rendered aside in a process of its own, and the newest kept.

A window gets a report when it raises an alarm that the judged window before it did not raise, and one window a day
gets one in any case. Rendering has a time limit and never delays scoring. While rows are erased nothing is rendered.
A snapshot in an Evidently workspace is there as long as its page is.
"""

import re
import subprocess
import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import structlog

from lifecycle import snapshots
from lifecycle.clock import MICROSECONDS
from lifecycle.config import MonitoringSection
from lifecycle.process import child_environment
from lifecycle.records import Verdict
from monitoring.stores import Amendments, MonitorLedger
from monitoring.verdicts import ALARMS, judged

DAY = 86_400 * MICROSECONDS
LOOKED_BACK = 50
MOST_TRIES = 2
NAME = re.compile(r"[0-9]{1,20}\.html")
SCRIPT_DIGESTS = (
    "'sha256-LzuZeAyRuWKi6ECiPVN3jaVpx2RUghtXvt9XQNdl+D0='",
    "'sha256-l6LOTfRvBGd9x1XheZ/I96o27XDYVve0Q4oSSjsXWFY='",
    "'sha256-U9BGxxJjstpYwJreW4tG6YqI3MwdzyiNqhgbnPpk3d4='",
)
"""The scripts of a page: a name that the second needs, Evidently's library, and what draws. Another is neither written nor run."""
SCRIPTS_POLICY = (
    f"default-src 'none'; script-src {' '.join(SCRIPT_DIGESTS)}; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; base-uri 'none'; form-action 'none'"
)
REPORT_POLICY = f"{SCRIPTS_POLICY}; frame-ancestors 'self'; sandbox allow-scripts"
log = structlog.get_logger(__name__)


def file_name(start: int) -> str:
    """The report's file for the window that starts at `start`."""
    return f"{start}.html"


def wanted(history: Sequence[Verdict]) -> list[Verdict]:
    """The windows of `history` (newest first) that should have a report and have none, newest first."""
    telling = judged(history)
    alarms = [
        verdict
        for verdict, before in zip_longest(telling, telling[1:])
        if verdict.report is None and verdict.state in ALARMS and (before is None or before.state != verdict.state)
    ]
    if (
        telling
        and not alarms
        and all(verdict.report is None for verdict in telling if verdict.end > telling[0].end - DAY)
    ):
        alarms.append(telling[0])
    return [verdict for verdict in alarms if any(score.score is not None for score in verdict.scores)]


class Reports:
    """Renders the wanted reports of a project into its report folder."""

    def __init__(
        self, ledger: MonitorLedger, amendments: Amendments, project: Path, folder: Path, settings: MonitoringSection
    ) -> None:
        self._ledger = ledger
        self._amendments = amendments
        self._project = project
        self._folder = folder
        self._settings = settings
        self._tries: dict[int, int] = {}
        self._rendering: subprocess.Popen[bytes] | None = None

    def step(self) -> None:
        """Render the newest wanted report, if any; returns when it is done or its time is over."""
        self._forget_snapshots()
        if any(finished is None for _, finished in self._erasures()):
            return  # pages are withdrawn; what is rendered afterwards shows what is left
        untried = [
            verdict
            for verdict in wanted(self._ledger.judged(LOOKED_BACK))
            if self._tries.get(verdict.start, 0) < MOST_TRIES
        ]
        if untried:
            self._tries[untried[0].start] = self._tries.get(untried[0].start, 0) + 1
            self._render(untried[0])

    def stop(self) -> None:
        """End a rendering that is under way."""
        if self._rendering is not None:
            self._rendering.kill()

    def _render(self, verdict: Verdict) -> None:
        name, erasures = file_name(verdict.start), self._erasures()
        rendered = self._run(verdict.start) and (self._folder / name).is_file()
        if self._erasures() != erasures:
            (self._folder / name).unlink(missing_ok=True)  # it may show rows that were erased while it was rendered
            del self._tries[verdict.start]
        elif rendered:
            self._amendments.amend(verdict.start, report=name)
            log.info("report_rendered", report=name)
            self._forget_old()
        else:
            log.warning("report_not_rendered", window=verdict.start)
        self._forget_snapshots()

    def _erasures(self) -> list[tuple[str, int | None]]:
        return [(erasure.id, erasure.finished_at) for erasure in self._ledger.erasures()]

    def _run(self, start: int) -> bool:
        quiet = ["-W", "ignore::RuntimeWarning"]  # Evidently correlates constant columns too, and numpy complains
        command = [
            sys.executable,
            *quiet,
            "-m",
            "monitoring.render",
            "--project",
            str(self._project),
            "--start",
            str(start),
        ]
        with subprocess.Popen(
            command, env=child_environment({"DO_NOT_TRACK": "1"}), stdin=subprocess.DEVNULL
        ) as process:
            self._rendering = process
            try:
                return process.wait(self._settings.report_seconds) == 0
            except subprocess.TimeoutExpired:
                process.kill()
                return False
            finally:
                self._rendering = None

    def _forget_old(self) -> None:
        for start in self._pages()[: -self._settings.reports_kept]:
            (self._folder / file_name(start)).unlink(missing_ok=True)

    def _forget_snapshots(self) -> None:
        if self._settings.evidently_workspace:
            folder = self._project / self._settings.evidently_workspace
            snapshots.keep_only(folder, self._project, self._pages())

    def _pages(self) -> list[int]:
        """The starts of the windows that have a page, oldest first."""
        names = self._folder.iterdir() if self._folder.is_dir() else ()
        return sorted(int(path.stem) for path in names if NAME.fullmatch(path.name))
