"""The life of a retrain run outside its own process: launched, retried once when it dies, failed when it cannot end.

The job itself takes the lease, marks the run running and finishes it. Here a run is only ever started again or given
up, and only when its job is known to be gone: its lease has lapsed and no process of ours carries it.
"""

from dataclasses import replace

import structlog

from lifecycle.clock import MICROSECONDS
from lifecycle.config import RetrainSection
from lifecycle.ports import Clock
from lifecycle.records import RetrainRun
from monitoring.launcher import JobLauncher
from monitoring.stores import MonitorLedger

LEASE = "retrain"
OPEN = ("requested", "running")
MOST_ATTEMPTS = 2
START_SECONDS = 60
LOOKED_AT = 1_000
log = structlog.get_logger(__name__)


class Runs:
    """Carries open runs forward; `step` may be called at any time and after any restart."""

    def __init__(self, ledger: MonitorLedger, launcher: JobLauncher, clock: Clock, settings: RetrainSection) -> None:
        self._ledger = ledger
        self._launcher = launcher
        self._clock = clock
        self._settings = settings
        self._launched: dict[str, int] = {}

    def step(self) -> None:
        """Collect ended jobs, settle what they left behind, and start the oldest request when nothing runs."""
        self._launcher.poll()
        for run in self._open():
            self._settle(run)
        open_runs = self._open()
        waiting = [run for run in reversed(open_runs) if run.state == "requested"]
        if waiting and not self._busy(open_runs):
            self._start(waiting[0])

    def stop(self) -> None:
        """End the jobs that were started here; their runs stay open and are taken up after the next start."""
        self._launcher.stop()

    def _open(self) -> list[RetrainRun]:
        return [run for run in self._ledger.runs(LOOKED_AT) if run.state in OPEN]

    def _busy(self, open_runs: list[RetrainRun]) -> bool:
        return any(run.state == "running" or run.id in self._launched for run in open_runs)

    def _start(self, run: RetrainRun) -> None:
        self._launched[run.id] = self._clock.now()
        self._launcher.start(run.id)

    def _settle(self, run: RetrainRun) -> None:
        if run.state == "running":
            self._settle_running(run)
        elif run.id in self._launched:
            self._settle_launched(run)

    def _settle_running(self, run: RetrainRun) -> None:
        now = self._clock.now()
        if self._launcher.alive(run.id):
            return
        if now - (run.started_at or now) > self._settings.timeout_minutes * 60 * MICROSECONDS:
            minutes = self._settings.timeout_minutes
            self._fail(run, f"the run took longer than {minutes:g} minutes ([retrain] timeout_minutes) and was ended")
        elif not self._holds_lease(run):
            self._retry(run, "its process ended without a decision")

    def _settle_launched(self, run: RetrainRun) -> None:
        """A job that was launched has not marked its run running: wait, unless it is gone or late."""
        late = self._clock.now() - self._launched[run.id] > START_SECONDS * MICROSECONDS
        if self._holds_lease(run):
            return
        if not self._launcher.alive(run.id):
            self._retry(replace(run, attempt=run.attempt + 1), "its process ended before it began")
        elif late:
            self._launcher.stop()
            self._retry(replace(run, attempt=run.attempt + 1), f"its process did not begin within {START_SECONDS} s")

    def _holds_lease(self, run: RetrainRun) -> bool:
        lease = self._ledger.lease(LEASE)
        return lease is not None and lease.holder.partition(":")[0] == run.id and lease.expires_at > self._clock.now()

    def _retry(self, run: RetrainRun, cause: str) -> None:
        current = self._ledger.run(run.id)
        if current is None or current.state not in OPEN:
            return  # it finished between two looks
        if run.attempt >= MOST_ATTEMPTS:
            self._fail(run, f"{cause}, at attempt {run.attempt} of {MOST_ATTEMPTS}; its log lines say why")
            return
        log.warning("retrain_retried", run=run.id, attempt=run.attempt)
        self._launched.pop(run.id, None)
        self._ledger.save_run(replace(run, state="requested"))

    def _fail(self, run: RetrainRun, sentence: str) -> None:
        current = self._ledger.run(run.id)
        if current is None or current.state not in OPEN:
            return
        decision = {"outcome": "failed", "reasons": [sentence]}
        self._launched.pop(run.id, None)
        self._ledger.save_run(replace(run, state="failed", finished_at=self._clock.now(), decision=decision))
        log.error("retrain_failed", run=run.id)
