"""The gate: what is refused never reaches a handler, and every answer leaves in one shape."""

import asyncio
import json
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.responses import Response as FrameworkResponse
from starlette.types import Message, Receive, Scope, Send

from lifecycle.ids import is_uuid7
from service.exchange import Operation, Request, Response, Route, native_error
from service.gate import Gate
from service.routing import Routes
from tests.component.service.making import BODY_LIMIT, ROW, Worker, count, framework, through

JSON = {"content-type": "application/json"}


def assert_refused(response: Any, status: int, code: str) -> None:
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    body = response.json()
    assert set(body) == {"error", "request_id"}
    assert set(body["error"]) == {"code", "message", "details"}
    assert body["request_id"] == response.headers["x-request-id"]
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-model-version"] == "1"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b'{"rows": [', 400, "malformed_json"),
        (b'{"rows": [{"a": NaN, "b": 1}]}', 422, "contract_violated"),
        (b'{"rows": [{"a": Infinity, "b": 1}]}', 422, "contract_violated"),
        (b'{"rows": [{"a": 1e999, "b": 1}]}', 422, "contract_violated"),
        (b'{"rows": [{"a": 1, "a": 2, "b": 1}]}', 422, "contract_violated"),
        (b"\xff\xfe", 400, "malformed_json"),
        (b'{"rows": ["\\ud800"]}', 400, "malformed_json"),
        (b"[" * 1_990, 422, "contract_violated"),
        (b"[1]", 422, "contract_violated"),
        (b"null", 422, "contract_violated"),
        (b'{"row": []}', 422, "contract_violated"),
        (b'{"rows": {"a": 1}}', 422, "contract_violated"),
        (b'{"rows": null}', 422, "contract_violated"),
        (b'{"rows": []}', 422, "contract_violated"),
        (b'{"rows": [1]}', 422, "contract_violated"),
    ],
)
def test_bodies_that_are_not_rows_are_refused(worker: Worker, body: bytes, status: int, code: str) -> None:
    assert_refused(worker.ask("POST", "/predict", content=body, headers=JSON), status, code)
    assert worker.log.predictions == []
    assert count(worker.metrics.requests, protocol="native", status_class="4xx") == 1


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", ""])
@pytest.mark.parametrize("path", ["/predict", "/feedback"])
def test_only_json_is_taken(worker: Worker, path: str, kind: str) -> None:
    response = worker.ask("POST", path, content=json.dumps({"rows": [ROW]}), headers={"content-type": kind})
    assert_refused(response, 415, "unsupported_media_type")


def test_a_content_type_may_name_its_character_set(worker: Worker) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert worker.ask("POST", "/predict", content=json.dumps({"rows": [ROW]}), headers=headers).status_code == 200


def test_a_body_that_says_it_is_too_large_is_refused_unread(worker: Worker) -> None:
    async def never() -> Message:
        raise AssertionError("the body was read")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(BODY_LIMIT + 1).encode())],
    }
    asyncio.run(Gate(framework(), worker)(scope, never, send))
    assert sent[0]["status"] == 413


def test_a_body_that_grows_too_large_is_refused(worker: Worker) -> None:
    async def chunks() -> Any:
        for _ in range(BODY_LIMIT):
            yield b"  "

    assert_refused(worker.ask("POST", "/predict", content=chunks(), headers=JSON), 413, "too_large")


def test_a_body_at_the_limit_is_taken(worker: Worker) -> None:
    body = json.dumps({"rows": [ROW]}).encode().ljust(BODY_LIMIT)
    assert worker.ask("POST", "/predict", content=body, headers=JSON).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/predict", 405, "method_not_allowed"),
        ("DELETE", "/feedback", 405, "method_not_allowed"),
        ("POST", "/model", 405, "method_not_allowed"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/predict/../../etc/passwd", 404, "not_found"),
        ("GET", "/%0aforged", 404, "not_found"),
    ],
)
def test_what_is_not_there_is_said_in_the_same_shape(
    worker: Worker, method: str, path: str, status: int, code: str
) -> None:
    assert_refused(worker.ask(method, path), status, code)


def test_paths_never_become_labels(worker: Worker) -> None:
    worker.ask("GET", "/a")
    worker.ask("GET", "/b")
    assert count(worker.metrics.requests, protocol="other", status_class="4xx") == 2
    assert count(worker.metrics.requests) == 2


@pytest.mark.parametrize("given", ["abc-1.2:3_x", "7" * 64])
def test_a_harmless_request_id_is_kept(worker: Worker, given: str) -> None:
    response = worker.ask("GET", "/model", headers={"X-Request-ID": given})
    assert response.headers["x-request-id"] == given


@pytest.mark.parametrize("given", [b"", b"7" * 65, b"a b", b"<script>", b"a\x1b[31m", "ü".encode(), b"x\t"])
def test_any_other_request_id_is_replaced(worker: Worker, given: bytes) -> None:
    response = worker.ask("GET", "/model", headers=[(b"x-request-id", given)])
    assert is_uuid7(response.headers["x-request-id"])


def test_each_request_has_an_id_of_its_own(worker: Worker) -> None:
    assert len({worker.ask("GET", "/model").headers["x-request-id"] for _ in range(3)}) == 3


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("the secret is 42")


@pytest.mark.parametrize(
    "app",
    [failing, JSONResponse({"error": "the secret is 42"}, 500), PlainTextResponse("the secret is 42", 500)],
    ids=["raises", "framework_json", "framework_text"],
)
def test_a_failure_is_a_500_in_the_same_shape_that_tells_nothing(worker: Worker, app: Any) -> None:
    response = asyncio.run(through(Gate(app, worker), "GET", "/healthz"))
    assert_refused(response, 500, "internal")
    assert "secret" not in response.text
    assert count(worker.metrics.requests, protocol="other", status_class="5xx") == 1


@pytest.mark.parametrize(
    ("given", "status", "code"), [(400, 500, "internal"), (413, 500, "internal"), (503, 503, "not_ready")]
)
def test_an_error_of_the_frameworks_own_leaves_in_the_same_shape(
    worker: Worker, given: int, status: int, code: str
) -> None:
    app = JSONResponse({"detail": "mine"}, given)
    assert_refused(asyncio.run(through(Gate(app, worker), "GET", "/healthz")), status, code)


def test_a_failing_route_is_a_500_that_tells_nothing(worker: Worker) -> None:
    async def handle(_: Request) -> Response:
        raise RuntimeError("the secret is 42")

    worker.routes = Routes([Route("GET", "/broken", handle, "other", "open", Operation("Fails."), native_error)])
    response = worker.ask("GET", "/broken")
    assert_refused(response, 500, "internal")
    assert "secret" not in response.text


def test_headers_of_the_server_are_not_shown(worker: Worker) -> None:
    app = FrameworkResponse(headers={"server": "uvicorn", "x-bentoml-request-id": "1", "x-bentoml-trace-id": "2"})
    response = asyncio.run(through(Gate(app, worker), "GET", "/livez"))
    assert not {"server", "x-bentoml-request-id", "x-bentoml-trace-id"} & set(response.headers)


def test_a_caller_that_leaves_before_the_body_ends_is_not_a_failure(worker: Worker) -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [(b"content-type", b"application/json")]}
    asyncio.run(Gate(framework(), worker)(scope, gone, send))
    assert sent[0]["status"] == 400


@pytest.mark.parametrize("name", ["content-type", "x-api-key", "authorization", "content-encoding"])
def test_a_header_that_decides_something_may_be_there_once(worker: Worker, name: str) -> None:
    twice = [("content-type", "application/json"), (name, "a"), (name, "b")]
    assert_refused(worker.ask("POST", "/predict", content=b"{}", headers=twice), 400, "malformed_request")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "http://evil@localhost"]
)
def test_a_page_of_another_host_cannot_call_a_service_that_asks_for_no_key(worker: Worker, origin: str) -> None:
    response = worker.ask("POST", "/predict", json={"rows": [ROW]}, headers={"origin": origin})
    assert_refused(response, 403, "foreign_page")


@pytest.mark.parametrize("origin", ["http://localhost:8080", "http://127.0.0.1", "https://[::1]:3000"])
def test_a_page_of_this_machine_may_call(worker: Worker, origin: str) -> None:
    assert worker.ask("POST", "/predict", json={"rows": [ROW]}, headers={"origin": origin}).status_code == 200


def test_what_is_not_http_passes(worker: Worker) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: object) -> Any:
        raise AssertionError("nothing is received or sent")

    asyncio.run(Gate(app, worker)({"type": "lifespan"}, nothing, nothing))
    assert seen == ["lifespan"]
