"""Vertex AI's container routes, behind the gate."""

from pathlib import Path

import pytest

from lifecycle.errors import ConfigInvalid
from service.protocols.vertex import VertexProtocol, from_environment
from service.routing import Routes
from tests.component.service.making import ROW, Published, Worker, publish

ROWS = [{"a": 3, "b": 3}, {"a": -3, "b": -3}]


@pytest.mark.parametrize("instances", [ROWS, [[3, 3], [-3, -3]]], ids=["objects", "arrays"])
@pytest.mark.parametrize("more", [{}, {"parameters": {}}, {"parameters": None}, {"parameters": {"top_k": 3}}], ids=str)
def test_instances_give_predictions(worker: Worker, instances: object, more: dict[str, object]) -> None:
    response = worker.ask("POST", "/vertex/predict", json={"instances": instances} | more)
    assert (response.status_code, response.json()) == (200, {"predictions": ["yes", "no"]})
    (batch,) = worker.log.predictions
    assert (batch.protocol, response.headers["x-prediction-ids"]) == ("vertex", ",".join(batch.ids))


def test_parameters_may_ask_for_probabilities(worker: Worker) -> None:
    body = {"instances": ROWS, "parameters": {"probabilities": True}}
    given = worker.ask("POST", "/vertex/predict", json=body).json()["predictions"]
    native = worker.ask("POST", "/predict", json={"rows": ROWS}).json()["predictions"]
    assert given == [list(row["probabilities"].values()) for row in native]


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({}, 400, 'the body must have a list "instances"'),
        ([ROW], 400, "the body must be an object"),
        ({"instances": ROW}, 400, "instances must be a list of rows, not an object"),
        ({"instances": [ROW], "parameters": []}, 400, '"parameters" must be an object, not a list'),
        ({"instances": [ROW], "parameters": {"probabilities": 1}}, 400, "must be true or false, not a number"),
        ({"instances": [{"a": 1}]}, 422, "field 'b' is missing"),
    ],
    ids=["nothing", "list", "one object", "parameters list", "parameters number", "missing field"],
)
def test_what_is_not_right_is_refused_in_the_service_s_own_shape(
    worker: Worker, body: object, status: int, sentence: str
) -> None:
    response = worker.ask("POST", "/vertex/predict", json=body)
    assert response.status_code == status
    assert sentence in response.json()["error"]["message"]
    assert worker.log.predictions == []


def test_a_regression_has_no_probabilities(tmp_path: Path) -> None:
    worker = Worker(tmp_path / "worker", publish(tmp_path / "published", "regression", 1))
    worker.promote(1)
    body = {"instances": [ROW], "parameters": {"probabilities": True}}
    response = worker.ask("POST", "/vertex/predict", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "malformed_request")


def test_health_is_200_only_once_a_model_is_live(tmp_path: Path, published: Published) -> None:
    worker = Worker(tmp_path, published)
    assert worker.ask("GET", "/vertex/health").status_code == 503
    worker.promote(1)
    response = worker.ask("GET", "/vertex/health")
    assert (response.status_code, response.json()) == (200, {"status": "ready", "version": 1})


def test_the_platform_names_the_routes(worker: Worker) -> None:
    endpoint = "/v1/endpoints/123/deployedModels/456"
    environment = {"AIP_PREDICT_ROUTE": f"{endpoint}:predict", "AIP_HEALTH_ROUTE": endpoint}
    worker.routes = Routes(from_environment(worker.plane, environment).routes())
    response = worker.ask("POST", f"{endpoint}:predict", json={"instances": ROWS})
    assert response.json() == {"predictions": ["yes", "no"]}
    assert worker.ask("GET", endpoint).status_code == 200
    assert worker.ask("POST", "/vertex/predict", json={"instances": ROWS}).status_code == 404


def test_a_route_of_the_platform_s_takes_the_place_of_another_protocol_s(worker: Worker) -> None:
    """As Vertex names them in practice."""
    vertex = from_environment(worker.plane, {"AIP_PREDICT_ROUTE": "/predict", "AIP_HEALTH_ROUTE": "/health"})
    worker.routes = Routes([*worker.routes.all, *vertex.routes()])
    assert worker.ask("POST", "/predict", json={"instances": ROWS}).json() == {"predictions": ["yes", "no"]}
    assert worker.ask("GET", "/health").json()["status"] == "ready"


def test_without_the_platform_the_routes_are_the_documented_ones(worker: Worker) -> None:
    expected = [(route.method, route.path) for route in VertexProtocol(worker.plane).routes()]
    assert expected == [("POST", "/vertex/predict"), ("GET", "/vertex/health")]
    assert [(route.method, route.path) for route in from_environment(worker.plane, {}).routes()] == expected


@pytest.mark.parametrize("route", ["predict", "/v1/{model}"])
def test_a_route_that_is_no_path_is_refused_by_name(worker: Worker, route: str) -> None:
    with pytest.raises(ConfigInvalid, match="AIP_HEALTH_ROUTE is .* not a path"):
        from_environment(worker.plane, {"AIP_HEALTH_ROUTE": route})
