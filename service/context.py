"""What one request carries through the layers: its id, its decoded body, and the version that answered it."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass
class RequestContext:
    """Made by the gate; `body` is the decoded JSON, `version` is filled in by the data plane.

    `refused` says that the response is an error of ours, in the shape that every client can rely on.
    """

    request_id: str
    body: Any = None
    version: int | None = None
    refused: bool = False


_current: ContextVar[RequestContext] = ContextVar("evenkeel_request")


def enter(context: RequestContext) -> None:
    """Make `context` the one of this task."""
    _current.set(context)


def current() -> RequestContext:
    """The context of the request being answered."""
    return _current.get()
