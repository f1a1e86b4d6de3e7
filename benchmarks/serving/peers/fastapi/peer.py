"""FastAPI as its documentation shows: pydantic models, a plain `def` endpoint, uvicorn with workers."""

import json
from pathlib import Path

from benchmarks.serving.cases import Rows
from benchmarks.serving.entrants import WORKERS, Entrant, Place, Server, json_body, labels

HERE = Path(__file__).parent


def _command(place: Place) -> list[str]:
    return [
        str(place.programs / "uvicorn"),
        *("server:app", "--app-dir", str(HERE), "--workers", str(WORKERS), "--no-access-log"),
        *("--host", "127.0.0.1", "--port", str(place.port)),
    ]


def _body(rows: Rows) -> bytes:
    return json_body({"rows": rows.as_peers_take_them})


SERVER = Server(
    "fastapi",
    _command,
    ("fastapi", "uvicorn", "scikit-learn"),
    HERE / "requirements.lock",
    variables=lambda place: {"MODEL": str(place.artefact)},
)
ENTRANT = Entrant(
    "fastapi",
    SERVER,
    lambda case: "/predict" if case.is_matrix else "/predict/customers",
    _body,
    lambda answer: labels(json.loads(answer)["predictions"]),
)
