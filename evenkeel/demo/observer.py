"""What the demo sees of the product: the monitor's and the service's public HTTP interfaces, nothing else."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from lifecycle.errors import EvenkeelError

LOOK_SECONDS = 0.25
Found = TypeVar("Found")


class NotObserved(EvenkeelError):
    """A step of the loop did not happen in its time."""


class Observer:
    """Asks the two addresses; an interface that does not answer (while it restarts, say) is asked again."""

    def __init__(
        self,
        service: str,
        monitor: str,
        broken: Callable[[], EvenkeelError | None],
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._service = service
        self._monitor = monitor
        self._broken = broken
        self._http = httpx.Client(timeout=10, transport=transport)

    def close(self) -> None:
        self._http.close()

    def ready(self) -> bool | None:
        """True once both would answer."""
        answers = (self._get(f"{address}/readyz") for address in (self._service, self._monitor))
        return all(answer is not None for answer in answers) or None

    def verdicts(self) -> list[dict[str, Any]]:
        return self._list("verdicts")

    def runs(self) -> list[dict[str, Any]]:
        return self._list("runs")

    def status(self) -> dict[str, Any] | None:
        """Champion, workers and more; None while the monitor does not answer."""
        answer = self._get(f"{self._monitor}/api/status")
        return dict(answer.json()) if answer else None

    def wait(self, what: str, look: Callable[[], Found | None], seconds: float) -> Found:
        """What `look` finds, once it finds something. Raises NotObserved after `seconds`, or what broke the demo."""
        deadline = time.monotonic() + seconds
        while (found := look()) is None:
            if (broken := self._broken()) is not None:
                raise broken
            if time.monotonic() > deadline:
                raise NotObserved(
                    f"{what} was not seen within {seconds:.0f} s; the logs in the project's .evenkeel/logs say why"
                )
            time.sleep(LOOK_SECONDS)  # the pace of looking; the deadline bounds it
        return found

    def _list(self, name: str) -> list[dict[str, Any]]:
        answer = self._get(f"{self._monitor}/api/{name}")
        return list(answer.json()[name]) if answer else []

    def _get(self, url: str) -> httpx.Response | None:
        try:
            answer = self._http.get(url)
        except httpx.TransportError:
            return None
        return answer if answer.is_success else None
