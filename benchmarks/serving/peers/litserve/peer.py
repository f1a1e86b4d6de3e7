"""LitServe as its documentation shows: a LitAPI with its four steps, several workers on the one device."""

import json
from pathlib import Path

from benchmarks.serving.cases import Rows
from benchmarks.serving.entrants import WORKERS, Entrant, Place, Server, always, json_body, labels

HERE = Path(__file__).parent


def _command(place: Place) -> list[str]:
    return [str(place.programs / "python"), str(HERE / "server.py")]


def _variables(place: Place) -> dict[str, str]:
    return {"MODEL": str(place.artefact), "WORKERS": str(WORKERS), "PORT": str(place.port)}


def _body(rows: Rows) -> bytes:
    return json_body({"input": rows.as_peers_take_them})


SERVER = Server(
    "litserve", _command, ("litserve", "uvicorn", "scikit-learn"), HERE / "requirements.lock", variables=_variables
)
ENTRANT = Entrant(
    "litserve", SERVER, always("/predict"), _body, lambda answer: labels(json.loads(answer)["predictions"])
)
