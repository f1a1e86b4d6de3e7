"""The gate in front of every route: who may ask, what may be sent, how much at once, and how every answer looks.

It is the outermost ASGI application. What a route of ours answers never enters the framework; the few paths that are the
framework's own are let through, and its errors leave in our shape. No text of a client's goes into a log line, a label
or a path.
"""

import re
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lifecycle.errors import EvenkeelError
from lifecycle.ids import uuid7
from service.exchange import JSON, Answer, Refused, Request, Response, Route, media_type, native_error, refusal
from service.metrics import OTHER, ServiceMetrics
from service.routing import Routes

FRAMEWORK = frozenset({"/livez", "/healthz", "/schema.json"})
"""Paths that BentoML answers."""
NOT_FOUND = ("not_found", "there is nothing at this path; GET /docs.json lists the routes")
NOT_ALLOWED = ("method_not_allowed", "this path does not take this method; GET /docs.json lists the routes")
NOT_READY = ("not_ready", "the service is not ready to answer yet; try again shortly")
FAILED = ("internal", "the service failed; its log names this request_id")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,64}")
_SAFE = (
    b"x-content-type-options: nosniff\r\n"
    b"cache-control: no-store\r\n"
    b"content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"
    b"referrer-policy: no-referrer\r\n"
)
_ORIGIN = re.compile(rb"https?://(\[[0-9a-f:]+\]|[^/:]+)(?::\d+)?")
_LOOPBACK = frozenset({b"localhost", b"127.0.0.1", b"::1"})
_SINGLE = (
    b"content-type",
    b"content-encoding",
    b"authorization",
    b"x-api-key",
    b"origin",
    b"inference-header-content-length",
)
_HIDDEN = frozenset({b"server", b"x-bentoml-request-id", b"x-bentoml-trace-id", b"content-length", b"content-type"})
log = structlog.get_logger(__name__)


class Keys(Protocol):
    """Who may ask; raises Refused."""

    def check(self, headers: Mapping[bytes, bytes], route: Route) -> str | None:
        """The id of the caller's key, or None where none is needed."""


class GateParts(Protocol):
    """What the gate needs of its process."""

    @property
    def metrics(self) -> ServiceMetrics:
        """The process's counters."""

    @property
    def routes(self) -> Routes:
        """Everything that the service answers itself."""

    @property
    def keys(self) -> Keys | None:
        """Who may ask; None where everybody may."""

    @property
    def body_limit_bytes(self) -> int:
        """The largest body."""

    def version(self) -> int | None:
        """The version live now."""


class Gate:
    """Wraps the framework's application, whose paths it lets through; answers all others by `parts.routes`."""

    def __init__(self, app: ASGIApp, parts: GateParts) -> None:
        self._app = app
        self._parts = parts
        self._limit = parts.body_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, head, body = await self._answered(scope, receive, None)
        headers = [tuple(line.split(b": ", 1)) for line in head.splitlines()]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def answers(self, scope: Scope) -> bool:
        """Whether `answer` may be asked: the framework answers some paths, and needs to receive and send for that."""
        return scope["path"] not in FRAMEWORK

    async def answer(self, scope: Scope, body: bytes) -> Answer:
        """Status, headers and body for a request whose body has been received; `answers` has said that it may be asked."""
        return await self._answered(scope, _nothing_more, body)

    async def _answered(self, scope: Scope, receive: Receive, body: bytes | None) -> Answer:
        began = time.perf_counter()
        method, path = scope["method"], scope["path"]
        headers = dict(scope["headers"])
        request = Request(_request_id(headers), OTHER, b"", headers, {}, scope.get("query_string", b""))
        if len(headers) != len(scope["headers"]) and (twice := _twice(scope["headers"])):
            message = f"the header {twice} is there more than once; send it once"
            response = _refused(Refused(400, "malformed_request", message), request)
            self._parts.metrics.answered(OTHER, 400, time.perf_counter() - began)
            return 400, self._head(response, request), response.body
        found = self._parts.routes.find("GET" if method == "HEAD" else method, path)
        if found is not None:
            route, request.arguments = found
            request.protocol = route.protocol
            response = await self._routed(route, request, receive, body)
        elif path in FRAMEWORK and method in ("GET", "HEAD"):
            response = await self._framework(scope, receive, request)
        else:
            response = self._nothing(path, request)
        self._parts.metrics.answered(request.protocol, response.status, time.perf_counter() - began)
        return response.status, self._head(response, request), b"" if method == "HEAD" else response.body

    async def _routed(self, route: Route, request: Request, receive: Receive, body: bytes | None) -> Response:
        try:
            keys = self._parts.keys
            if keys is not None:
                request.key_id = keys.check(request.headers, route)
            elif b"origin" in request.headers and route.method == "POST":
                _check_origin(request.headers[b"origin"])
            if route.accepts:
                self._check_type(route, request.headers)
                request.body = await self._body(request.headers, receive) if body is None else self._whole(body)
            return await route.handle(request)
        except Refused as refused:
            return _refused(refused, request, route)
        except EvenkeelError as error:
            return _refused(refusal(error), request, route)
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller gets an answer and the log its place
            _log_failure(error, request)
            return _refused(Refused(500, *FAILED), request, route)

    def _check_type(self, route: Route, headers: Mapping[bytes, bytes]) -> None:
        given = headers.get(b"content-type", b"")
        if media_type(given) not in route.accepts:
            wanted = " or ".join(filter(None, sorted(route.accepts)))
            raise Refused(415, "unsupported_media_type", f"send {wanted}, and say so in the header Content-Type")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Refused(415, "unsupported_media_type", "send the body as it is, without a Content-Encoding")

    def _whole(self, body: bytes) -> bytes:
        if len(body) > self._limit:
            raise self._too_large()
        return body

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._limit:
            raise self._too_large()
        message = await receive()
        body: bytes = message.get("body", b"")
        if message["type"] == "http.request" and not message.get("more_body", False) and len(body) <= self._limit:
            return body
        return await self._long_body(message, receive)

    async def _long_body(self, message: Message, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise Refused(400, "disconnected", "the request ended before its body did")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._limit:
                raise self._too_large()
            if not message.get("more_body", False):
                return b"".join(parts)
            message = await receive()

    def _too_large(self) -> Refused:
        return Refused(413, "too_large", f"the body is larger than {self._limit} bytes; send fewer rows at a time")

    def _nothing(self, path: str, request: Request) -> Response:
        methods = self._parts.routes.methods(path) or (["GET"] if path in FRAMEWORK else [])
        if methods:
            allow = ", ".join([*methods, "HEAD"] if "GET" in methods else methods).encode()
            return _refused(Refused(405, *NOT_ALLOWED, headers=((b"allow", allow),)), request)
        return _refused(Refused(404, *NOT_FOUND), request)

    async def _framework(self, scope: Scope, receive: Receive, request: Request) -> Response:
        """What the framework answers, in our shape when it is an error."""
        caught = _Caught()
        try:
            await self._app(scope, receive, caught)
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller gets an answer and the log its place
            _log_failure(error, request)
            return _refused(Refused(500, *FAILED), request)
        if caught.status == 503:
            return _refused(Refused(503, *NOT_READY, headers=((b"retry-after", b"1"),)), request)
        if caught.status >= 400:
            return _refused(Refused(500, *FAILED), request)
        return caught.response()

    def _head(self, response: Response, request: Request) -> bytes:
        live = request.live
        version = live.version if live is not None else self._parts.version()
        head = b"content-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\n%b" % (
            response.media_type.encode(),
            len(response.body),
            request.id.encode(),
            _SAFE,
        )
        if version is not None:
            head += b"x-model-version: %d\r\n" % version
        for pair in response.headers:
            head += b"%b: %b\r\n" % pair
        return head


async def _nothing_more() -> Message:
    """Receives for a request that has been received."""
    return {"type": "http.disconnect"}


class _Caught:
    """Keeps what the framework sends, to be sent in our shape."""

    def __init__(self) -> None:
        self.status = 500
        self._headers: dict[bytes, bytes] = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._headers = {name.lower(): value for name, value in message.get("headers", ())}
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")

    def response(self) -> Response:
        kept = tuple((name, value) for name, value in self._headers.items() if name not in _HIDDEN)
        return Response(self._body, self.status, self._headers.get(b"content-type", JSON.encode()).decode(), kept)


def _log_failure(error: Exception, request: Request) -> None:
    """Which error and where, without its words, which may be the caller's."""
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error("request_failed", request_id=request.id, error=type(error).__name__, trace=places[-12:])


def _twice(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """The name of a header that decides something and is there more than once."""
    names = [name for name, _ in headers]
    return next((name.decode() for name in _SINGLE if names.count(name) > 1), None)


def _refused(refused: Refused, request: Request, route: Route | None = None) -> Response:
    encode = route.error if route else native_error
    return Response(encode(refused, request.id), refused.status, headers=refused.headers)


def _check_origin(origin: bytes) -> None:
    """Raises Refused for a page of another machine in a browser of this one, which needs no key to reach us."""
    found = _ORIGIN.fullmatch(origin)
    if not found or found[1].strip(b"[]") not in _LOOPBACK:
        raise Refused(403, "foreign_page", "pages of other hosts may not call this service, because it asks for no key")


def _request_id(headers: Mapping[bytes, bytes]) -> str:
    """The caller's request id when it is a harmless token, a new one otherwise."""
    given = headers.get(b"x-request-id")
    return given.decode() if given is not None and _REQUEST_ID.fullmatch(given) else uuid7()
