"""What goes back to the caller: JSON, the one shape of errors, and which error is which status."""

from collections.abc import Sequence

import orjson
from starlette.responses import Response

from lifecycle.errors import EvenkeelError, InputRejected, ModelUnavailable, Problem, StoreUnavailable
from service.context import current

_STATUSES: dict[type[EvenkeelError], tuple[int, str]] = {
    InputRejected: (422, "contract_violated"),
    ModelUnavailable: (503, "no_model"),
    StoreUnavailable: (503, "store_unavailable"),
}
RETRY_SECONDS = "1"


def json_response(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`content` as JSON."""
    return Response(orjson.dumps(content, default=str), status, headers, media_type="application/json")


def error_response(status: int, code: str, message: str, problems: Sequence[Problem] = ()) -> Response:
    """An error in the shape every client can rely on."""
    current().refused = True
    headers = {"Retry-After": RETRY_SECONDS} if status in (429, 503) else None
    return json_response(error_body(code, message, problems), status, headers)


def error_body(code: str, message: str, problems: Sequence[Problem] = ()) -> dict[str, object]:
    details = [{"row": item.row, "field": item.field, "problem": item.problem} for item in problems]
    return {
        "error": {"code": code, "message": message, "details": details},
        "request_id": current().request_id,
    }


def refusal(error: EvenkeelError) -> Response:
    """The response for an error of the core."""
    status, code = next((entry for kind, entry in _STATUSES.items() if isinstance(error, kind)), (500, "internal"))
    problems = error.problems if isinstance(error, InputRejected) else ()
    return error_response(status, code, str(error), problems)
