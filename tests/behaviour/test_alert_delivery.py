"""An alert reaches people: over a real webhook and by real e-mail, with Apprise, from the outbox."""

import asyncio
import email
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from lifecycle.clock import ManualClock
from lifecycle.config import AlertsSection
from lifecycle.ledger.sql import SqlLedger
from monitoring.alerts import Alerts
from monitoring.delivery import AppriseSink, Dispatcher
from tests.unit.monitoring.making import config, kept, lost, verdict

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
"""Apprise imports it when it loads its services; nothing here depends on it."""

SECRET = "hunter2"


class Webhook(ThreadingHTTPServer):
    """Keeps every JSON body posted to it; the first `refusals` are answered with 500."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.bodies: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Receive)

    @property
    def url(self) -> str:
        return f"json://user:{SECRET}@127.0.0.1:{self.server_port}/hook"


class _Receive(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Webhook)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.refusals:
            self.server.refusals -= 1
            self.send_response(500)
        else:
            self.server.bodies.append(json.loads(body))
            self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        return


class Inbox:
    """An SMTP handler that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.messages.append(email.message_from_bytes(envelope.content, policy=default))
        return "250 taken"


class MailServer(Controller):
    """A controller that finds out which port the kernel chose before it knocks on its own door."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def webhook(refusals: int = 0) -> Iterator[Webhook]:
    with Webhook(refusals) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def mail_server(inbox: Inbox) -> Iterator[int]:
    controller = MailServer(inbox, hostname="127.0.0.1", port=0)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def told(ledger: SqlLedger, clock: ManualClock, *targets: str) -> Dispatcher:
    """A world that has lost quality, its alert opened, and the dispatcher that is to tell."""
    ledger.save(verdict(0, "performance", performance=lost(), reasons=("the loss is <b>2</b>",)))
    Alerts(ledger, clock, config().monitoring, len(targets), "houses", Path("/srv/houses")).look()
    return Dispatcher(ledger, AppriseSink(5), clock, AlertsSection(targets=targets))


def test_a_webhook_is_told_of_the_opening_and_of_the_resolution(ledger: SqlLedger, clock: ManualClock) -> None:
    with webhook() as server:
        dispatcher = told(ledger, clock, server.url)
        assert dispatcher.deliver() == 1
        ledger.save(verdict(1, "ok", performance=kept()))
        Alerts(ledger, clock, config().monitoring, 1, "houses", Path("/srv/houses")).look()
        assert dispatcher.deliver() == 1
        assert dispatcher.deliver() == 0
    opened, resolved = server.bodies
    assert opened["title"] == "[houses] the model has lost quality"
    assert "the loss is <b>2</b>" in opened["message"]
    assert "Key: " in opened["message"]
    assert resolved["title"] == "Resolved: [houses] the model has lost quality"


def test_an_e_mail_arrives(ledger: SqlLedger, clock: ManualClock) -> None:
    inbox = Inbox()
    with mail_server(inbox) as port:
        url = f"mailto://127.0.0.1:{port}/?from=evenkeel@example.org&to=team@example.org&mode=insecure"
        assert told(ledger, clock, url).deliver() == 1
    (message,) = inbox.messages
    assert message["Subject"] == "[houses] the model has lost quality"
    assert message["To"] == "team@example.org"
    assert "evenkeel status --project /srv/houses" in message.as_string()


def test_a_webhook_that_fails_is_tried_again_and_told_once(tmp_path: Path, clock: ManualClock) -> None:
    ledger = SqlLedger("sqlite:///ledger.db", tmp_path)
    with webhook(refusals=2) as server:
        dispatcher = told(ledger, clock, server.url)
        taken = 0
        for _ in range(6):
            taken += dispatcher.deliver()
            clock.advance(5)
    ledger.close()
    assert taken == 1
    assert len(server.bodies) == 1
    assert SECRET.encode() not in (tmp_path / "ledger.db").read_bytes()


def test_a_target_that_is_away_is_a_failure_and_no_secret_is_told(
    ledger: SqlLedger, clock: ManualClock, capfd: pytest.CaptureFixture[str]
) -> None:
    with webhook() as server:
        url = server.url
    assert told(ledger, clock, url).deliver() == 0
    assert ledger.outbox_counts(8) == (1, 0)
    output = capfd.readouterr()
    assert SECRET not in output.out + output.err
