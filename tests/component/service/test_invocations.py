"""`/invocations` and its probes, as MLflow and SageMaker use them, behind the gate."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.component.service.making import LIMITS, ROW, Published, Worker, publish

ROWS = [{"a": 3.0, "b": 3.0}, {"a": -3.0, "b": -3.0}]
ARRAYS = [[3.0, 3.0], [-3.0, -3.0]]
HEADER, NO_HEADER = "b,a\n3,3.0\n-3.0,-3\n", "3,3\n-3,-3\n"
CSV = {"content-type": "text/csv"}
JSON = {"content-type": "application/json"}


def ask(worker: Worker, body: object, **headers: str) -> Any:
    if isinstance(body, str | bytes):
        return worker.ask("POST", "/invocations", content=body, headers=CSV | headers)
    return worker.ask("POST", "/invocations", json=body, headers=headers)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["b", "a"], "index": [0, 1], "data": ARRAYS}},
        {"dataframe_records": ROWS},
        {"instances": ARRAYS},
        {"instances": ROWS},
        {"inputs": ARRAYS},
        {"inputs": {"a": [3, -3], "b": [3, -3]}},
        {"inputs": ROWS, "params": {"temperature": 0.5}},
    ],
    ids=["split", "records", "instances", "instance objects", "inputs", "input columns", "params of another model"],
)
def test_each_of_mlflow_s_forms_gives_predictions(worker: Worker, body: object) -> None:
    response = ask(worker, body)
    assert (response.status_code, response.json()) == (200, {"predictions": ["yes", "no"]})
    (batch,) = worker.log.predictions
    assert (batch.protocol, response.headers["x-prediction-ids"]) == ("mlflow", ",".join(batch.ids))


@pytest.mark.parametrize(
    ("body", "protocol"), [(HEADER, "mlflow"), (NO_HEADER, "sagemaker")], ids=["mlflow", "sagemaker"]
)
def test_csv_without_a_header_is_sagemaker_s(worker: Worker, body: str, protocol: str) -> None:
    response = ask(worker, body)
    assert (response.status_code, response.json()) == (200, {"predictions": ["yes", "no"]})
    assert worker.log.predictions[0].protocol == protocol


def test_params_may_ask_for_probabilities(worker: Worker) -> None:
    given = ask(worker, {"instances": ROWS, "params": {"probabilities": True}}).json()["predictions"]
    native = worker.ask("POST", "/predict", json={"rows": ROWS}).json()["predictions"]
    assert given == [list(row["probabilities"].values()) for row in native]


@pytest.mark.parametrize(
    ("accept", "media_type", "body"),
    [
        ("*/*", "application/json", b'{"predictions":["yes","no"]}'),
        ("application/json", "application/json", b'{"predictions":["yes","no"]}'),
        ("text/csv", "text/csv", b"yes\nno\n"),
        ("text/*;q=0.5", "text/csv", b"yes\nno\n"),
        ("text/csv;q=0.1, */*", "application/json", b'{"predictions":["yes","no"]}'),
        ("text/csv; q=0.9, application/json;q=0.8", "text/csv", b"yes\nno\n"),
        ("application/jsonlines", "application/jsonlines", b'{"prediction":"yes"}\n{"prediction":"no"}\n'),
        ("image/png", "application/json", b'{"predictions":["yes","no"]}'),
        ("text/csv;q=much", "application/json", b'{"predictions":["yes","no"]}'),
        (",;=\xff", "application/json", b'{"predictions":["yes","no"]}'),
    ],
    ids=["any", "json", "csv", "text", "rather not csv", "rather csv", "lines", "image", "no number", "nonsense"],
)
@pytest.mark.parametrize("asked", [HEADER, {"instances": ARRAYS}], ids=["csv", "json"])
def test_the_answer_has_the_form_that_accept_prefers(
    worker: Worker, asked: object, accept: str, media_type: str, body: bytes
) -> None:
    headers = [
        ("accept", accept.encode("latin-1")),
        ("content-type", "text/csv" if asked == HEADER else "application/json"),
    ]
    content = asked if isinstance(asked, str) else json.dumps(asked)
    response = worker.ask("POST", "/invocations", content=content, headers=headers)
    assert (response.status_code, response.headers["content-type"], response.content) == (200, media_type, body)


def test_probabilities_as_csv_are_one_row_per_line_of_the_same_doubles(worker: Worker) -> None:
    body = {"instances": ARRAYS, "params": {"probabilities": True}}
    lines = ask(worker, body, accept="text/csv").text.splitlines()
    assert [[float(cell) for cell in line.split(",")] for line in lines] == ask(worker, body).json()["predictions"]


def test_headers_that_nobody_knows_are_ignored(worker: Worker) -> None:
    response = ask(worker, HEADER, **{"X-Amzn-SageMaker-Custom-Attributes": "x", "X-Amzn-SageMaker-Target-Model": "y"})
    assert response.status_code == 200


def test_what_is_missing_in_a_frame_may_be_nan_as_mlflow_s_client_writes_it(worker: Worker) -> None:
    body = json.dumps({"dataframe_split": {"columns": ["a", "b"], "data": [[float("nan"), 1.0]]}})
    response = worker.ask("POST", "/invocations", content=body, headers=JSON)
    assert response.status_code == 400
    assert "field 'a' must not be null" in response.json()["message"]
    text = json.dumps({"instances": [[1.0, "NaN \\" + '"NaN']], "params": {"x": float("nan")}})
    assert (
        "field 'b' must be a finite number, not a text"
        in (worker.ask("POST", "/invocations", content=text, headers=JSON).json()["message"])
    )


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({}, 400, "none of them"),
        ({"inputs": ARRAYS, "instances": ARRAYS}, 400, '"instances" and "inputs"'),
        ({"dataframe_split": ARRAYS}, 400, "dataframe_split must be an object with columns and data"),
        ({"dataframe_records": ROW}, 400, "dataframe_records must be a list of rows, not an object"),
        ({"instances": [ROW], "params": 1}, 400, '"params" must be an object, not a number'),
        ({"instances": []}, 400, "the list of rows is empty"),
        ({"instances": [{"a": 1}]}, 400, "field 'b' is missing"),
        ({"inputs": {"a": [1], "b": ["x"]}}, 400, "field 'b' must be a finite number, not a text"),
        ({"instances": [ROW] * (LIMITS.rows + 1)}, 413, f"at most {LIMITS.rows} rows"),
        ([ROW], 400, "the body must be an object, not a list"),
        ("1,2,3\n", 400, "row[0] has 3 value(s) where there are 2 columns, in this order: a, b"),
        ("a,b\n1,x\n", 400, "row 0, field 'b' must be a finite number, not a text"),
        ("1,NaN\n", 400, "row 0, field 'b' must be a finite number, not a text"),
        ("1,inf\n", 400, "row 0, field 'b' must be a finite number, not a text"),
        ("1,\n", 400, "row 0, field 'b' must not be null"),
        ("", 400, "the list of rows is empty"),
        (b"\xff", 400, "the body is not UTF-8"),
        ("1,1\n" * (LIMITS.rows + 1), 413, f"at most {LIMITS.rows} rows"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else "",
)
def test_what_is_not_right_is_mlflow_s_error(worker: Worker, body: object, status: int, sentence: str) -> None:
    response = ask(worker, body)
    assert (response.status_code, set(response.json())) == (status, {"error_code", "message"})
    assert response.json()["error_code"] == "BAD_REQUEST"
    assert sentence in response.json()["message"]
    assert worker.log.predictions == []


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data; boundary=x",
        "application/vnd.bentoml+pickle",
        "application/x-npy",
        "text/csv; charset=utf-16",
        "application/json;charset=latin-1",
        "",
    ],
)
def test_other_types_and_character_sets_are_415(worker: Worker, kind: str) -> None:
    response = worker.ask("POST", "/invocations", content=b"--x\r\n", headers={"content-type": kind})
    assert (response.status_code, response.json()["error_code"]) == (415, "BAD_REQUEST")


def test_utf_8_may_be_named(worker: Worker) -> None:
    for kind in ("text/csv; charset=utf-8", 'Text/CSV; header=present; charset="UTF-8"'):
        assert worker.ask("POST", "/invocations", content=HEADER, headers={"content-type": kind}).status_code == 200


def test_numbers_leave_as_csv_in_full(tmp_path: Path) -> None:
    worker = Worker(tmp_path / "worker", publish(tmp_path / "published", "regression", 1))
    worker.promote(1)
    as_json = ask(worker, "0.1,0.2\n1e-9,3\n").json()["predictions"]
    assert [float(line) for line in ask(worker, "0.1,0.2\n1e-9,3\n", accept="text/csv").text.splitlines()] == as_json


@pytest.mark.parametrize("path", ["/ping", "/health"])
def test_a_probe_is_an_empty_200_once_a_model_is_live(tmp_path: Path, published: Published, path: str) -> None:
    worker = Worker(tmp_path, published)
    assert worker.ask("GET", path).status_code == 503
    worker.promote(1)
    response = worker.ask("GET", path)
    assert (response.status_code, response.content) == (200, b"")


def test_the_version_is_this_product_s(worker: Worker) -> None:
    response = worker.ask("GET", "/version")
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text[0].isdigit()


@pytest.mark.parametrize(
    ("body_bytes", "waiting", "size", "at_once"),
    [(8 * 2**20, 64, 8, 12), (2_000, 4, 1, 4), (2**30, 64, 100, 1), (60 * 2**20, 64, 60, 1)],
)
def test_batches_are_as_large_as_a_body_may_be_and_no_more_at_once_than_sagemaker_allows(
    tmp_path: Path, published: Published, body_bytes: int, waiting: int, size: int, at_once: int
) -> None:
    worker = Worker(tmp_path, published, limits=replace(LIMITS, body_bytes=body_bytes, waiting=waiting))
    found = worker.ask("GET", "/execution-parameters").json()
    assert found == {"MaxConcurrentTransforms": at_once, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": size}
    assert size * at_once <= 100
