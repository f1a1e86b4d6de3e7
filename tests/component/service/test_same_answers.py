"""One data plane: the same rows have the same answers, to the last bit, however they are written, and one record each."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc

from service.exchange import Request
from service.plane import Answers, DataPlane
from service.protocols.arrow import ARROW
from tests.component.service.making import Published, Worker, publish

NAMES = ("a", "b")
ROWS = [
    dict(zip(NAMES, pair, strict=True)) for pair in np.random.default_rng(3).normal(scale=1e-3, size=(12, 2)).tolist()
]
ARRAYS = [list(row.values()) for row in ROWS]
COLUMNS = {name: [row[name] for row in ROWS] for name in NAMES}
SPLIT = {"columns": list(NAMES), "data": ARRAYS}
ASKED = {"probabilities": True}


@dataclass(frozen=True)
class Way:
    """How rows are written in one protocol, and how the answers are read: labels or probabilities, as `read` says."""

    protocol: str
    path: str
    body: bytes
    read: Callable[[bytes], list[Any]]
    content_type: str = "application/json"
    accept: str = "*/*"


def lines(*, header: bool) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows([list(NAMES), *ARRAYS] if header else ARRAYS)
    return written.getvalue().encode()


def arrow() -> bytes:
    table = pa.table(COLUMNS)
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def of_json(*steps: str | None) -> Callable[[bytes], list[Any]]:
    """Reads an answer in JSON: each of `steps` is a field to go into, and None goes into each item of a list."""

    def read(content: bytes) -> list[Any]:
        return list(inner(json.loads(content), steps))

    def inner(found: Any, rest: tuple[str | None, ...]) -> Any:
        if not rest:
            return list(found.values()) if isinstance(found, dict) else found
        step, after = rest[0], rest[1:]
        return [inner(item, after) for item in found] if step is None else inner(found[step], after)

    return read


def way(protocol: str, path: str, body: Mapping[str, Any] | list[Any], *steps: str | None) -> Way:
    return Way(protocol, path, json.dumps(body).encode(), of_json(*steps))


def of_arrow(*names: str) -> Callable[[bytes], list[Any]]:
    def read(content: bytes) -> list[Any]:
        found = ipc.open_stream(content).read_all()
        columns = [found[name].to_pylist() for name in names]
        return columns[0] if len(names) == 1 else [list(row) for row in zip(*columns, strict=True)]

    return read


TENSORFLOW = "/v1/models/houses:predict"
LABELS = {
    "native": way("native", "/predict", {"rows": ROWS}, "predictions", None, "prediction"),
    "arrow": Way("arrow", "/predict", arrow(), of_arrow("prediction"), ARROW, ARROW),
    "arrow, answered in JSON": Way(
        "arrow",
        "/predict",
        arrow(),
        of_json("predictions", None, "prediction"),
        ARROW,
    ),
    "tensorflow objects": way("tensorflow", TENSORFLOW, {"instances": ROWS}, "predictions"),
    "tensorflow arrays": way("tensorflow", TENSORFLOW, {"instances": ARRAYS}, "predictions"),
    "tensorflow columns": way("tensorflow", TENSORFLOW, {"inputs": COLUMNS}, "outputs"),
    "vertex": way("vertex", "/vertex/predict", {"instances": ARRAYS}, "predictions"),
    "mlflow split": way("mlflow", "/invocations", {"dataframe_split": SPLIT}, "predictions"),
    "mlflow records": way("mlflow", "/invocations", {"dataframe_records": ROWS}, "predictions"),
    "mlflow columns": way("mlflow", "/invocations", {"inputs": COLUMNS}, "predictions"),
    "mlflow csv": Way("mlflow", "/invocations", lines(header=True), of_json("predictions"), "text/csv"),
    "sagemaker csv": Way(
        "sagemaker",
        "/invocations",
        lines(header=False),
        lambda content: [as_written(line) for line in content.decode().splitlines()],
        "text/csv",
        "text/csv",
    ),
    "torchserve": way("torchserve", "/predictions/houses", ROWS, None, "prediction"),
    "azure": way("azure", "/score", {"input_data": SPLIT}),
}
PROBABILITIES = {
    "native": way("native", "/predict", {"rows": ROWS}, "predictions", None, "probabilities"),
    "arrow": Way("arrow", "/predict", arrow(), of_arrow("probability_no", "probability_yes"), ARROW, ARROW),
    "tensorflow": way("tensorflow", TENSORFLOW, {"inputs": COLUMNS, "signature_name": "probabilities"}, "outputs"),
    "vertex": way("vertex", "/vertex/predict", {"instances": ROWS, "parameters": ASKED}, "predictions"),
    "mlflow": way("mlflow", "/invocations", {"dataframe_split": SPLIT, "params": ASKED}, "predictions"),
    "torchserve": way("torchserve", "/predictions/houses", ARRAYS, None, "probabilities"),
    "azure": way("azure", "/score", {"input_data": ARRAYS, "params": ASKED}),
}


def as_written(line: str) -> float | str:
    return line if line in ("no", "yes") else float(line)


def asked(worker: Worker, chosen: Way) -> list[Any]:
    headers = {"content-type": chosen.content_type, "accept": chosen.accept}
    response = worker.ask("POST", chosen.path, content=chosen.body, headers=headers)
    assert response.status_code == 200, response.text
    return chosen.read(response.content)


def worker_for(folder: Path, published: Published, plane: type[DataPlane] = DataPlane) -> Worker:
    made = Worker(folder, published, plane=plane)
    made.body_limit_bytes = 20_000
    made.promote(1)
    return made


def disagreements(worker: Worker, ways: Mapping[str, Way]) -> list[str]:
    """The ways that are answered otherwise than the native one, or recorded otherwise."""
    expected = asked(worker, ways["native"])
    first = worker.log.predictions[-1]
    found = []
    for name, chosen in ways.items():
        same = asked(worker, chosen) == expected
        record = worker.log.predictions[-1]
        columns = {column: list(values) for column, values in record.columns.items()}
        facts = (record.protocol, len(record.ids), columns, record.predictions, record.probabilities)
        if not same or facts != (chosen.protocol, len(ROWS), COLUMNS, first.predictions, first.probabilities):
            found.append(name)
    assert len(worker.log.predictions) == len(ways) + 1
    return found


@pytest.mark.parametrize(("task", "ways"), [("binary", LABELS), ("regression", LABELS), ("binary", PROBABILITIES)],
                         ids=["labels", "numbers", "probabilities"])  # fmt: skip
def test_the_same_rows_have_the_same_answers_and_records(tmp_path: Path, task: str, ways: Mapping[str, Way]) -> None:
    worker = worker_for(tmp_path / "worker", publish(tmp_path / "published", task, 1))
    assert disagreements(worker, ways) == []


class RoundingPlane(DataPlane):
    """Broken on purpose: what comes as columns goes through single precision."""

    async def predict_columns(self, columns: Mapping[str, Any], count: int, request: Request) -> Answers:
        rounded = {name: np.asarray(values, dtype=np.float32).tolist() for name, values in columns.items()}
        return await super().predict_columns(rounded, count, request)


def test_the_comparison_sees_a_protocol_that_rounds(tmp_path: Path, published: Published) -> None:
    worker = worker_for(tmp_path, published, RoundingPlane)
    assert set(disagreements(worker, PROBABILITIES)) == {"arrow", "tensorflow", "mlflow", "torchserve", "azure"}
