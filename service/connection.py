"""One client's connection: uvicorn's HTTP protocol with deadlines, size limits, and one shape for what it refuses.

A request's headers must be complete within `header_seconds` of its first byte (on a new connection: of its opening), its
body within `body_seconds` of the same moment; both are totals, so that sending one byte at a time helps nobody and a large
body on a slow link needs a larger `body_seconds`. No text of the client's goes into a log line.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from operator import itemgetter
from types import coroutine
from typing import Any, ClassVar, Protocol
from weakref import WeakSet

import httptools
import orjson
import structlog
import uvicorn.config
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from lifecycle.ids import uuid7
from service.exchange import Answer

LINGER_SECONDS = 0.5
"""How long a refused client may go on sending, for nothing, before the connection is closed."""
_NAME = itemgetter(0)
_VERSIONS = frozenset({"1.0", "1.1"})
log = structlog.get_logger(__name__)


def _count_nothing(_code: str) -> None:
    """Nobody counts."""


@dataclass(frozen=True)
class ConnectionLimits:
    """How long and how large the receipt of one request may be; `count` is told the code of each refusal."""

    header_seconds: float = 5
    body_seconds: float = 8
    header_bytes: int = 16 * 2**10
    headers: int = 100
    count: Callable[[str], None] = _count_nothing

    @property
    def sweep_seconds(self) -> float:
        """How often connections are looked at, and so how late a deadline may be."""
        return min(0.5, self.header_seconds / 4, self.body_seconds / 4)


def install(limits: ConnectionLimits) -> None:
    """Make uvicorn speak HTTP through `Connection`, and never load a WebSocket library."""
    Connection.limits = limits
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{Connection.__name__}"
    uvicorn.config.WS_PROTOCOLS["auto"] = None


class Refusal(Exception):
    """Why a request is not taken."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Answering(Protocol):
    """An application that can be asked without ASGI's receive and send."""

    def answers(self, scope: Any) -> bool:
        """Whether it can be asked so about this request."""

    def answer(self, scope: Any, body: bytes) -> Coroutine[Any, Any, Answer]:
        """The answer to a request whose body has been received; never raises."""


class Connection(HttpToolsProtocol):
    """Notes when a request began; one timer for all connections of a server looks for those that are late.

    A request that arrives whole, as nearly all do, is answered while it is being read: no task, no events, one write.
    That is half of what a request costs uvicorn. Only where the application has to wait does a task go on with it.
    """

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()
    _swept: ClassVar[WeakSet[ServerState]] = WeakSet()

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.access_log = False  # its lines would hold the client's path
        if isinstance(self.app, ProxyHeadersMiddleware):
            self.app = self.app.app  # nobody asks for the client's address
        self._direct: Answering | None = self.app if hasattr(self.app, "answer") else None
        self._begun: tuple[RequestResponseCycle, Any] | None = None  # a request whose body may come with its headers
        self._in_head = False
        self._began = 0.0  # when the request that is being received began; 0 while none is
        self._in_body = False
        self._received = 0  # bytes of the latest read
        self._unused = 0  # bytes since the request began, since its headers or since the latest piece of its body
        self._deaf = False  # whether what the client sends is passed over from now on
        self._refused_at = 0.0
        self._unsent = (0, 0.0)  # bytes that the client has not taken, and since when it has taken none of them

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(transport)
        self._began = self.loop.time()
        if self.server_state not in self._swept:
            self._swept.add(self.server_state)
            _Sweep(self.loop, self.server_state, self.limits.sweep_seconds, self._swept).start()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        if not self._began:
            self._began = self.loop.time()
            self._unused = 0
        self._received = len(data)
        self._unused += self._received
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # the request is being answered as any other; what follows it is another protocol
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Refusal) else _malformed("it is not a valid HTTP/1.1 message"))
        if self._begun:
            begun, self._begun = self._begun, None
            super()._start_asgi_task(*begun)  # the rest of its body will come later
        if self._unused > self.limits.header_bytes:
            self._refuse(_malformed("its chunks or trailers are too long") if self._in_body else self._too_large())

    def on_headers_complete(self) -> None:
        if not self._began:
            self._began = self.loop.time()
        limits, headers = self.limits, self.headers
        if self._received > limits.header_bytes or self._unused > limits.header_bytes or len(headers) > limits.headers:
            self._check_size()
        names = list(map(_NAME, headers))
        upgrade = self.parser.should_upgrade()
        if upgrade or names.count(b"host") != 1 or b"transfer-encoding" in names:
            self._check_unusual(names)
        self._in_head = True
        super().on_headers_complete()
        self._in_head = False
        self.headers = []  # trailers of a chunked body end here, not among the headers that the application sees
        self._in_body = True
        self._unused = 0
        if upgrade:
            self.cycle.keep_alive = False
        if self.scope["http_version"] not in _VERSIONS:
            raise _malformed("it must be of HTTP/1.1")

    def on_body(self, body: bytes) -> None:
        self._unused = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._began = 0.0
        self._in_body = False
        super().on_message_complete()
        if self._begun:
            (cycle, app), self._begun = self._begun, None
            if self._direct and self._direct.answers(cycle.scope) and not self.flow.write_paused:
                self._answer(cycle, self._direct.answer(cycle.scope, bytes(cycle.body)))
            else:
                super()._start_asgi_task(cycle, app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._in_head:
            self._begun = (cycle, app)
        else:
            super()._start_asgi_task(cycle, app)

    def _answer(self, cycle: RequestResponseCycle, work: Coroutine[Any, Any, Answer]) -> None:
        try:
            waited = work.send(None)
        except StopIteration as done:
            self._write(cycle, done.value)
        else:
            task = self.loop.create_task(self._answer_later(cycle, work, waited))
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)

    async def _answer_later(self, cycle: RequestResponseCycle, work: Coroutine[Any, Any, Answer], waited: Any) -> None:
        self._write(cycle, await _resumed(work, waited))

    def _write(self, cycle: RequestResponseCycle, answer: Answer) -> None:
        cycle.response_started = cycle.response_complete = True
        if cycle.disconnected:
            return
        status, head, body = answer
        pieces = [b"%b: %b\r\n" % pair for pair in cycle.default_headers]
        end = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
        self.transport.write(b"".join([STATUS_LINE[status], *pieces, head, end, body]))
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _should_upgrade(self) -> bool:
        return False

    def _check_size(self) -> None:
        lengths = sum(map(len, chain.from_iterable(self.headers)), len(self.url)) + 4 * len(self.headers)
        if lengths > self.limits.header_bytes or len(self.headers) > self.limits.headers:
            raise self._too_large()

    def _check_unusual(self, names: list[bytes]) -> None:
        version = self.parser.get_http_version()
        if names.count(b"host") > 1 or (version != "1.0" and b"host" not in names):
            raise _malformed("it must have one Host header")
        if b"transfer-encoding" in names:
            _check_transfer_encoding(dict(self.headers), names, version)
        if self._get_upgrade() == b"websocket":
            raise Refusal(
                400, "upgrade_refused", "this service speaks HTTP, not WebSocket; GET /docs.json lists its routes"
            )

    def _too_large(self) -> Refusal:
        most = f"{self.limits.header_bytes} bytes or {self.limits.headers} headers"
        return Refusal(431, "headers_too_large", f"the request's head has more than {most}; send fewer")

    def look(self, now: float) -> None:
        """End the connection if its client is late."""
        if self._takes_nothing(now):
            self.transport.abort()
        elif self.transport.is_closing():
            return
        elif self._refused_at:
            if now - self._refused_at > LINGER_SECONDS:
                self.transport.close()
        elif not self._began:
            return
        elif self.flow.read_paused or (not self._in_body and self._answering()):
            self._began = now  # it is not the client who keeps us waiting
        elif self._in_body and now - self._began > self.limits.body_seconds:
            self._refuse(_late("the request", self.limits.body_seconds))
        elif not self._in_body and now - self._began > self.limits.header_seconds:
            self._refuse(_late("the request's headers", self.limits.header_seconds))

    def _takes_nothing(self, now: float) -> bool:
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent[0]:
            self._unsent = (unsent, now)
        return unsent > 0 and now - self._unsent[1] > self.limits.body_seconds

    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request, whatever uvicorn declares
        return cycle is not None and not cycle.response_complete

    def _refuse(self, refusal: Refusal) -> None:
        """Answer where an answer can still be told from those of other requests, and close."""
        if self._deaf or self.transport.is_closing():
            return
        self._deaf = True
        self.limits.count(refusal.code)
        log.info("connection_refused", code=refusal.code, status=refusal.status)
        if not self._in_body and self._answering():
            self.cycle.keep_alive = False  # an earlier request is being answered; the connection ends with that
            return
        unanswered = not self._in_body or not (self.cycle.response_started or self.pipeline)
        if self._answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if unanswered and self._received:
            self.transport.write(_response(refusal, self.server_state.default_headers))
            self._end_politely()
        else:
            self.transport.close()

    def _end_politely(self) -> None:
        """Say that nothing more will come, and close a little later.

        Closing while the client is still sending would reset the connection and take the answer away from it.
        """
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._refused_at = self.loop.time()
        else:
            self.transport.close()


@coroutine
def _resumed(work: Coroutine[Any, Any, Answer], waited: Any) -> Generator[Any, Any, Answer]:
    """Goes on, within a task, with what was begun outside of one and waits for `waited`."""
    while True:
        try:
            value = yield waited
        except BaseException as error:  # noqa: BLE001  # such as the task's cancellation: it is the work's to handle
            step: Callable[[], Any] = partial(work.throw, error)
        else:
            step = partial(work.send, value)
        try:
            waited = step()
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # what a coroutine returns arrives untyped


class _Sweep:
    """The timer of one server; it stops when no connection is left."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, state: ServerState, seconds: float, swept: WeakSet[ServerState]
    ) -> None:
        self._loop, self._state, self._seconds, self._swept = loop, state, seconds, swept
        self._expected = 0.0

    def start(self) -> None:
        self._expected = self._loop.time() + self._seconds
        self._loop.call_at(self._expected, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if now - self._expected > self._seconds:
            # This process stood still, and what clients sent meanwhile has not been read: nobody is late yet.
            self.start()
            return
        for connection in list(self._state.connections):
            if isinstance(connection, Connection):
                connection.look(now)
        if self._state.connections:
            self.start()
        else:
            self._swept.discard(self._state)


def _check_transfer_encoding(headers: dict[bytes, bytes], names: list[bytes], version: str) -> None:
    if b"content-length" in names:
        raise _malformed("it has both Content-Length and Transfer-Encoding")
    single = names.count(b"transfer-encoding") == 1
    if not single or headers[b"transfer-encoding"].lower() != b"chunked" or version != "1.1":
        raise _malformed("chunked is the only Transfer-Encoding, of HTTP/1.1")


def _malformed(problem: str) -> Refusal:
    return Refusal(400, "malformed_request", f"the request was not understood: {problem}")


def _late(what: str, seconds: float) -> Refusal:
    return Refusal(408, "request_timeout", f"{what} did not arrive within {seconds:g} seconds; send it at once")


def _response(refusal: Refusal, default_headers: list[tuple[bytes, bytes]]) -> bytes:
    request_id = uuid7()
    error = {"code": refusal.code, "message": str(refusal), "details": []}
    body = orjson.dumps({"error": error, "request_id": request_id})
    headers = [
        *((name, value) for name, value in default_headers if name != b"server"),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        (b"x-request-id", request_id.encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    return b"".join([STATUS_LINE[refusal.status], *(b"%b: %b\r\n" % pair for pair in headers), b"\r\n", body])
