"""TorchServe's inference API, behind the gate."""

from pathlib import Path
from typing import Any

import pytest

from tests.component.service.making import ROW, Published, Worker

ROWS = [{"a": 3, "b": 3}, {"a": -3, "b": -3}]


def native(worker: Worker) -> Any:
    return worker.ask("POST", "/predict", json={"rows": ROWS}).json()["predictions"]


def without_ids(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "id"} for row in rows]


@pytest.mark.parametrize("rows", [ROWS, [[3, 3], [-3, -3]]], ids=["objects", "arrays"])
@pytest.mark.parametrize("path", ["/predictions/houses", "/predictions/houses/1", "/predictions/houses/1.0"])
def test_a_list_gives_a_list(worker: Worker, rows: object, path: str) -> None:
    response = worker.ask("POST", path, json=rows)
    assert response.status_code == 200
    (batch,) = worker.log.predictions
    assert (batch.protocol, [row["id"] for row in response.json()]) == ("torchserve", batch.ids)
    assert without_ids(response.json()) == without_ids(native(worker))


def test_an_object_gives_an_object(worker: Worker) -> None:
    response = worker.ask("POST", "/predictions/houses", json=ROWS[0])
    assert without_ids([response.json()]) == without_ids(native(worker))[:1]
    assert response.json()["id"] == response.headers["x-prediction-ids"]


@pytest.mark.parametrize(
    ("path", "body", "status", "kind", "sentence"),
    [
        ("/predictions/flats", ROW, 404, "ModelNotFoundException", "the model 'houses' and no other"),
        ("/predictions/houses/2", ROW, 404, "ModelVersionNotFoundException", "version 1 is"),
        ("/predictions/houses/x", ROW, 404, "ModelVersionNotFoundException", "version 1 is"),
        ("/predictions/houses", 1, 400, "BadRequestException", "the body must be a list of rows, not a number"),
        ("/predictions/houses", [], 422, "BadRequestException", "the list of rows is empty"),
        ("/predictions/houses", {"a": 1}, 422, "BadRequestException", "field 'b' is missing"),
        ("/predictions/houses", [[1]], 422, "BadRequestException", "the body[0] has 1 value(s)"),
        ("/explanations/houses", ROW, 404, "ResourceNotFoundException", "there are no explanations here"),
    ],
    ids=["model", "version", "version text", "number", "empty", "missing", "short", "explanations"],
)
def test_an_error_has_code_type_and_message(
    worker: Worker, path: str, body: object, status: int, kind: str, sentence: str
) -> None:
    response = worker.ask("POST", path, json=body)
    error = response.json()
    assert (response.status_code, error["code"], error["type"]) == (status, status, kind)
    assert sentence in error["message"]
    assert set(error) == {"code", "type", "message"}
    assert worker.log.predictions == []


def test_without_a_model_it_is_unavailable(tmp_path: Path, published: Published) -> None:
    response = Worker(tmp_path, published).ask("POST", "/predictions/houses", json=ROW)
    assert (response.status_code, response.json()["type"]) == (503, "ServiceUnavailableException")


def test_ping_tells_health_where_json_is_asked_for(worker: Worker) -> None:
    response = worker.ask("GET", "/ping", headers={"accept": "application/json"})
    assert (response.status_code, response.json()) == (200, {"status": "Healthy"})
