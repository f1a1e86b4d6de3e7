"""The judge of fuzzed answers: it objects to everything that the service promises not to do."""

import json
from dataclasses import replace
from typing import Any

import pytest

from service import openapi
from service.exchange import JSON, Operation, Request, Response, Route, native_error
from service.protocols import schemas
from tests.behaviour.asking import MARKER, Asked
from tests.behaviour.judging import SLOWEST_SECONDS, Judge, Told


async def handle(_: Request) -> Response:
    return Response(b"")


def route(path: str) -> Route:
    operation = Operation("Predict.", {JSON: schemas.PREDICT_REQUEST}, {JSON: schemas.PREDICTIONS})
    return Route("POST", path, handle, "native", "predict", operation, native_error, frozenset({JSON}))


PATHS = ("/predict", "/v2/models/{model}/infer", "/v1/models/{model}:predict", "/invocations", "/predictions/{model}")
JUDGE = Judge(openapi.describe("houses", map(route, PATHS)))
NATIVE = {"error": {"code": "c", "message": "m", "details": []}, "request_id": "r"}


def told(status: int = 200, content: object = None, **changes: Any) -> Told:
    body = json.dumps({"predictions": []} if content is None else content).encode()
    return replace(Told(status, JSON, body, 0.1), **changes)


def objections(answer: Told, path: str = "/predict") -> list[str]:
    return JUDGE.objections(Asked("POST", path, path), answer)


def test_an_answer_as_described_has_no_objections() -> None:
    assert objections(told()) == []
    assert objections(told(422, NATIVE)) == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (told(500, NATIVE), "the service failed with 500"),
        (told(503, NATIVE), "the service failed with 503"),
        (told(seconds=SLOWEST_SECONDS + 1), "the answer took 6.0 s"),
        (told(failure="ReadTimeout"), "there was no answer: ReadTimeout"),
        (told(content_type="text/html"), "the content type 'text/html' of a 200 is not in the description"),
        (told(422, NATIVE, content_type="text/plain"), "the content type 'text/plain' of a 422"),
        (told(content_type=""), "the content type '' of a 200"),
        (told(418, NATIVE), "the status 418 is not in the description"),
        (told(body=b"{"), "a 200 is not JSON"),
        (told(422, body=b""), "a 422 is not JSON"),
        (told(content={"outputs": []}), "a 200 has not the shape in the description"),
        (told(422, {"detail": "no"}), "a 422 has not the shape of the protocol's errors"),
    ],
    ids=lambda value: value if isinstance(value, str) else "answer",
)
def test_the_judge_objects(answer: Told, said: str) -> None:
    assert [found for found in objections(answer) if found.startswith(said)]


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/predict", NATIVE),
        ("/v2/models/{model}/infer", {"error": "e"}),
        ("/v1/models/{model}:predict", {"error": "e"}),
        ("/invocations", {"error_code": "BAD_REQUEST", "message": "m"}),
        ("/predictions/{model}", {"code": 422, "type": "t", "message": "m"}),
    ],
)
def test_each_protocol_has_its_own_shape_of_errors(path: str, error: dict[str, Any]) -> None:
    assert objections(told(422, error), path) == []
    assert objections(told(422, {"message": "m"}), path) != []


def test_only_a_path_that_may_be_no_route_may_answer_404_in_the_general_shape() -> None:
    assert objections(told(404, NATIVE), "/v2/models/{model}/infer") == []
    assert objections(told(404, NATIVE), "/invocations") != []


def test_a_request_can_be_repeated_from_what_is_said() -> None:
    asked = Asked("POST", "/predict", "/predict", {"user-agent": MARKER}, b"\0a")
    assert asked.curl() == (
        f"curl -X POST -H 'user-agent: {MARKER}' --data-binary @<(printf '\\x00\\x61') \"$URL/predict\"  # 2 bytes of body"
    )
