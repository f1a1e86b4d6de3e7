"""The composition root of the monitor: opens the stores, wires the steps, schedules them and serves HTTP."""

import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from types import FrameType

import structlog
import uvicorn
from apscheduler.schedulers.background import BackgroundScheduler

from lifecycle.config import Config
from lifecycle.errors import ConfigInvalid
from lifecycle.ids import uuid7
from lifecycle.project import Project
from monitoring.alerts import Alerts
from monitoring.arrivals import LogMoments
from monitoring.console import Console
from monitoring.delivery import AppriseSink, Dispatcher
from monitoring.http import make_app
from monitoring.launcher import LocalLauncher
from monitoring.opening import open_judge
from monitoring.reports import Reports
from monitoring.runs import Runs
from monitoring.steps import Steps
from monitoring.stores import Amendments
from monitoring.trigger import Trigger
from monitoring.watch import Watch

ROUND_SECONDS = 0.5
LOOK_SECONDS = 1.5
"""A hundred verdicts of wide models are tens of milliseconds to read."""
RENEW_SECONDS = 1.0
DELIVER_SECONDS = 1.0
REPORT_SECONDS = 2.0
MISFIRE_SECONDS = 60
SHUTDOWN_SECONDS = 2
log = structlog.get_logger(__name__)


class Monitor:
    """A project's monitor; `run` serves until it is told to stop."""

    def __init__(self, project: Project) -> None:
        config, ledger, clock = project.config, project.ledger, project.clock
        self._config = config
        self._project = project
        self.steps = Steps(ledger, clock, uuid7())
        amendments = Amendments(ledger)
        judge = open_judge(ledger, project.store, project.tables, clock, config)
        self._watch = Watch(ledger, amendments, LogMoments(project.tables), judge, clock, config.monitoring)
        self._trigger = Trigger(ledger, amendments, project.tables, clock, config.monitoring, config.retrain)
        targets = len(config.alerts.targets)
        self._alerts = Alerts(
            ledger, clock, config.monitoring, targets, config.model.name, project.path, self.steps.health
        )
        launcher = LocalLauncher(project.path, clock, config.retrain.timeout_minutes * 60)
        self._runs = Runs(ledger, launcher, clock, config.retrain)
        self._dispatcher = Dispatcher(ledger, AppriseSink(config.alerts.timeout_seconds), clock, config.alerts)
        self._reports = Reports(ledger, amendments, project.path, project.reports, config.monitoring)
        self._console = Console(ledger, clock, self.steps, config.monitoring, config.model.name, config.alerts.attempts)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then end every job and process started. Raises ConfigInvalid for a taken port."""
        listener = listen(self._config)
        scheduler = self._scheduled()
        server = _Server(
            uvicorn.Config(
                make_app(self._console, self._project.reports),
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, server.end)
        try:
            self.steps.renew()
            scheduler.start()
            log.info("monitor_started", host=self._config.monitoring.host, port=self._config.monitoring.port)
            server.run(sockets=[listener])
        finally:
            self._end(scheduler)

    def _scheduled(self) -> BackgroundScheduler:
        """Every step as a job: never two of one at once, none piled up. They start with the scheduler."""
        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": MISFIRE_SECONDS}
        scheduler = BackgroundScheduler(timezone="UTC", job_defaults=defaults)
        guarded = self.steps.guarded
        scheduler.add_job(guarded("lease", self.steps.renew, leading=False), "interval", seconds=RENEW_SECONDS)
        scheduler.add_job(guarded("watch", self._round), "interval", seconds=ROUND_SECONDS)
        scheduler.add_job(guarded("runs", self._runs.step), "interval", seconds=ROUND_SECONDS)
        scheduler.add_job(guarded("alerts", self._alerts.look), "interval", seconds=LOOK_SECONDS)
        scheduler.add_job(guarded("trigger", self._trigger.look), "interval", seconds=LOOK_SECONDS)
        scheduler.add_job(guarded("deliver", self._dispatcher.deliver), "interval", seconds=DELIVER_SECONDS)
        scheduler.add_job(guarded("reports", self._reports.step), "interval", seconds=REPORT_SECONDS)
        return scheduler

    def _round(self) -> None:
        self._watch.close_due(self.steps.stop)
        self._watch.look_again()

    def _end(self, scheduler: BackgroundScheduler) -> None:
        self.steps.stop.set()
        if scheduler.running:
            scheduler.shutdown(wait=False)
        self._runs.stop()
        self._reports.stop()
        self.steps.give_up()
        log.info("monitor_stopped")


class _Server(uvicorn.Server):
    """Uvicorn that leaves signals to the composition root, so that what must be ended is ended before the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def end(self, _number: int, _frame: FrameType | None) -> None:
        self.should_exit = True


def listen(config: Config) -> socket.socket:
    """The listening socket of the monitor. Raises ConfigInvalid when the address cannot be had."""
    host, port = config.monitoring.host, config.monitoring.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigInvalid(
            f"the monitor cannot listen on {host} port {port}: {error.strerror}; stop what uses it or set another "
            "port under [monitoring] in evenkeel.toml"
        ) from error
    return listener


def quiet_libraries() -> None:
    """Keep libraries' chatter about skipped turns out of the log: a step that is still busy is no news."""
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def main(project: Project) -> int:
    """Run the monitor of `project`; returns the exit code."""
    quiet_libraries()
    try:
        Monitor(project).run()
    except ConfigInvalid as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0
