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
    """Speaks the native protocol to one service. Retries what a restart can cause, for `PATIENCE_SECONDS`."""

    def __init__(self, url: str, stop: threading.Event | None = None) -> None:
        self.counts = Counts()
        self._stop = stop or threading.Event()
        self._http = httpx.Client(base_url=url, timeout=30)

    def close(self) -> None:
        self._http.close()

    def ready(self) -> bool:
        """Whether the service would answer now."""
        try:
            return self._http.get("/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def model(self) -> dict[str, Any]:
        """`GET /model`. Raises ModelUnavailable or ServiceUnreachable."""
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
        deadline = time.monotonic() + PATIENCE_SECONDS
        pause = FIRST_PAUSE_SECONDS
        while True:
            problem, response = self._attempt(method, path, content)
            if response is not None:
                self.counts.sent += 1
                return response
            self.counts.failed += 1
            if time.monotonic() > deadline or self._stop.wait(pause):
                raise ServiceUnreachable(
                    f"{method} {path} at {self._http.base_url} was not answered ({problem}); start it with "
                    "`evenkeel up`, or name another address with --url"
                )
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _attempt(self, method: str, path: str, content: object) -> tuple[str, httpx.Response | None]:
        try:
            response = self._http.request(method, path, json=content)
        except httpx.TransportError as error:
            return type(error).__name__, None
        if response.is_success:
            return "", response
        message = _message(response)
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE and content is None:
            raise ModelUnavailable(message)
        if response.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
            raise InputRejected(f"{path} answered {response.status_code}: {message}")
        return f"status {response.status_code}", None


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
