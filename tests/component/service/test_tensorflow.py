"""TensorFlow Serving's REST API, and KServe's first version, behind the gate."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from service.exchange import Request
from service.plane import Answers, DataPlane
from tests.component.service.making import LIMITS, ROW, Published, Worker, publish

PREDICT = "/v1/models/houses:predict"
ARRAYS = [[3.0, 3.0], [-3.0, -3.0]]
OBJECTS = [{"a": 3.0, "b": 3.0}, {"a": -3.0, "b": -3.0}]


def ask(worker: Worker, body: object, path: str = PREDICT) -> Any:
    return worker.ask("POST", path, json=body)


@pytest.mark.parametrize("rows", [ARRAYS, OBJECTS], ids=["arrays", "objects"])
@pytest.mark.parametrize("place", ["", "/versions/1", "/labels/champion"], ids=["model", "version", "label"])
def test_instances_give_predictions(worker: Worker, rows: object, place: str) -> None:
    response = ask(worker, {"instances": rows}, f"/v1/models/houses{place}:predict")
    assert (response.status_code, response.json()) == (200, {"predictions": ["yes", "no"]})
    assert response.headers["x-model-version"] == "1"
    assert response.headers["x-prediction-ids"].split(",") == worker.log.predictions[0].ids
    assert worker.log.predictions[0].protocol == "tensorflow"


@pytest.mark.parametrize(
    "inputs", [{"a": [3, -3], "b": [3, -3]}, {"a": [[3], [-3]], "b": [[3], [-3]]}, ARRAYS], ids=["n", "n x 1", "matrix"]
)
def test_inputs_give_outputs(worker: Worker, inputs: object) -> None:
    response = ask(worker, {"inputs": inputs, "signature_name": "serving_default"})
    assert (response.status_code, response.json()) == (200, {"outputs": ["yes", "no"]})


def test_the_signature_probabilities_gives_them_in_the_order_of_the_classes(worker: Worker) -> None:
    given = ask(worker, {"instances": OBJECTS, "signature_name": "probabilities"}).json()["predictions"]
    native = worker.ask("POST", "/predict", json={"rows": OBJECTS}).json()["predictions"]
    assert given == [[row["probabilities"]["no"], row["probabilities"]["yes"]] for row in native]


def test_a_regression_predicts_numbers_and_has_no_probabilities(tmp_path: Path) -> None:
    worker = Worker(tmp_path / "worker", publish(tmp_path / "published", "regression", 1))
    worker.promote(1)
    assert ask(worker, {"instances": [[1, 2]]}).json()["predictions"] == [pytest.approx(6.0)]
    response = ask(worker, {"instances": [[1, 2]], "signature_name": "probabilities"})
    assert (response.status_code, "no probabilities" in response.json()["error"]) == (400, True)
    assert len(worker.log.predictions) == 1
    signatures = worker.ask("GET", "/v1/models/houses/metadata").json()["metadata"]["signature_def"]["signature_def"]
    assert list(signatures) == ["serving_default"]
    assert signatures["serving_default"]["outputs"]["predictions"]["dtype"] == "DT_DOUBLE"


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({}, 400, "none of them"),
        ({"instances": ARRAYS, "inputs": ARRAYS}, 400, '"instances" and "inputs"'),
        ({"instances": 1}, 400, "instances must be a list of rows, not a number"),
        ({"inputs": {"a": 1}}, 400, "inputs.a must be a list"),
        ([], 400, "the body must be an object, not a list"),
        ({"instances": [ROW], "signature_name": "other"}, 400, "no such signature"),
        ({"instances": [ROW], "signature_name": ["x"]}, 400, "no such signature"),
        ({"instances": []}, 422, "the list of rows is empty"),
        ({"instances": [[1, 2], [3]]}, 422, "instances[1] has 1 value(s)"),
        ({"instances": [{"a": 1}]}, 422, "field 'b' is missing"),
        ({"instances": [[1, "x"]]}, 422, "field 'b' must be a finite number, not a text"),
        ({"inputs": {"a": [1, 2], "b": [1]}}, 422, "field 'b' has 1 values where there are 2 rows"),
        ({"inputs": {"a": [1], "b": [1], "c": [1]}}, 422, "field 'c' is not a field of this model"),
        ({"instances": [[1, 2]] * (LIMITS.rows + 1)}, 413, f"at most {LIMITS.rows} rows"),
        ({"instances": [ROW] * (LIMITS.rows + 1)}, 413, f"at most {LIMITS.rows} rows"),
    ],
    ids=lambda value: str(value)[:50] if isinstance(value, str) else "",
)
def test_what_is_not_right_is_an_error_of_one_sentence(
    worker: Worker, body: object, status: int, sentence: str
) -> None:
    response = ask(worker, body)
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert sentence in response.json()["error"]
    assert worker.log.predictions == []


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/v1/models/flats:predict", "this service has the model 'houses' and no other"),
        ("/v1/models/houses/versions/2:predict", "version 1 is"),
        ("/v1/models/houses/versions/one:predict", "version 1 is"),
        ("/v1/models/houses/labels/canary:predict", '"champion" names the live version'),
    ],
)
def test_another_model_version_or_label_is_404_naming_what_is_there(worker: Worker, path: str, sentence: str) -> None:
    response = ask(worker, {"instances": ARRAYS}, path)
    assert response.status_code == 404
    assert sentence in response.json()["error"]
    status = worker.ask("GET", path.removesuffix(":predict"))
    assert (status.status_code, status.json()) == (404, response.json())
    assert worker.log.predictions == []


def test_a_swap_moves_what_the_version_s_path_answers(worker: Worker) -> None:
    worker.promote(2)
    assert ask(worker, {"instances": ARRAYS}, "/v1/models/houses/versions/1:predict").status_code == 404
    assert ask(worker, {"instances": ARRAYS}, "/v1/models/houses/versions/2:predict").status_code == 200


class SwappingPlane(DataPlane):
    """The pointer moves between the look at the path and the prediction."""

    async def predict(self, rows: Sequence[object], request: Request) -> Answers:
        self._follower.live = None
        self._follower.follow()
        return await super().predict(rows, request)


def test_an_answer_is_never_of_another_version_than_the_path_s(tmp_path: Path, published: Published) -> None:
    worker = Worker(tmp_path, published, plane=SwappingPlane)
    worker.promote(1)
    worker.flip(2)
    response = ask(worker, {"instances": OBJECTS}, "/v1/models/houses/versions/1:predict")
    assert (response.status_code, response.headers["x-model-version"]) == (200, "1")
    assert [batch.version for batch in worker.log.predictions] == [1]


@pytest.mark.parametrize("place", ["", "/versions/1", "/labels/champion"], ids=["model", "version", "label"])
def test_the_status_serves_tensorflow_s_clients_and_kserve_s(worker: Worker, place: str) -> None:
    fine = {"error_code": "OK", "error_message": ""}
    assert worker.ask("GET", f"/v1/models/houses{place}").json() == {
        "model_version_status": [{"version": "1", "state": "AVAILABLE", "status": fine}],
        "name": "houses",
        "ready": True,
    }
    assert worker.ask("GET", "/v1/models").json() == {"models": ["houses"]}


def test_the_metadata_says_what_predict_takes(worker: Worker) -> None:
    page = worker.ask("GET", "/v1/models/houses/metadata").json()
    assert page["model_spec"] == {"name": "houses", "signature_name": "", "version": "1"}
    signatures = page["metadata"]["signature_def"]["signature_def"]
    inputs = signatures["serving_default"]["inputs"]
    assert {name: tensor["dtype"] for name, tensor in inputs.items()} == {"a": "DT_DOUBLE", "b": "DT_DOUBLE"}
    asked = {name: [1.0] for name in inputs}
    for name, signature in signatures.items():
        outputs = ask(worker, {"inputs": asked, "signature_name": name}).json()["outputs"]
        (tensor,) = signature["outputs"].values()
        assert len(tensor["tensor_shape"]["dim"]) == (2 if isinstance(outputs[0], list) else 1)


def test_without_a_model_all_of_it_is_503(tmp_path: Path, published: Published) -> None:
    worker = Worker(tmp_path, published)
    for response in (ask(worker, {"instances": ARRAYS}), worker.ask("GET", "/v1/models/houses")):
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert "no model version is live yet" in response.json()["error"]


FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("headers", [{}, FORM], ids=["none", "form"])
def test_the_content_type_may_be_left_to_the_client_s_library(worker: Worker, headers: dict[str, str]) -> None:
    body = json.dumps({"instances": ARRAYS}).encode()
    assert worker.ask("POST", PREDICT, content=body, headers=headers).json() == {"predictions": ["yes", "no"]}


def test_other_content_types_are_refused_in_the_protocol_s_shape(worker: Worker) -> None:
    response = worker.ask("POST", PREDICT, content=b"--x", headers={"content-type": "multipart/form-data; boundary=x"})
    assert (response.status_code, list(response.json())) == (415, ["error"])
