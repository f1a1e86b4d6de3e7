"""Evenkeel in JSON, in Arrow, and without its feature log; all with validation and metrics, as it comes."""

import io
import json
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc

from benchmarks.serving.cases import Rows
from benchmarks.serving.entrants import WORKERS, Entrant, Place, Server, always, json_body, labels

ARROW = "application/vnd.apache.arrow.stream"
ROOT = Path(__file__).parents[3]
PACKAGES = ("evenkeel", "bentoml", "uvicorn", "scikit-learn", "onnxruntime")


def _served(place: Place) -> list[str]:
    return [sys.executable, "-m", "evenkeel", "serve", "--project", str(place.project)]


def _copied(place: Place) -> None:
    """A project of its own: two servers of one project would share counters and a home."""
    shutil.copytree(place.project, place.folder / "project")


def _without_log(place: Place) -> list[str]:
    project = str(place.folder / "project")
    return [sys.executable, "-m", "benchmarks.serving.ours.without_log", "--project", project]


def _variables(place: Place) -> dict[str, str]:
    return {
        "EVENKEEL_SERVICE__PORT": str(place.port),
        "EVENKEEL_SERVICE__WORKERS": str(WORKERS),
        "PYTHONPATH": str(ROOT),
    }


def json_rows(rows: Rows) -> bytes:
    """The body of the native protocol."""
    return json_body({"rows": rows.records})


def _json_labels(answer: bytes) -> list[int]:
    return labels([row["prediction"] for row in json.loads(answer)["predictions"]])


def arrow_rows(rows: Rows) -> bytes:
    """One stream of one record batch."""
    batch = pa.RecordBatch.from_pylist(rows.records)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return sink.getvalue()


def _arrow_labels(answer: bytes) -> list[int]:
    return labels(pa.ipc.open_stream(answer).read_all()["prediction"].to_pylist())


SERVER = Server("evenkeel", _served, PACKAGES, variables=_variables)
SERVER_WITHOUT_LOG = Server("evenkeel without log", _without_log, PACKAGES, prepare=_copied, variables=_variables)
ENTRANT = Entrant("evenkeel", SERVER, always("/predict"), json_rows, _json_labels, is_peer=False)
ARROW_ENTRANT = Entrant(
    "evenkeel, arrow",
    SERVER,
    always("/predict"),
    arrow_rows,
    _arrow_labels,
    content_type=ARROW,
    accept=ARROW,
    is_peer=False,
)
WITHOUT_LOG = Entrant(
    "evenkeel without log", SERVER_WITHOUT_LOG, always("/predict"), json_rows, _json_labels, is_peer=False
)
