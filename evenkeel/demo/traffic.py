"""The demo's callers: a thread that sends one row per request at a steady pace, and each row's label a little later."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from evenkeel.client import Counts, ServiceClient
from evenkeel.demo.world import Pair
from lifecycle.errors import EvenkeelError

ROWS_PER_SECOND = 15.0
LABEL_DELAY_SECONDS = 2.0


@dataclass(frozen=True)
class Tally:
    """Rows answered in a phase, by the version that answered, and how many were right."""

    rows: dict[int, int]
    right: dict[int, int]

    def accuracy(self, version: int | None = None) -> float | None:
        """The share of right answers, of `version` or of all; None without rows."""
        chosen = list(self.rows) if version is None else [version]
        rows = sum(self.rows.get(number, 0) for number in chosen)
        return sum(self.right.get(number, 0) for number in chosen) / rows if rows else None


class Traffic:
    """Sends what `switch` last named. `problem` is the error that ended the thread, if one did."""

    def __init__(self, url: str) -> None:
        self._stop = threading.Event()
        self._client = ServiceClient(url, self._stop)
        self._pairs: Iterator[Pair] = iter(())
        self._phase = ""
        self._tallies: dict[str, Tally] = {}
        self._waiting: deque[tuple[float, str, int]] = deque()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self.problem: EvenkeelError | None = None
        self.done = threading.Event()

    @property
    def counts(self) -> Counts:
        return self._client.counts

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._client.close()

    def switch(self, phase: str, pairs: Iterator[Pair]) -> None:
        """From the next request on, send `pairs` and count them under `phase`; `done` is set when they run out."""
        with self._lock:
            self._phase, self._pairs = phase, pairs
            self._tallies[phase] = Tally({}, {})
            self.done.clear()

    def tally(self, phase: str) -> Tally:
        with self._lock:
            tally = self._tallies[phase]
            return Tally(dict(tally.rows), dict(tally.right))

    def _run(self) -> None:
        due = time.monotonic()
        try:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due = max(due + 1 / ROWS_PER_SECOND, time.monotonic() - 1)
                self._send_one()
                self._send_labels()
        except EvenkeelError as error:
            if not self._stop.is_set():
                self.problem = error

    def _send_one(self) -> None:
        with self._lock:
            phase, pair = self._phase, next(self._pairs, None)
        if pair is None:
            self.done.set()
            return
        row, label = pair
        answer = self._client.predict([row])
        prediction, version = answer["predictions"][0], answer["version"]
        with self._lock:
            tally = self._tallies[phase]
            tally.rows[version] = tally.rows.get(version, 0) + 1
            tally.right[version] = tally.right.get(version, 0) + (prediction["prediction"] == label)
        self._waiting.append((time.monotonic() + LABEL_DELAY_SECONDS, prediction["id"], label))

    def _send_labels(self) -> None:
        """Deliver the labels that are due, several at a time so that they cost few requests."""
        ready = sum(due <= time.monotonic() for due, _, _ in self._waiting)
        if ready >= ROWS_PER_SECOND or (ready and self.done.is_set()):
            taken = [self._waiting.popleft() for _ in range(ready)]
            self._client.feedback([{"id": identifier, "label": label} for _, identifier, label in taken])
