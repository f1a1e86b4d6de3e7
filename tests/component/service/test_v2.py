"""The Open Inference Protocol V2, from request to response, behind the gate."""

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.contract import Columns, Contract, Target
from lifecycle.ids import is_uuid7
from lifecycle.models import Model
from lifecycle.records import PredictionBatch
from service.exchange import Request
from service.gate import Gate
from service.plane import Answers, DataPlane
from service.protocols.tensors import DATATYPES, write
from service.protocols.tensors import Tensor as Written
from tests import builders
from tests.component.service.making import LIMITS, Published, Worker, framework, through

INFER = "/v2/models/houses/infer"
MANY = replace(LIMITS, rows=200, waiting=200)
LENGTH = "inference-header-content-length"
ROWS = [{"a": 0.1 * index - 3, "b": 2.7 - index / 7} for index in range(40)]
CONTRACT = builders.contract()
ALL_KINDS: dict[str, tuple[str, list[Any]]] = {
    "size": ("FP64", [2.5, 0.1]),
    "rooms": ("INT64", [3, -4]),
    "new": ("BOOL", [True, False]),
    "town": ("BYTES", ["Ghent", None]),
    "sold": ("BYTES", ["2024-05-01T12:00:00Z", None]),
}


class Summing:
    """Answers in the middle of a call, or in the thread when `inline_rows` is 0: the first class with `size` as its
    probability."""

    def __init__(self, contract: Contract, inline_rows: int = 1_000) -> None:
        self._contract = contract
        self.inline_rows = inline_rows

    def predict(self, columns: Columns) -> tuple[list[Any], dict[str, list[float]]]:
        sizes = [float(value) for value in columns["size"]]
        first, *others = self._contract.target.class_texts or ("",)
        if not first:
            return sizes, {}
        return [first] * len(sizes), {first: sizes} | {other: [0.0] * len(sizes) for other in others}


def serve(worker: Worker, contract: Contract, inline_rows: int = 1_000) -> None:
    """Make a model under `contract` live."""
    live = worker.follower.live
    assert live is not None
    worker.follower.live = replace(live, model=Model(live.version, contract, Summing(contract, inline_rows)))


def changed(**changes: Any) -> Contract:
    """The contract of all kinds with other columns or another target."""
    return Contract(**{"target": CONTRACT.target, "columns": CONTRACT.columns} | changes)


@pytest.fixture
def wide(tmp_path: Path, published: Published) -> Worker:
    """Takes more rows and longer bodies than the others."""
    worker = Worker(tmp_path, published, limits=MANY)
    worker.body_limit_bytes = 100_000
    worker.promote(1)
    return worker


@pytest.fixture
def mixed(wide: Worker) -> Worker:
    """Its model takes features of every kind."""
    serve(wide, CONTRACT)
    return wide


def tensor(name: str, datatype: str, data: Sequence[Any], shape: Sequence[int] | None = None) -> dict[str, Any]:
    return {"name": name, "shape": list(shape or [len(data)]), "datatype": datatype, "data": list(data)}


def infer(worker: Worker, inputs: Sequence[Any], path: str = INFER, **more: Any) -> httpx.Response:
    return worker.ask("POST", path, json={"inputs": inputs, **more})


def infer_bytes(worker: Worker, inputs: Sequence[Mapping[str, Any]], **more: Any) -> httpx.Response:
    """As Triton's client does: values behind the JSON, and no content type."""
    tensors = [Written(item["name"], item["datatype"], item["shape"], item["data"]) for item in inputs]
    body, length = write({}, tensors, [item.name for item in tensors])
    described = orjson.loads(body[:length])["outputs"]
    header = orjson.dumps({"inputs": described, **more})
    content = header + body[length:]
    return worker.ask("POST", INFER, content=content, headers={LENGTH: str(len(header))})


def by_name(response: httpx.Response) -> dict[str, dict[str, Any]]:
    assert response.status_code == 200, response.text
    return {output["name"]: output for output in response.json()["outputs"]}


def error(response: httpx.Response) -> str:
    """The sentence of a refusal in the protocol's shape."""
    body = response.json()
    assert list(body) == ["error"]
    return str(body["error"])


def column(name: str, datatype: str = "FP64") -> dict[str, Any]:
    return tensor(name, datatype, [row[name] for row in ROWS])


def matrix(datatype: str = "FP64") -> dict[str, Any]:
    return tensor("anything", datatype, [row[name] for row in ROWS for name in ("a", "b")], [len(ROWS), 2])


def nested() -> dict[str, Any]:
    return {**matrix(), "data": [[row["a"], row["b"]] for row in ROWS]}


def reshaped(name: str) -> dict[str, Any]:
    return {**column(name), "shape": [len(ROWS), 1]}


LAYOUTS = {
    "one tensor per feature": [column("a"), column("b")],
    "in another order": [column("b"), column("a")],
    "of one column each": [reshaped("a"), reshaped("b")],
    "one of each shape": [reshaped("a"), column("b")],
    "one matrix": [matrix()],
    "one nested matrix": [nested()],
}


@pytest.mark.parametrize("binary", [False, True], ids=["json", "bytes"])
@pytest.mark.parametrize("few", [False, True], ids=["many", "few"])
@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_every_layout_gives_the_numbers_that_the_native_protocol_gives(
    wide: Worker, layout: str, few: bool, binary: bool
) -> None:
    rows = 3 if few else len(ROWS)
    native = wide.ask("POST", "/predict", json={"rows": ROWS[:rows]}).json()["predictions"]
    inputs = [shortened(item, rows) for item in LAYOUTS[layout]]
    if binary and layout == "one nested matrix":
        inputs = [shortened(matrix(), rows)]
    outputs = by_name((infer_bytes if binary else infer)(wide, inputs))
    assert outputs["prediction"]["data"] == [row["prediction"] for row in native]
    assert outputs["probabilities"]["data"] == [row["probabilities"][name] for row in native for name in ("no", "yes")]
    one, other = wide.log.predictions
    assert {name: list(values) for name, values in one.columns.items()} == {
        name: list(values) for name, values in other.columns.items()
    }


def shortened(item: Mapping[str, Any], rows: int) -> dict[str, Any]:
    per_row = len(item["data"]) // len(ROWS)
    return {**item, "shape": [rows, *item["shape"][1:]], "data": item["data"][: rows * per_row]}


@pytest.mark.parametrize("binary", [False, True], ids=["json", "bytes"])
def test_features_of_every_kind_reach_the_log_as_they_do_natively(mixed: Worker, binary: bool) -> None:
    rows = [{name: data[row] for name, (_, data) in ALL_KINDS.items()} for row in (0, 1)]
    mixed.ask("POST", "/predict", json={"rows": rows}).raise_for_status()
    inputs = [tensor(name, datatype, data) for name, (datatype, data) in ALL_KINDS.items()]
    if binary:
        inputs = [shorter for item in inputs if (shorter := {**item, "shape": [1], "data": item["data"][:1]})]
    by_name((infer_bytes if binary else infer)(mixed, inputs))
    native, v2 = mixed.log.predictions
    count = 1 if binary else 2
    assert {name: values[:count] for name, values in native.columns.items()} == v2.columns


def test_every_row_has_one_record_that_names_the_protocol_and_the_answer(worker: Worker) -> None:
    response = infer(worker, [tensor("a", "FP64", [3, -3]), tensor("b", "FP64", [3, -3])])
    outputs = by_name(response)
    (batch,) = worker.log.predictions
    assert (batch.protocol, batch.version) == ("v2", 1)
    assert batch.request_id == response.headers["x-request-id"]
    assert batch.ids == outputs["id"]["data"]
    assert all(map(is_uuid7, batch.ids))
    assert batch.predictions == outputs["prediction"]["data"] == ["yes", "no"]
    assert list(np.array([*batch.probabilities.values()]).T.ravel()) == outputs["probabilities"]["data"]
    assert (response.json()["model_name"], response.json()["model_version"]) == ("houses", "1")
    assert response.headers["x-model-version"] == "1"


def test_the_ids_are_those_that_feedback_takes(worker: Worker) -> None:
    outputs = by_name(infer(worker, [tensor("x", "FP64", [1, 2], [1, 2])]))
    worker.clock.at = 2**53
    labels = [{"id": outputs["id"]["data"][0], "label": "yes"}]
    assert worker.ask("POST", "/feedback", json={"labels": labels}).json()["accepted"] == 1


def filled(described: Mapping[str, Any]) -> dict[str, Any]:
    """A tensor of two rows such as metadata describes."""
    samples = {"FP64": 1.0, "INT64": 1, "BOOL": True, "BYTES": "2024-05-01"}
    shape = [2 if size == -1 else size for size in described["shape"]]
    return tensor(described["name"], described["datatype"], [samples[described["datatype"]]] * math.prod(shape), shape)


@pytest.mark.parametrize(
    ("classes", "datatype"),
    [(("no", "yes"), "BYTES"), ((0, 1, 2), "INT64"), ((False, True), "BOOL"), ((1, "x"), "BYTES"), ((), "FP64")],
    ids=str,
)
def test_what_metadata_describes_is_what_infer_takes_and_gives(
    mixed: Worker, classes: tuple[Any, ...], datatype: str
) -> None:
    task = "binary" if len(classes) == 2 else "multiclass" if classes else "regression"
    target = Target.model_validate({"name": "target", "task": task, "classes": classes})
    serve(mixed, changed(target=target))
    metadata = mixed.ask("GET", "/v2/models/houses").json()
    assert (metadata["name"], metadata["versions"]) == ("houses", ["1"])
    assert [(item["name"], item["datatype"]) for item in metadata["inputs"]] == [
        (name, kind) for name, (kind, _) in ALL_KINDS.items()
    ]
    inputs = [filled(item) for item in metadata["inputs"]]
    for response in (infer(mixed, inputs), infer_bytes(mixed, inputs)):
        given = response.json()["outputs"]
        assert [(item["name"], item["datatype"]) for item in given] == [
            (item["name"], item["datatype"]) for item in metadata["outputs"]
        ]
        for found, promised in zip(given, metadata["outputs"], strict=True):
            assert len(found["shape"]) == len(promised["shape"])
            assert all(size in (-1, given) for size, given in zip(promised["shape"], found["shape"], strict=True))
            assert len(found["data"]) == math.prod(found["shape"])
    assert metadata["outputs"][0]["datatype"] == datatype
    first = by_name(infer(mixed, inputs))["prediction"]["data"][0]
    assert repr(first) == repr((classes or (1.0,))[0] if datatype != "BYTES" else target.class_texts[0])
    names = {item["name"]: item.get("parameters", {}) for item in metadata["outputs"]}
    assert list(names.get("probabilities", {}).values()) == list(target.class_texts)


def test_as_bytes_every_output_is_what_it_is_in_json(worker: Worker) -> None:
    inputs = [tensor("x", "FP64", [1, 2, -3, -4], [2, 2])]
    response = infer(worker, inputs, parameters={"binary_data_output": True})
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers[LENGTH])
    rest, found = response.content[length:], {}
    for output in orjson.loads(response.content[:length])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        found[output["name"]], rest = rest[:size], rest[size:]
    assert rest == b""
    batch = worker.log.predictions[-1]
    assert found["prediction"] == b"\3\0\0\0yes\2\0\0\0no"
    assert found["id"] == b"".join(b"\x24\0\0\0" + identifier.encode() for identifier in batch.ids)
    probabilities = np.frombuffer(found["probabilities"], DATATYPES["FP64"].dtype).reshape(2, 2)
    assert probabilities.T.tolist() == list(batch.probabilities.values())


def test_outputs_choose_and_order_and_each_says_whether_it_is_bytes(worker: Worker) -> None:
    inputs = [tensor("x", "FP64", [1, 2], [1, 2])]
    outputs = [{"name": "id"}, {"name": "prediction", "parameters": {"binary_data": True}}]
    response = infer(worker, inputs, outputs=outputs, id="mine")
    length = int(response.headers[LENGTH])
    header = orjson.loads(response.content[:length])
    assert response.content[length:] == b"\3\0\0\0yes"
    assert [output["name"] for output in header["outputs"]] == ["id", "prediction"]
    assert "data" in header["outputs"][0]
    assert header["id"] == "mine"
    everything = infer(worker, inputs, outputs=[]).json()
    assert [output["name"] for output in everything["outputs"]] == ["prediction", "probabilities", "id"]
    assert "id" not in everything


def test_nan_and_null_are_missing_where_a_feature_may_be(wide: Worker) -> None:
    size, column = CONTRACT.columns[0], builders.numeric_contract().columns[1]
    serve(wide, changed(columns=(size, column.model_copy(update={"nullable": True}))))
    for rows in (2, 50):
        data = [math.nan, 1.0] * (rows // 2)
        nulls = [None, 1.0] * (rows // 2)
        sizes = tensor("size", "FP64", [1.0] * rows)
        for response in (
            infer_bytes(wide, [sizes, tensor("b", "FP64", data)]),
            infer(wide, [sizes, tensor("b", "FP64", nulls)]),
            infer_bytes(
                wide, [tensor("x", "FP32", list(chain.from_iterable(zip(sizes["data"], data, strict=True))), [rows, 2])]
            ),
        ):
            assert response.status_code == 200, response.text
            assert missing(wide.log.predictions[-1], "b") == [True, False] * (rows // 2)
        refused = infer_bytes(wide, [tensor("size", "FP64", data), tensor("b", "FP64", data)])
        assert refused.status_code == 422
        assert error(refused).endswith("row 0, field 'size' must not be null")


def missing(batch: PredictionBatch, name: str) -> list[bool]:
    return [value is None or math.isnan(value) for value in batch.columns[name]]


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
@pytest.mark.parametrize("rows", [2, 100])
def test_one_matrix_serves_numbers_integers_and_flags_alike(wide: Worker, rows: int, datatype: str) -> None:
    serve(wide, changed(columns=CONTRACT.columns[:3]))
    data = [value for index in range(rows) for value in (index / 4, index, index % 2)]
    by_name(infer_bytes(wide, [tensor("x", datatype, data, [rows, 3])]))
    columns = wide.log.predictions[-1].columns
    assert [list(values) for values in columns.values()] == [data[index::3] for index in range(3)]
    assert {type(value) for value in list(columns["rooms"])[:1]} <= {int, np.int64}
    assert {type(value) for value in list(columns["new"])[:1]} <= {bool, np.bool_}


@pytest.mark.parametrize("rows", [1, 40])
@pytest.mark.parametrize(
    ("name", "datatype", "value", "sentence"),
    [
        ("size", "FP64", math.inf, "must be a finite number, not a number"),
        ("size", "BYTES", "big", "must be a finite number, not a text"),
        ("size", "BOOL", True, "must be a finite number, not a boolean"),
        ("rooms", "FP64", 1.5, "must be a whole number within 64 bits, not a number"),
        ("rooms", "FP64", 2.0**63, "must be a whole number within 64 bits, not a number"),
        ("rooms", "FP64", -math.inf, "must be a whole number within 64 bits, not a number"),
        ("rooms", "UINT64", 2**63, "must be a whole number within 64 bits, not an integer"),
        ("new", "INT8", 2, "must be true or false, not an integer"),
        ("town", "INT64", 1, "must be a text of at most 1000 characters, not an integer"),
        ("sold", "BYTES", "soon", "must be a date and time in ISO 8601, not a text"),
    ],
)
def test_a_broken_contract_is_422_with_row_field_and_problem(
    mixed: Worker, name: str, datatype: str, value: Any, sentence: str, rows: int
) -> None:
    good = {item: tensor(item, kind, data[:1] * rows) for item, (kind, data) in ALL_KINDS.items()}
    wrong = tensor(name, datatype, [value] * rows)
    response = infer_bytes(mixed, [*(good | {name: wrong}).values()])
    assert response.status_code == 422
    assert f"row 0, field {name!r} {sentence}" in error(response)
    assert not mixed.log.predictions


A, B = tensor("a", "FP64", [1, 2]), tensor("b", "FP64", [1, 2])
UNANSWERABLE: list[tuple[Any, int, str]] = [
    (b"", 400, "not valid JSON"),
    (b"[]", 400, 'an object with a list "inputs"'),
    (b'{"inputs": {}}', 400, 'an object with a list "inputs"'),
    (b'{"inputs": []}', 400, "at least one tensor"),
    ({"inputs": [A, B], "id": 7}, 400, "id must be a text"),
    ({"inputs": [A, B], "parameters": []}, 400, "parameters of the request must be an object"),
    ({"inputs": [A, B], "parameters": {"binary_data_output": 1}}, 400, "must be true or false"),
    ({"inputs": [A, B], "outputs": {}}, 400, "outputs must be a list"),
    ({"inputs": [A, B], "outputs": ["id"]}, 400, "prediction, probabilities, id, not something that has no name"),
    ({"inputs": [A, B], "outputs": [{"name": []}]}, 400, "not something that has no name"),
    ({"inputs": [A, B], "outputs": [{"name": "logits"}]}, 400, "not 'logits'"),
    ({"inputs": [A, B], "outputs": [{"name": "id"}, {"name": "id"}]}, 400, "must name another of"),
    ({"inputs": [A, B], "outputs": [{"name": "id", "parameters": 1}]}, 400, "of output 'id' must be an object"),
    (
        {"inputs": [A, B], "outputs": [{"name": "probabilities", "parameters": {"classification": 1}}]},
        400,
        "asks for classification, which is not available",
    ),
    ({"inputs": [A, tensor("b", "FP64", [1])]}, 400, "input 'b' has 1 rows, input 'a' has 2"),
    ({"inputs": [A, tensor("b", "FP64", [1] * 6, [2, 3])]}, 400, "input 'b' has 3 columns; send one tensor per"),
    ({"inputs": [tensor("x", "FP64", [1] * 3, [1, 3])]}, 400, "a single tensor of 2 columns"),
    ({"inputs": [A, A]}, 400, "two of inputs have the same name"),
    ({"inputs": [A] * 4}, 400, "inputs holds 4 tensors; the model has no more than 3 fields"),
    ({"inputs": [A]}, 422, "field 'b' is missing"),
    ({"inputs": [A, B, tensor("c", "FP64", [1, 2])]}, 422, "field 'c' is not a field of this model"),
    ({"inputs": [tensor("x", "FP64", [], [0, 2])]}, 422, "the list of rows is empty"),
    ({"inputs": [tensor("a", "BOOL", [True] * 21), tensor("b", "BOOL", [True] * 21)]}, 413, "at most 20 rows"),
    (b" " * 2_001, 413, "larger than 2000 bytes"),
]


@pytest.mark.parametrize(("content", "status", "sentence"), UNANSWERABLE, ids=[case[2] for case in UNANSWERABLE])
def test_what_cannot_be_answered_is_refused_in_the_protocols_shape(
    worker: Worker, content: Any, status: int, sentence: str
) -> None:
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    response = worker.ask("POST", INFER, content=body, headers={"content-type": "application/json"})
    assert response.status_code == status, response.text
    assert sentence in error(response)
    assert not worker.log.predictions


def test_probabilities_are_left_out_or_refused_where_a_model_predicts_numbers(mixed: Worker) -> None:
    target = Target(name="target", task="regression")
    serve(mixed, changed(target=target))
    inputs = [tensor(name, datatype, data) for name, (datatype, data) in ALL_KINDS.items()]
    assert list(by_name(infer(mixed, inputs))) == ["prediction", "id"]
    refused = infer(mixed, inputs, outputs=[{"name": "probabilities"}])
    assert (refused.status_code, error(refused)) == (
        400,
        "each of outputs must name another of prediction, id, not 'probabilities'",
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/houses", 200),
        ("GET", "/v2/models/houses/versions/1", 200),
        ("GET", "/v2/models/houses/versions/1/ready", 200),
        ("GET", "/v2/models/houses/ready", 200),
        ("POST", "/v2/models/houses/versions/1/infer", 200),
        ("GET", "/v2/models/barns", 404),
        ("GET", "/v2/models/barns/ready", 404),
        ("POST", "/v2/models/barns/infer", 404),
        ("GET", "/v2/models/houses/versions/2", 404),
        ("GET", "/v2/models/houses/versions/2/ready", 404),
        ("POST", "/v2/models/houses/versions/2/infer", 404),
        ("POST", "/v2/models/houses/versions/01/infer", 404),
        ("POST", "/v2/models/houses/versions/latest/infer", 404),
        ("GET", "/v2/models/%F0%9F%8F%A0%0a/ready", 404),
    ],
)
def test_only_the_live_version_of_the_one_model_is_found(worker: Worker, method: str, path: str, status: int) -> None:
    content = {"json": {"inputs": [A, B]}} if method == "POST" else {}
    response = worker.ask(method, path, **content)
    assert response.status_code == status, response.text
    if status == 404:
        assert ("version 1 is" if "versions" in path else "this service's is 'houses'") in error(response)
        assert not worker.log.predictions


def test_the_server_says_what_it_is_and_whether_it_is_ready(tmp_path: Path, published: Published) -> None:
    worker = Worker(tmp_path, published)
    server = worker.ask("GET", "/v2").json()
    assert (list(server), server["name"]) == (["name", "version", "extensions"], "evenkeel")
    assert "binary_tensor_data" in server["extensions"]
    assert worker.ask("GET", "/v2/health/live").json() == {"live": True}
    paths = ["/v2/health/ready", "/v2/models/houses/ready", "/v2/models/houses", "/v2/models/houses/versions/1/ready"]
    for path in paths:
        response = worker.ask("GET", path)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert "no model version is live yet" in error(response)
    assert infer(worker, [A, B]).status_code == 503
    worker.promote(1)
    for path in paths:
        assert worker.ask("GET", path).status_code == 200
    assert worker.ask("GET", "/v2/health/ready").json() == {"ready": True}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "application/octet-stream"}, 200),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "application/vnd.bentoml+pickle"}, 415),
    ],
    ids=str,
)
def test_clients_may_say_nothing_of_the_content(worker: Worker, headers: dict[str, str], status: int) -> None:
    """Triton's client sends no content type."""
    response = worker.ask("POST", INFER, content=orjson.dumps({"inputs": [A, B]}), headers=headers)
    assert response.status_code == status, response.text
    if status == 415:
        assert "application/json" in error(response)


def test_a_swap_shows_in_metadata_and_answers_alike(worker: Worker) -> None:
    worker.promote(2)
    assert worker.ask("GET", "/v2/models/houses").json()["versions"] == ["2"]
    assert worker.ask("GET", "/v2/models/houses/versions/1/ready").status_code == 404
    response = infer(worker, [A, B], "/v2/models/houses/versions/2/infer")
    assert (response.json()["model_version"], response.headers["x-model-version"]) == ("2", "2")


class Swapping(DataPlane):
    """Its model is swapped between the adapter's look at it and the prediction."""

    async def predict_columns(self, columns: Mapping[str, Any], count: int, request: Request) -> Answers:
        live = self._follower.live
        assert live is not None
        self._follower.live = replace(live, model=replace(live.model, number=live.version + 1))
        return await super().predict_columns(columns, count, request)


def test_a_swap_meanwhile_changes_nothing_for_the_version_that_was_named(tmp_path: Path, published: Published) -> None:
    worker = Worker(tmp_path, published, plane=Swapping)
    worker.promote(1)
    response = infer(worker, [A, B], "/v2/models/houses/versions/1/infer")
    assert (response.json()["model_version"], response.headers["x-model-version"]) == ("1", "1")
    assert [batch.version for batch in worker.log.predictions] == [1]
    response = infer(worker, [A, B])
    assert (response.json()["model_version"], response.headers["x-model-version"]) == ("2", "2")


def asked_together(worker: Worker, sizes: Sequence[float]) -> list[list[float]]:
    """One caller per size, all at once; what each is answered for its own rows: its size and, on, ten more."""
    app = Gate(framework(), worker)

    async def one(size: float) -> list[float]:
        rows = [size + index for index in range(10)]
        good = {name: tensor(name, datatype, data[:1] * 10) for name, (datatype, data) in ALL_KINDS.items()}
        inputs = [*(good | {"size": tensor("size", "FP64", rows)}).values()]
        response = await through(app, "POST", INFER, json={"inputs": inputs})
        return [float(value) for value in by_name(response)["probabilities"]["data"][::2]]

    async def together() -> list[list[float]]:
        return await asyncio.gather(*map(one, sizes))

    return asyncio.run(together())


def own(sizes: Sequence[float]) -> list[list[float]]:
    return [[size + index for index in range(10)] for size in sizes]


SIZES = [100.0 * caller for caller in range(60)]


@pytest.mark.parametrize("inline_rows", [0, 1_000], ids=["in the thread", "at once"])
def test_callers_at_the_same_time_get_the_answers_to_their_own_rows(wide: Worker, inline_rows: int) -> None:
    serve(wide, CONTRACT, inline_rows)
    assert asked_together(wide, SIZES) == own(SIZES)
    recorded = sorted(float(batch.columns["size"][0]) for batch in wide.log.predictions)
    assert recorded == SIZES
    for batch in wide.log.predictions:
        assert list(batch.columns["size"]) == batch.probabilities["no"]


class Mixing(DataPlane):
    """Answers everybody who waits with the rows of whoever came last: what must never happen."""

    last: Mapping[str, Any]

    async def predict_columns(self, columns: Mapping[str, Any], count: int, request: Request) -> Answers:
        self.last = columns
        await asyncio.sleep(0)
        return await super().predict_columns(self.last, count, request)


def test_the_check_of_callers_sees_one_that_gets_anothers_answers(tmp_path: Path, published: Published) -> None:
    worker = Worker(tmp_path, published, plane=Mixing, limits=MANY)
    worker.body_limit_bytes = 100_000
    worker.promote(1)
    serve(worker, CONTRACT)
    assert asked_together(worker, SIZES) != own(SIZES)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory, published: Published) -> Worker:
    """One worker for many examples."""
    worker = Worker(tmp_path_factory.mktemp("lasting"), published)
    worker.promote(1)
    return worker


WORDS = ["name", "shape", "datatype", "data", "parameters", "binary_data_size", "a", "b", "FP64", "BYTES", "id"]
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**70) | st.sampled_from(WORDS) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
)


@given(
    first=st.just(A) | JUNK,
    second=st.just(B) | JUNK,
    more=st.dictionaries(st.sampled_from(["id", "outputs", "parameters", "inputs"]), JUNK, max_size=2),
    tail=st.binary(max_size=20),
    header=st.none() | st.integers(-5, 400),
)
def test_nothing_that_a_client_sends_is_answered_with_a_server_error(
    lasting: Worker, first: Any, second: Any, more: dict[str, Any], tail: bytes, header: int | None
) -> None:
    body = json.dumps({"inputs": [first, second], **more}).encode()
    headers = {} if header is None else {LENGTH: str(header)}
    response = lasting.ask("POST", INFER, content=body + tail, headers=headers)
    assert response.status_code in (200, 400, 413, 422), response.text
    if response.status_code != 200:
        assert error(response)
