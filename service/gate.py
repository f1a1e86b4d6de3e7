"""The gate in front of every route: request ids, sizes, content types, well-formed JSON, headers, counts.

It is pure ASGI and outermost among ours, so that what it refuses never reaches a handler, and every answer, also one of
the framework's own, leaves in one shape. No text of the client's goes into a log line, a label or a path.
"""

import re
import time
from typing import Protocol

import orjson
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lifecycle.ids import uuid7
from service import context
from service.answers import error_body, error_response
from service.metrics import ServiceMetrics

PROTOCOLS = {"/predict": "native", "/feedback": "feedback"}
LISTS = {"/predict": "rows", "/feedback": "labels"}
"""Paths that take JSON, and the list that their body must hold."""
READ_ALREADY = b'{"rows":[]}'
"""What BentoML is given to parse in place of a body that the gate has parsed: the handler uses the gate's."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_HIDDEN = ("server", "x-bentoml-request-id", "x-bentoml-trace-id")
_FRAMEWORK_ERRORS = {
    404: ("not_found", "there is nothing at this path; GET /docs.json lists the routes"),
    405: ("method_not_allowed", "this path does not take this method; GET /docs.json lists the routes"),
    500: ("internal", "the service failed; its log names this request_id"),
    503: ("not_ready", "the service is not ready to answer yet; try again shortly"),
}
_OTHER_ERROR = ("bad_request", "the request was not understood; GET /docs.json describes what is")
log = structlog.get_logger(__name__)


class Refused(Exception):
    """The gate's own refusal, on its way to becoming a response."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class GateParts(Protocol):
    """What the gate needs; a name for it because the framework makes the gate itself, late."""

    @property
    def metrics(self) -> ServiceMetrics:
        """The process's counters."""

    @property
    def body_limit_bytes(self) -> int:
        """The largest body."""

    def version(self) -> int | None:
        """The version live now."""


class Gate:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp, parts: GateParts) -> None:
        self._app = app
        self._metrics = parts.metrics
        self._version = parts.version
        self._limit = parts.body_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = context.RequestContext(_request_id(Headers(scope=scope)), version=self._version())
        context.enter(request)
        structlog.contextvars.bind_contextvars(request_id=request.request_id)
        protocol = PROTOCOLS.get(scope["path"], "other")
        finish = _Finish(send, request, self._metrics, protocol)
        try:
            if scope["path"] in LISTS:
                if scope["method"] != "POST":
                    raise Refused(405, *_FRAMEWORK_ERRORS[405])
                receive = await self._decoded(scope, receive, request)
            await self._app(scope, receive, finish)
        except Refused as refused:
            response = error_response(refused.status, refused.code, str(refused))
            await response(scope, receive, finish)
        except Exception:
            log.exception("request_failed")
            if finish.started:
                raise
            response = error_response(500, *_FRAMEWORK_ERRORS[500])
            await response(scope, receive, finish)
        finally:
            structlog.contextvars.unbind_contextvars("request_id")

    async def _decoded(self, scope: Scope, receive: Receive, request: context.RequestContext) -> Receive:
        headers = Headers(scope=scope)
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused(415, "unsupported_media_type", "send JSON, with the header Content-Type: application/json")
        body = await self._body(headers, receive)
        try:
            request.body = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            raise Refused(400, "malformed_json", f"the body is not valid JSON: {error.msg} at {place}") from error
        field = LISTS[scope["path"]]
        if not isinstance(request.body, dict) or not isinstance(request.body.get(field), list):
            raise Refused(
                422, "contract_violated", f'the body must be an object with a list "{field}"; see GET /docs.json'
            )
        return _Replay(READ_ALREADY, receive)

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        declared = headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > self._limit:
            raise self._too_large()
        parts: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "disconnected", "the request ended before its body did")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._limit:
                raise self._too_large()
            more = message.get("more_body", False)
        return b"".join(parts)

    def _too_large(self) -> Refused:
        return Refused(413, "too_large", f"the body is larger than {self._limit} bytes; send fewer rows at a time")


class _Replay:
    """Hands `body` to whoever reads next, then the connection's own messages."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Finish:
    """Completes each response: headers, one shape for the framework's errors, counts."""

    def __init__(self, send: Send, request: context.RequestContext, metrics: ServiceMetrics, protocol: str) -> None:
        self.started = False
        self._send = send
        self._request = request
        self._metrics = metrics
        self._protocol = protocol
        self._began = time.perf_counter()
        self._replaced = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            await self._start(message)
        elif not self._replaced:
            await self._send(message)

    async def _start(self, message: Message) -> None:
        status = message["status"]
        headers = MutableHeaders(scope=message)
        for name in _HIDDEN:
            del headers[name]
        headers["X-Request-ID"] = self._request.request_id
        headers["X-Content-Type-Options"] = "nosniff"
        if self._request.version is not None:
            headers["X-Model-Version"] = str(self._request.version)
        if status == 405:
            headers.setdefault("allow", "POST")  # other paths are the framework's, which names their methods itself
        self._count(status)
        if status >= 400 and not self._request.refused:
            self._replaced = True
            body = orjson.dumps(error_body(*_FRAMEWORK_ERRORS.get(status, _OTHER_ERROR)))
            headers["content-type"] = "application/json"
            headers["content-length"] = str(len(body))
            await self._send(message)
            await self._send({"type": "http.response.body", "body": body})
        else:
            await self._send(message)

    def _count(self, status: int) -> None:
        self._metrics.requests.labels(self._protocol, f"{status // 100}xx").inc()
        self._metrics.seconds.labels(self._protocol).observe(time.perf_counter() - self._began)


def _request_id(headers: Headers) -> str:
    """The caller's request id when it is a harmless token, a new one otherwise."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid7()
