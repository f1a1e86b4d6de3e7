"""A client of the service that waits out a restart: sends predictions and feedback, and counts what came of them."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from lifecycle.errors import EvenkeelError, InputRejected, ModelUnavailable

PATIENCE_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0


class ServiceUnreachable(EvenkeelError):
    """The service did not answer within the client's patience."""


@dataclass
class Counts:
    """`failed` are attempts that got no 2xx; those that a retry then answered are in `sent` too."""

    sent: int = 0
    failed: int = 0


class ServiceClient:
    """Speaks the native protocol to one service. Retries what a restart can cause, for `patience_seconds`."""

    def __init__(
        self,
        url: str,
        stop: threading.Event | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        key: str | None = None,
    ) -> None:
        self.counts = Counts()
        self._stop = stop or threading.Event()
        self._patience_seconds = patience_seconds
        headers = {"X-API-Key": key} if key else None
        self._http = httpx.Client(base_url=url, timeout=30, transport=transport, headers=headers)

    def close(self) -> None:
        self._http.close()

    def ready(self) -> bool:
        """Whether the service would answer now."""
        try:
            return self._http.get("/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def model(self) -> dict[str, Any]:
        """`GET /model`. Raises ModelUnavailable when none is live by the end, ServiceUnreachable without an answer."""
        answer: dict[str, Any] = self._send("GET", "/model").json()
        return answer

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """`POST /predict`. Raises InputRejected when the rows break the contract, ServiceUnreachable at the end."""
        answer: dict[str, Any] = self._send("POST", "/predict", {"rows": list(rows)}).json()
        return answer

    def feedback(self, labels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """`POST /feedback`."""
        answer: dict[str, Any] = self._send("POST", "/feedback", {"labels": list(labels)}).json()
        return answer

    def _send(self, method: str, path: str, content: object = None) -> httpx.Response:
        deadline = time.monotonic() + self._patience_seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            found = self._attempt(method, path, content)
            if isinstance(found, httpx.Response):
                self.counts.sent += 1
                return found
            self.counts.failed += 1
            if time.monotonic() > deadline or self._stop.wait(pause):
                raise found
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _attempt(self, method: str, path: str, content: object) -> httpx.Response | EvenkeelError:
        """The answer, or the error to raise if there is no time for another attempt."""
        try:
            response = self._http.request(method, path, json=content)
        except httpx.TransportError as error:
            return self._unanswered(method, path, type(error).__name__)
        if response.is_success:
            return response
        message = _message(response)
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE and path == "/model":
            return ModelUnavailable(message)  # a service that has just started loads its model a moment later
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return self._unanswered(method, path, message)
        if response.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
            raise InputRejected(f"{path} answered {response.status_code}: {message}")
        return self._unanswered(method, path, f"status {response.status_code}")

    def _unanswered(self, method: str, path: str, problem: str) -> ServiceUnreachable:
        return ServiceUnreachable(
            f"{method} {path} at {self._http.base_url} was not answered ({problem}); start it with `evenkeel up`, or "
            "name another address with --url"
        )


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
