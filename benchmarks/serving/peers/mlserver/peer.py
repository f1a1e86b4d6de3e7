"""MLServer with its scikit-learn runtime: settings files, parallel workers, `mlserver start`, the V2 protocol."""

import json
from pathlib import Path
from typing import Any

from benchmarks.serving.cases import Rows
from benchmarks.serving.entrants import WORKERS, Entrant, Place, Server, always, json_body, labels

HERE = Path(__file__).parent
NAME = "classifier"


def _prepare(place: Place) -> None:
    http, grpc, metrics = place.ports
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "parallel_workers": WORKERS,
    }
    model = {
        "name": NAME,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(place.artefact), "version": "1"},
    }
    (place.folder / "settings.json").write_text(json.dumps(settings))
    (place.folder / "model-settings.json").write_text(json.dumps(model))


def _command(place: Place) -> list[str]:
    return [str(place.programs / "mlserver"), "start", str(place.folder)]


def _body(rows: Rows) -> bytes:
    if rows.is_matrix:
        shape = [len(rows.records), len(rows.names)]
        return json_body({"inputs": [{"name": "rows", "shape": shape, "datatype": "FP64", "data": rows.values}]})
    columns = zip(rows.names, zip(*rows.values, strict=True), strict=True)
    inputs = [_column(name, list(values)) for name, values in columns]
    return json_body({"parameters": {"content_type": "pd"}, "inputs": inputs})


def _column(name: str, values: list[Any]) -> dict[str, Any]:
    shape = [len(values), 1]
    if any(isinstance(value, str) for value in values):
        text = {"content_type": "str"}
        return {"name": name, "shape": shape, "datatype": "BYTES", "parameters": text, "data": values}
    return {"name": name, "shape": shape, "datatype": "FP64", "data": values}


SERVER = Server(
    "mlserver",
    _command,
    ("mlserver", "mlserver-sklearn", "uvicorn", "scikit-learn"),
    HERE / "requirements.lock",
    prepare=_prepare,
)
ENTRANT = Entrant(
    "mlserver",
    SERVER,
    always(f"/v2/models/{NAME}/infer"),
    _body,
    lambda answer: labels(json.loads(answer)["outputs"][0]["data"]),
)
