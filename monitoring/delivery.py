"""From the outbox to people: each due delivery is tried, with growing pauses, until its target has taken it.

Nothing of a target's address, which may hold secrets, reaches a log line, the ledger or a page.
"""

import logging
from collections.abc import Sequence
from typing import Any

import structlog

from lifecycle.clock import MICROSECONDS
from lifecycle.config import AlertsSection
from lifecycle.errors import EvenkeelError
from lifecycle.ports import AlertLedger, AlertSink, Clock
from lifecycle.records import Delivery

LONGEST_PAUSE_SECONDS = 600
log = structlog.get_logger(__name__)


class DeliveryFailed(EvenkeelError):
    """A target has not taken the message; the text holds no secret. It is tried again later."""


class AppriseSink:
    """Delivers through Apprise: `mailto://`, `slack://`, `json://host/path` and its many other services."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds

    def send(self, target: str, title: str, body: str, key: str) -> None:
        """Returns once the service has accepted the message. Raises DeliveryFailed."""
        import apprise

        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # its lines name addresses
        service: Any = apprise.Apprise.instantiate(target, suppress_exceptions=True)
        if service is None:
            raise DeliveryFailed(
                "the target is not an address that Apprise understands; correct it under [alerts] targets"
            )
        service.socket_connect_timeout = self._timeout
        service.socket_read_timeout = self._timeout
        text = f"{body}\n\nKey: {key}"
        try:
            taken = service.notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT)
        except Exception as error:  # noqa: BLE001 - a service's own errors may hold its address: only their type is kept
            raise DeliveryFailed(f"the target's service failed ({type(error).__name__})") from None
        if not taken:
            raise DeliveryFailed(f"the {service.service_name or 'alert'} target did not accept the message")


class Dispatcher:
    """Tries what is due; a delivery that has used up its attempts stays in the outbox as a dead letter."""

    def __init__(self, ledger: AlertLedger, sink: AlertSink, clock: Clock, settings: AlertsSection) -> None:
        self._ledger = ledger
        self._sink = sink
        self._clock = clock
        self._targets: Sequence[str] = settings.targets
        self._attempts = settings.attempts

    def deliver(self) -> int:
        """Try every due delivery once; returns how many were taken."""
        due = self._ledger.due(self._clock.now(), self._attempts)
        return sum(self._try(delivery) for delivery in due)

    def _try(self, delivery: Delivery) -> bool:
        try:
            self._send(delivery)
        except DeliveryFailed as error:
            pause = min(2**delivery.attempts, LONGEST_PAUSE_SECONDS)
            again = self._clock.now() + pause * MICROSECONDS
            self._ledger.settle(delivery.key, delivered=False, next_attempt_at=again, error=str(error))
            log.warning("alert_not_delivered", key=delivery.key, attempt=delivery.attempts + 1, error=str(error))
            return False
        self._ledger.settle(delivery.key, delivered=True, next_attempt_at=0, error=None)
        log.info("alert_delivered", key=delivery.key)
        return True

    def _send(self, delivery: Delivery) -> None:
        if delivery.target >= len(self._targets):
            raise DeliveryFailed("the target is no longer listed under [alerts] targets")
        self._sink.send(self._targets[delivery.target], delivery.title, delivery.body, delivery.key)
