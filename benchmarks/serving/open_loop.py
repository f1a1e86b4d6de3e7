"""Open-loop load: requests leave at moments set beforehand, and latency counts from the moment set, not the one achieved.

One thread over select(2), because timers of event loops are a millisecond coarse, which is what is to be measured.
"""

import random
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import httptools

from benchmarks.serving.samples import Latency, latency, percentile

CONNECTIONS = 64
MOST_PER_SECOND = 6_000.0
"""What this client sends without being late itself; beyond, it would measure itself."""
DRAIN_SECONDS = 5.0
CHUNK = 1 << 18


@dataclass(frozen=True)
class Opened:
    """What one run measured. `late_p99_ms` is how long after its moment a request was sent, waits for a connection apart."""

    rate: float
    requests: int
    latency: Latency
    late_p99_ms: float
    errors: int


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Moments of a Poisson process of `rate` a second, in seconds from the start, below `seconds`; at least one."""
    chance = random.Random(seed)
    moments = [chance.expovariate(rate)]
    while moments[-1] < seconds:
        moments.append(moments[-1] + chance.expovariate(rate))
    return moments[:-1] or [0.0]


def allowed_rate(peak: float) -> float:
    """Half the peak, or what the client can send when that is less."""
    return min(peak / 2, MOST_PER_SECOND)


def run(port: int, requests: Sequence[bytes], moments: Sequence[float], rate: float) -> Opened:
    """Send `requests` in turn to 127.0.0.1:`port`, one at each of `moments`."""
    return _Client(port, requests, moments, rate).run()


def http_request(path: str, body: bytes, content_type: str, accept: str | None) -> bytes:
    """One request as it goes over the wire."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {content_type}"]
    lines += [f"Accept: {accept}"] if accept else []
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class _Connection:
    """One kept-alive connection with at most one request under way, due at `due`."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.complete = False
        self._parser = httptools.HttpResponseParser(self)

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        self.complete = False
        self._parser = httptools.HttpResponseParser(self)
        self.socket.sendall(request)

    def receive(self) -> int | None:
        """The status once the answer is complete, None before. Raises ConnectionError when it was closed."""
        received = self.socket.recv(CHUNK)
        if not received:
            raise ConnectionResetError("the server closed the connection")
        self._parser.feed_data(received)
        return self._parser.get_status_code() if self.complete else None

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self.complete = True


class _Client:
    def __init__(self, port: int, requests: Sequence[bytes], moments: Sequence[float], rate: float) -> None:
        self._port = port
        self._requests = requests
        self._rate = rate
        self._coming = deque(moments)
        self._waiting: deque[float] = deque()
        self._idle = deque(_Connection(port) for _ in range(CONNECTIONS))
        self._busy: dict[socket.socket, _Connection] = {}
        self._sent = 0
        self._late: list[float] = []
        self._latencies: list[float] = []
        self._errors = 0

    def run(self) -> Opened:
        began = time.perf_counter()
        end = (self._coming[-1] if self._coming else 0.0) + DRAIN_SECONDS
        while self._coming or self._waiting or self._busy:
            now = time.perf_counter() - began
            if now > end:
                break
            self._send_due(now)
            pause = self._coming[0] - (time.perf_counter() - began) if self._coming else end - now
            readable, _, _ = select.select(list(self._busy), [], [], max(0.0, pause))
            for ready in readable:
                self._receive(self._busy[ready], began)
        self._errors += len(self._waiting) + len(self._busy)  # never answered
        for connection in (*self._idle, *self._busy.values()):
            connection.socket.close()
        measured = latency(self._latencies) if self._latencies else Latency(0, 0, 0, 0, 0)
        late = percentile(sorted(self._late), 0.99) * 1e3 if self._late else 0.0
        return Opened(self._rate, len(self._latencies), measured, late, self._errors)

    def _send_due(self, now: float) -> None:
        while self._coming and self._coming[0] <= now:
            moment = self._coming.popleft()
            self._late.append(now - moment)
            self._waiting.append(moment)
        while self._waiting and self._idle:
            connection = self._idle.popleft()  # round all of them, so that every worker gets its share
            connection.send(self._requests[self._sent % len(self._requests)], self._waiting.popleft())
            self._busy[connection.socket] = connection
            self._sent += 1

    def _receive(self, connection: _Connection, began: float) -> None:
        try:
            status = connection.receive()
        except OSError:
            del self._busy[connection.socket]
            connection.socket.close()
            self._errors += 1
            self._idle.append(_Connection(self._port))
            return
        if status is None:
            return
        self._latencies.append(time.perf_counter() - began - connection.due)
        self._errors += not 200 <= status < 300
        del self._busy[connection.socket]
        self._idle.append(connection)
