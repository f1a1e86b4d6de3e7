"""MLflow's scoring server: a saved scikit-learn model, `mlflow models serve` with workers in the environment as it is."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.serving.cases import Rows
from benchmarks.serving.entrants import WORKERS, Entrant, Place, Server, always, json_body, labels

HERE = Path(__file__).parent
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "UVICORN_ACCESS_LOG": "false"}
"""It starts uvicorn itself, which reads its options from the environment."""


def _saved(place: Place) -> Path:
    return place.folder / "saved"


def _prepare(place: Place) -> None:
    shutil.rmtree(_saved(place), ignore_errors=True)
    command = [str(place.programs / "python"), str(HERE / "save.py"), str(place.artefact), str(_saved(place))]
    subprocess.run(command, check=True, cwd=place.folder, env={**os.environ, **QUIET}, capture_output=True)


def _command(place: Place) -> list[str]:
    return [
        str(place.programs / "mlflow"),
        *("models", "serve", "--model-uri", str(_saved(place)), "--env-manager", "local", "--workers", str(WORKERS)),
        *("--host", "127.0.0.1", "--port", str(place.port)),
    ]


def _body(rows: Rows) -> bytes:
    if rows.is_matrix:
        return json_body({"inputs": rows.values})
    return json_body({"dataframe_split": {"columns": rows.names, "data": rows.values}})


SERVER = Server(
    "mlflow",
    _command,
    ("mlflow", "uvicorn", "scikit-learn"),
    HERE / "requirements.lock",
    prepare=_prepare,
    variables=lambda _: QUIET,
)
ENTRANT = Entrant(
    "mlflow", SERVER, always("/invocations"), _body, lambda answer: labels(json.loads(answer)["predictions"])
)
