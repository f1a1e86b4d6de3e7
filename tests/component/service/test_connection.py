"""A client's connection: who is slow or makes no sense is answered in one shape and gone; nobody else notices."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from contextvars import Context
from typing import Any, ClassVar, Self, TypeVarTuple

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from lifecycle.ids import is_uuid7
from service.connection import Connection, ConnectionLimits

HEADER_SECONDS, BODY_SECONDS = 0.3, 0.6
PATIENCE = 10.0
Ts = TypeVarTuple("Ts")
HOST = b"Host: here\r\n"
LARGE = 32 * 2**20


class Quick(Connection):
    """The product's connection with little patience; counts what it refuses."""

    refused: ClassVar[list[str]] = []  # also late words on a connection of the test before
    limits = ConnectionLimits(header_seconds=HEADER_SECONDS, body_seconds=BODY_SECONDS, count=refused.append)


class Application:
    """Says how long the body was; `/early` answers unread, `/large` answers much, `/held` once it is let go."""

    def __init__(self) -> None:
        self.seen: list[Scope] = []
        self.let_go = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        self.seen.append(scope)
        body = b""
        while scope["path"] != "/early":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        if scope["path"] == "/held":
            await self.let_go.wait()
        answer = bytes(LARGE) if scope["path"] == "/large" else json.dumps({"length": len(body)}).encode()
        length = (b"content-length", str(len(answer)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": answer})


class Direct(Application):
    """The same, asked without receive and send where the body is there."""

    def answers(self, scope: Scope) -> bool:
        return bool(scope["path"] != "/early")

    async def answer(self, scope: Scope, body: bytes) -> tuple[int, bytes, bytes]:
        self.seen.append(scope)
        if scope["path"] == "/held":
            await self.let_go.wait()
            await asyncio.wait_for(asyncio.sleep(0), PATIENCE)  # needs a task, which a held request has become
        answer = bytes(LARGE) if scope["path"] == "/large" else json.dumps({"length": len(body)}).encode()
        return 200, b"content-length: %d\r\n" % len(answer), answer


class Serving:
    """A uvicorn server in a thread, on a port that the kernel chose."""

    def __init__(self, protocol: type[HttpToolsProtocol], application: type[Application] = Application) -> None:
        self.application = application()
        config = uvicorn.Config(
            self.application, http=protocol, ws="none", lifespan="off", log_config=None, server_header=False
        )
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.server = uvicorn.Server(config)
        make_loop = config.get_loop_factory()
        assert make_loop is not None
        self._loop = make_loop()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self._loop.run_until_complete(self.server.serve([self._socket]))
        self._loop.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self.server.should_exit = True
        self.server.force_exit = True
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def let_go(self) -> None:
        self._loop.call_soon_threadsafe(self.application.let_go.set)

    def connect(self) -> "closing[socket.socket]":
        return closing(socket.create_connection(("127.0.0.1", self.port), PATIENCE))

    def connections(self) -> int:
        return len(self.server.server_state.connections)


@pytest.fixture(scope="module", params=[Application, Direct], ids=["asgi", "direct"])
def serving(request: pytest.FixtureRequest) -> Iterator[Serving]:
    with Serving(Quick, request.param) as made:
        yield made


@pytest.fixture(autouse=True)
def forget() -> None:
    Quick.refused.clear()


def post(path: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: here", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def until_closed(client: socket.socket) -> bytes:
    """Everything the server says until it closes; raises TimeoutError when it does not."""
    said = bytearray()
    while True:
        try:
            part = client.recv(2**20)
        except ConnectionResetError:
            return bytes(said)
        if not part:
            return bytes(said)
        said += part


def answer_of(client: socket.socket) -> dict[str, Any]:
    """The JSON of one answer with a length."""
    said = b""
    while b"\r\n\r\n" not in said or not said.endswith(b"}"):
        part = client.recv(65_536)
        assert part, f"the server closed after {said!r}"
        said += part
    answer: dict[str, Any] = json.loads(said.partition(b"\r\n\r\n")[2])
    return answer


def assert_refused(said: bytes, status: int, code: str) -> None:
    head, _, body = said.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert first.startswith(f"HTTP/1.1 {status} ")
    answer = json.loads(body)
    assert set(answer) == {"error", "request_id"}
    assert set(answer["error"]) == {"code", "message", "details"}
    assert (answer["error"]["code"], answer["error"]["details"]) == (code, [])
    assert is_uuid7(answer["request_id"])
    assert headers["x-request-id"] == answer["request_id"]
    assert (headers["content-type"], headers["connection"]) == ("application/json", "close")
    assert "server" not in headers
    assert "date" in headers


def ask(serving: Serving, request: bytes) -> bytes:
    with serving.connect() as client:
        client.sendall(request)
        return until_closed(client)


def drip(client: socket.socket, piece: bytes, seconds: float = PATIENCE) -> float:
    """Send `piece` over and over until the server closes; how many seconds that took."""
    client.settimeout(0.02)
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        try:
            client.sendall(piece)
            if not client.recv(65_536):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    else:
        raise TimeoutError(f"still connected after {seconds} s")
    return time.monotonic() - began


def test_a_request_is_answered_and_the_connection_serves_the_next(serving: Serving) -> None:
    with serving.connect() as client:
        for length in (0, 10, 300_000):
            client.sendall(post(b"/", bytes(length)))
            assert answer_of(client) == {"length": length}
    assert Quick.refused == []


def test_pipelined_requests_are_answered_in_their_order(serving: Serving) -> None:
    with serving.connect() as client:
        client.sendall(post(b"/", b"1") + post(b"/", b"22") + post(b"/", b"333", b"Connection: close"))
        said = until_closed(client)
    assert [said.index(b'{"length": %d}' % length) for length in (1, 2, 3)] == sorted(
        said.index(b'{"length": %d}' % length) for length in (1, 2, 3)
    )
    assert said.count(b"HTTP/1.1 200 OK") == 3


def test_a_chunked_body_is_taken_and_its_trailers_stay_out_of_the_headers(serving: Serving) -> None:
    request = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n" + HOST + b"\r\n"
    said = ask(serving, request + b"3;why=not\r\nabc\r\n1\r\nd\r\n0\r\nContent-Type: text/evil\r\n\r\n")
    assert said.endswith(b'{"length": 4}')
    assert [name for name, _ in serving.application.seen[-1]["headers"]] == [
        b"transfer-encoding",
        b"connection",
        b"host",
    ]


def test_the_old_version_of_http_is_spoken_too(serving: Serving) -> None:
    assert ask(serving, b"GET / HTTP/1.0\r\n\r\n").endswith(b'{"length": 0}')


def test_a_client_that_expects_to_be_told_to_continue_is_told(serving: Serving) -> None:
    with serving.connect() as client:
        head, _, body = post(b"/", b"abc", b"Expect: 100-continue", b"Connection: close").rpartition(b"\r\n\r\n")
        client.sendall(head + b"\r\n\r\n")
        assert client.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert until_closed(client).endswith(b'{"length": 3}')


def test_a_client_that_never_sends_a_byte_is_closed_without_a_word(serving: Serving) -> None:
    assert ask(serving, b"") == b""
    assert "request_timeout" in Quick.refused


@pytest.mark.parametrize(
    "start", [b"G", b"POST / HTTP/1.1\r\n" + HOST, post(b"/", b"")[:-1]], ids=["1", "lines", "all"]
)
def test_headers_that_do_not_end_are_answered_with_408(serving: Serving, start: bytes) -> None:
    assert_refused(ask(serving, start), 408, "request_timeout")


@pytest.mark.parametrize(
    "start", [b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\n12345", post(b"/held", b"1" * 200_000)[:-1]]
)
def test_a_body_that_does_not_end_is_answered_with_408(serving: Serving, start: bytes) -> None:
    began = time.monotonic()
    assert_refused(ask(serving, start), 408, "request_timeout")
    assert time.monotonic() - began >= BODY_SECONDS
    assert "request_timeout" in Quick.refused


DRIPS = {
    "headers": (b"GET / HTTP/1.1\r\n" + HOST, b"X: y\r\n"),
    "one endless header": (b"GET / HTTP/1.1\r\n" + HOST + b"X: ", b"y"),
    "a body": (b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n" + HOST + b"\r\n", b"y"),
    "chunks": (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + b"\r\n", b"1\r\ny\r\n"),
    "a body that was answered already": (post(b"/early", bytes(100_000))[:-99_999], b"y"),
    "empty lines before a request": (b"", b"\r\n"),
    "empty lines after an answer": (post(b"/", b"1"), b"\r\n"),
    "a second request after an answer": (post(b"/", b"1") + b"GET / HTTP/1.1\r\n", b"X: y\r\n"),
}


def sends_every_slow_client_away(serving: Serving) -> bool:
    """The check: each of the drips ends soon after the longest deadline."""
    for start, piece in DRIPS.values():
        with serving.connect() as client:
            client.sendall(start)
            try:
                drip(client, piece, seconds=2 * (HEADER_SECONDS + BODY_SECONDS))
            except TimeoutError:
                return False
    return True


@pytest.mark.parametrize(("start", "piece"), DRIPS.values(), ids=DRIPS)
def test_sending_byte_by_byte_helps_nobody(serving: Serving, start: bytes, piece: bytes) -> None:
    with serving.connect() as client:
        client.sendall(start)
        assert drip(client, piece) <= BODY_SECONDS + 2 * Quick.limits.sweep_seconds + 1


def test_uvicorn_s_own_protocol_does_not_pass_the_check_of_slow_clients() -> None:
    with Serving(HttpToolsProtocol) as plain:
        assert not sends_every_slow_client_away(plain)


def test_slow_clients_hinder_nobody_else(serving: Serving) -> None:
    slow = [socket.create_connection(("127.0.0.1", serving.port), PATIENCE) for _ in range(20)]
    for number, client in enumerate(slow):
        client.sendall(b"POST / HTTP/1.1\r\n" if number % 2 else post(b"/", b"12")[:-1])
    with serving.connect() as client:
        for _ in range(50):
            client.sendall(post(b"/", b"1"))
            assert answer_of(client) == {"length": 1}
    for client in slow:
        assert_refused(until_closed(client), 408, "request_timeout")
        client.close()


def test_a_request_that_takes_long_to_answer_is_no_slow_client(serving: Serving) -> None:
    with serving.connect() as client:
        client.sendall(post(b"/held", b"1") + b"\r\nGET ")  # and a first piece of the next request
        client.settimeout(BODY_SECONDS + 4 * Quick.limits.sweep_seconds)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(PATIENCE)
        serving.let_go()
        assert answer_of(client) == {"length": 1}


def test_a_client_that_takes_nothing_of_its_answer_is_cut_off(serving: Serving) -> None:
    with serving.connect() as client:
        client.sendall(post(b"/large", b"1", b"Connection: close"))
        wait_for(lambda: serving.connections() > 0)
        wait_for(lambda: serving.connections() == 0)
        assert len(until_closed(client)) < LARGE


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.01)


def test_a_large_answer_is_given_to_a_client_that_takes_it(serving: Serving) -> None:
    assert len(ask(serving, post(b"/large", b"1", b"Connection: close"))) > LARGE


def test_half_a_request_and_then_the_end_leaves_nothing_behind(serving: Serving) -> None:
    for start in (b"POST / HT", post(b"/", b"12")[:-1]):
        with serving.connect() as client:
            client.sendall(start)
            client.shutdown(socket.SHUT_WR)
            assert until_closed(client) == b""
    wait_for(lambda: serving.connections() == 0)
    assert Quick.refused == []


HEAD = b"POST / HTTP/1.1\r\n" + HOST
UPGRADE = b"Connection: Upgrade\r\nUpgrade: "
MALFORMED = {
    "no HTTP": b"hello there\r\n\r\n",
    "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "version 2 in words": b"GET / HTTP/2.0\r\n" + HOST + b"\r\n",
    "version 0.9": b"GET / HTTP/0.9\r\n" + HOST + b"\r\n",
    "no version": b"GET /\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "both lengths": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, the other way round": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
    "a signed length": HEAD + b"Content-Length: +5\r\n\r\n12345",
    "another encoding": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "an unknown encoding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two encodings": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks in the old version": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": HEAD + b"Content-Length : 5\r\n\r\n12345",
    "a folded header": HEAD + b"X: a\r\n b\r\n\r\n",
    "a header without a name": HEAD + b": a\r\n\r\n",
    "a zero byte": HEAD + b"X: a\x00b\r\n\r\n",
    "a bad chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a path that is not ASCII": b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT elsewhere:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "endless trailers": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 200_000,
}


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_proper_request_is_answered_with_400_and_closed(serving: Serving, request_: bytes) -> None:
    assert_refused(ask(serving, request_), 400, "malformed_request")
    assert Quick.refused == ["malformed_request"]


@pytest.mark.parametrize(
    "request_",
    [
        HEAD + b"X: y\r\n" * 100 + b"\r\n",
        HEAD + b"X: " + b"y" * 17_000 + b"\r\n\r\n",
        HEAD + b"X: " + b"y" * 200_000,
        b"GET /" + b"y" * 17_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        HEAD + b"".join(b"X: %s\r\n" % (b"y" * 300) for _ in range(60)) + b"\r\n",
    ],
    ids=["many", "long", "endless", "a long path", "many long ones"],
)
def test_too_large_a_head_is_answered_with_431_and_closed(serving: Serving, request_: bytes) -> None:
    assert_refused(ask(serving, request_), 431, "headers_too_large")


def test_a_refused_client_that_is_still_sending_gets_its_answer(serving: Serving) -> None:
    for _ in range(10):
        assert_refused(ask(serving, HEAD + b"X: " + b"y" * 3_000_000), 431, "headers_too_large")
    with serving.connect() as client:
        client.sendall(b"nonsense\r\n\r\n")
        assert_refused(until_closed(client), 400, "malformed_request")
        wait_for(lambda: serving.connections() == 0)  # though the client keeps its side open


def test_a_head_up_to_the_limits_is_taken(serving: Serving) -> None:
    last = b"Connection: close\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000)
    assert ask(serving, HEAD + b"X: y\r\n" * 97 + last).endswith(b'{"length": 100000}')
    assert ask(serving, HEAD + b"X: " + b"y" * 16_200 + b"\r\n" + last).endswith(b'{"length": 100000}')


def test_what_makes_no_sense_after_a_request_waits_for_its_answer(serving: Serving) -> None:
    said = ask(serving, post(b"/", b"123") + b"nonsense\r\n\r\n")
    first, _, rest = said.partition(b'{"length": 3}')
    assert first.startswith(b"HTTP/1.1 200 OK")
    assert not rest or rest.startswith(b"HTTP/1.1 400 "), "said only where the first had its answer already"
    assert Quick.refused == ["malformed_request"]


def test_a_websocket_is_refused(serving: Serving) -> None:
    key = b"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    assert_refused(ask(serving, b"GET / HTTP/1.1\r\n" + HOST + UPGRADE + b"WebSocket" + key), 400, "upgrade_refused")


def test_an_offer_of_another_protocol_is_passed_over_and_the_request_answered(serving: Serving) -> None:
    offer = UPGRADE.removesuffix(b"Upgrade: ") + b"Upgrade: h2c"
    for request in (b"GET / HTTP/1.1\r\n" + HOST + offer + b"\r\n\r\n", post(b"/", b"123", offer)):
        assert ask(serving, request).startswith(b"HTTP/1.1 200 OK")


def test_nothing_a_client_sends_is_written_to_the_log(
    serving: Serving, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    ask(serving, b"GET /secret-path HTTP/1.1\r\nX: secret-header\r\nConnection: close\r\n" + HOST + b"\r\n")
    ask(serving, b"secret-nonsense\r\n\r\n")
    printed = capsys.readouterr().out
    assert "connection_refused" in printed
    assert "secret" not in caplog.text + printed


def test_once_installed_it_is_what_uvicorn_uses_and_no_websocket_library_is_loaded() -> None:
    """In a process of its own, because the registry of protocols is the whole process's."""
    program = """
import sys, uvicorn
from service.connection import ConnectionLimits, install
install(ConnectionLimits(header_seconds=1, body_seconds=2))
async def application(scope, receive, send): ...
config = uvicorn.Config(application)
config.load()
print(config.http_protocol_class.__name__, config.http_protocol_class.limits.body_seconds, config.ws_protocol_class)
print([name for name in sys.modules if name.partition(".")[0] in ("websockets", "wsproto")])
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout == "Connection 2 None\n[]\n"


class StandingLoop(asyncio.SelectorEventLoop):
    """A loop whose clock is moved by hand, and whose one timer is rung by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = 1_000.0
        self.due: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        return self.moment

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self.due.append((when, lambda: callback(*args)))
        return asyncio.TimerHandle(when, callback, args, self, context)

    def ring(self, late: float = 0.0) -> None:
        when, callback = self.due.pop()
        self.moment = when + late
        callback()


class Wire(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def is_closing(self) -> bool:
        return False

    def write(self, data: Any) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


def test_clients_are_not_blamed_for_a_process_that_stood_still() -> None:
    wire, state = Wire(), ServerState()
    state.default_headers = [(b"date", b"today"), (b"server", b"uvicorn")]
    with closing(StandingLoop()) as loop:
        config = uvicorn.Config(Application(), ws="none", lifespan="off", log_config=None)
        connection = Quick(config, state, {}, loop)
        connection.connection_made(wire)
        connection.data_received(HEAD)
        loop.ring(late=100)
        assert wire.written == b""
        loop.ring()
        assert_refused(wire.written, 408, "request_timeout")
        state.connections.clear()
        loop.ring()
        assert loop.due == []  # with nobody connected no timer is left
