"""The monitor's recurring steps: each guarded, so that one that fails is reported and tried again, and hides no other.

Only the monitor that holds the lease acts; a second one on the same project waits for it to lapse.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from lifecycle.errors import EvenkeelError
from lifecycle.ports import Clock, LeaseLedger

LEASE = "monitor"
LEASE_SECONDS = 5.0
log = structlog.get_logger(__name__)


@dataclass
class Health:
    """When each step last went well, and the sentence of the failure since (absent when there is none)."""

    succeeded_at: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


class Steps:
    """Runs steps while this monitor leads."""

    def __init__(self, ledger: LeaseLedger, clock: Clock, holder: str) -> None:
        self._ledger = ledger
        self._clock = clock
        self._holder = holder
        self._leads_until = 0
        self.health = Health()
        self.stop = threading.Event()

    @property
    def leads(self) -> bool:
        return self._clock.now() < self._leads_until

    def renew(self) -> None:
        """Take or keep the lead."""
        led, now = self.leads, self._clock.now()
        lease = self._ledger.acquire(LEASE, self._holder, now, LEASE_SECONDS)
        self._leads_until = lease.expires_at if lease else 0
        if led != (lease is not None):
            log.info("monitor_leads" if lease else "monitor_waits")

    def give_up(self) -> None:
        """Let another monitor lead at once."""
        self._leads_until = 0
        self._ledger.release(LEASE, self._holder)

    def _is_news(self, name: str, sentence: str) -> bool:
        """Keeps the failure; False when the step failed the same way the last time, which is logged already."""
        known = self.health.failures.get(name)
        self.health.failures[name] = sentence
        return known != sentence

    def guarded(self, name: str, step: Callable[[], object], *, leading: bool = True) -> Callable[[], None]:
        """`step` as a job that never raises: what goes wrong is logged, kept in `health`, and tried again."""

        def run() -> None:
            if self.stop.is_set() or (leading and not self.leads):
                return
            try:
                step()
            except EvenkeelError as error:
                if self._is_news(name, str(error)):
                    log.warning("monitor_step_failed", step=name, error=str(error))
            except Exception as error:  # a step is tried again at its next turn; the console and readiness show it
                if self._is_news(name, f"{type(error).__name__} in step {name}; the monitor's log has the trace"):
                    log.exception("monitor_step_failed", step=name)
            else:
                self.health.failures.pop(name, None)
                self.health.succeeded_at[name] = self._clock.now()

        return run
