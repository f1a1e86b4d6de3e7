"""BentoML as its documentation shows: a service class with an array or a frame as input, `bentoml serve`."""

import json
from pathlib import Path

from benchmarks.serving.cases import Rows
from benchmarks.serving.entrants import WORKERS, Entrant, Place, Server, json_body, labels

HERE = Path(__file__).parent


def _command(place: Place) -> list[str]:
    return [
        str(place.programs / "bentoml"),
        *("serve", "server:Classifier", "--working-dir", str(HERE)),
        *("--host", "127.0.0.1", "--port", str(place.port)),
    ]


def _variables(place: Place) -> dict[str, str]:
    home = place.folder / "home"
    return {
        "MODEL": str(place.artefact),
        "WORKERS": str(WORKERS),
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
    }


def _body(rows: Rows) -> bytes:
    return json_body({"input_data": rows.as_peers_take_them})


SERVER = Server(
    "bentoml", _command, ("bentoml", "uvicorn", "scikit-learn"), HERE / "requirements.lock", variables=_variables
)
ENTRANT = Entrant(
    "bentoml",
    SERVER,
    lambda case: "/predict" if case.is_matrix else "/predict_frame",
    _body,
    lambda answer: labels(json.loads(answer)),
)
