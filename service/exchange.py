"""What goes through the service: a request as the gate hands it on, a response, a refusal, and a route between them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import orjson

from lifecycle.errors import (
    EvenkeelError,
    InputRejected,
    ModelUnavailable,
    Problem,
    StoreUnavailable,
)
from service.strict_json import MalformedJson

if TYPE_CHECKING:
    from service.live import Live

JSON = "application/json"
Scope = Literal["open", "read", "predict", "feedback"]
"""Who may use a route: anybody, anybody with a key, or a key of this scope (where keys are required)."""


@dataclass(slots=True)
class Request:
    """One request. `headers` have lower-case names; `arguments` are the variable parts of the path, decoded.

    `live` is the model that answers it: the first look at it, by the data plane, holds for the whole request.
    """

    id: str
    protocol: str
    body: bytes
    headers: Mapping[bytes, bytes]
    arguments: Mapping[str, str]
    query: bytes = b""
    key_id: str | None = None
    live: "Live | None" = None

    def media_type(self) -> str:
        """The content type of the body, without its parameters, in lower case."""
        return media_type(self.headers.get(b"content-type", b""))


@dataclass(slots=True)
class Response:
    """One answer: `headers` beside those that every answer carries."""

    body: bytes
    status: int = 200
    media_type: str = JSON
    headers: Sequence[tuple[bytes, bytes]] = ()


class Refused(Exception):
    """A request that is not answered as asked: a status, a code for programs, a sentence for people."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        problems: Sequence[Problem] = (),
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.problems, self.headers = status, code, problems, headers


Answer = tuple[int, bytes, bytes]
"""Status; headers, each a line; body."""
Handler = Callable[[Request], Awaitable[Response]]
ErrorEncoder = Callable[[Refused, str], bytes]
"""A refusal and the request's id as the body that the protocol prescribes."""


@dataclass(frozen=True)
class Operation:
    """What the service's description says of a route: JSON schemas by content type, empty where there is no body."""

    summary: str
    request: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    response: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True)
class Route:
    """One thing that the service does. `path` may hold variable parts in braces, such as `/v2/models/{model}/infer`.

    A route with `accepts` takes a body of one of these content types, one without takes none.
    """

    method: Literal["GET", "POST"]
    path: str
    handle: Handler
    protocol: str
    scope: Scope
    operation: Operation
    error: ErrorEncoder
    accepts: frozenset[str] = frozenset()
    claimed: bool = False
    """Whether the platform chose this path, so that a protocol's own route of the same path makes way."""


def json_response(content: object, status: int = 200) -> Response:
    """`content` as JSON."""
    return Response(orjson.dumps(content), status)


@lru_cache(maxsize=256)
def media_type(header: bytes) -> str:
    """A content type without its parameters, in lower case."""
    return header.partition(b";")[0].strip().lower().decode("latin-1")


def native_error(refused: Refused, request_id: str) -> bytes:
    """The one shape of errors, where no protocol prescribes another."""
    details = [{"row": item.row, "field": item.field, "problem": item.problem} for item in refused.problems]
    error = {"code": refused.code, "message": str(refused), "details": details}
    return orjson.dumps({"error": error, "request_id": request_id})


_RETRY = ((b"retry-after", b"1"),)


def refusal(error: EvenkeelError) -> Refused:
    """The refusal for an error of the core: the one table of statuses."""
    if isinstance(error, MalformedJson):
        return Refused(400, "malformed_json", str(error))
    if isinstance(error, InputRejected):
        return Refused(422, "contract_violated", str(error), error.problems)
    if isinstance(error, ModelUnavailable):
        return Refused(503, "no_model", str(error), headers=_RETRY)
    if isinstance(error, StoreUnavailable):
        return Refused(503, "store_unavailable", str(error), headers=_RETRY)
    return Refused(500, "internal", str(error))
