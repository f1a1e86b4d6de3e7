"""The service's description names every route, with what it takes and gives."""

from service.exchange import JSON, Operation, Request, Response, Route, native_error
from service.openapi import HEALTH, describe
from service.protocols import schemas


async def handle(_: Request) -> Response:
    return Response(b"")


TAKES = Route(
    "POST",
    "/m/{model}/infer",
    handle,
    "v2",
    "predict",
    Operation("Infer.", {JSON: schemas.PREDICT_REQUEST}, {JSON: schemas.PREDICT_RESPONSE}, status=202),
    native_error,
    frozenset({JSON}),
)
GIVES = Route("GET", "/m/{model}/infer", handle, "v2", "open", Operation("Look."), native_error)


def test_every_route_and_the_frameworks_own_are_there() -> None:
    paths = describe("houses", [TAKES, GIVES])["paths"]
    assert set(paths) == {*HEALTH, "/m/{model}/infer"}
    assert set(paths["/m/{model}/infer"]) == {"post", "get"}


def test_an_operation_says_what_it_takes_and_gives() -> None:
    operation = describe("houses", [TAKES])["paths"]["/m/{model}/infer"]["post"]
    assert operation["parameters"] == [
        {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "enum": ["houses"]}}
    ]
    assert operation["requestBody"]["content"] == {JSON: {"schema": schemas.PREDICT_REQUEST}}
    assert operation["responses"]["202"]["content"] == {JSON: {"schema": schemas.PREDICT_RESPONSE}}
    assert {"400", "413", "415", "422"} < set(operation["responses"])


def test_a_route_without_a_body_asks_for_none() -> None:
    operation = describe("houses", [GIVES])["paths"]["/m/{model}/infer"]["get"]
    assert "requestBody" not in operation
    assert not {"400", "413", "415", "422"} & set(operation["responses"])
