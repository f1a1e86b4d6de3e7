"""An empty ASGI application on the server that Evenkeel runs on: the limit of what can be reached."""

from pathlib import Path

from benchmarks.serving.entrants import WORKERS, Entrant, Place, Server, always
from benchmarks.serving.ours.entrants import json_rows

HERE = Path(__file__).parent


def _command(place: Place) -> list[str]:
    return [
        str(place.programs / "uvicorn"),
        *("app:app", "--app-dir", str(HERE), "--workers", str(WORKERS), "--no-access-log", "--lifespan", "off"),
        *("--loop", "uvloop", "--http", "httptools", "--host", "127.0.0.1", "--port", str(place.port)),
    ]


SERVER = Server("empty", _command, ("uvicorn", "uvloop", "httptools"))
ENTRANT = Entrant("empty", SERVER, always("/predict"), json_rows, None, is_peer=False)
