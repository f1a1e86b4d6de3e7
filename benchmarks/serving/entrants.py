"""What takes part: servers that can be started, and the entrants, each one way of asking a server for predictions."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.serving.cases import Case, Rows

JSON = "application/json"
WORKERS = 2
"""Serving processes of every server."""


@dataclass(frozen=True)
class Place:
    """Where a server runs one case.

    `programs` is the folder of its environment's programs, `folder` its own working folder, `project` the Evenkeel
    project and `artefact` the joblib file with the case's model, `ports` free ones, of which the first takes requests.
    """

    case: Case
    programs: Path
    folder: Path
    project: Path
    artefact: Path
    ports: tuple[int, int, int]

    @property
    def port(self) -> int:
        return self.ports[0]


def _nothing(_: Place) -> None:
    """Nothing is needed before the start."""


def _no_variables(_: Place) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True)
class Server:
    """One program that serves a case.

    `lock` pins its environment (None: this one), `packages` names what is reported with its version, `prepare` is done
    once before `command` is started in the place's folder, with `variables` in its environment.
    """

    name: str
    command: Callable[[Place], list[str]]
    packages: tuple[str, ...]
    lock: Path | None = None
    prepare: Callable[[Place], None] = _nothing
    variables: Callable[[Place], Mapping[str, str]] = _no_variables


@dataclass(frozen=True)
class Entrant:
    """One way of asking `server`: `body` encodes rows, `read` gives the labels of an answer (None: it holds none).

    `rows` limits what is measured to these numbers of rows a request (empty: all).
    """

    name: str
    server: Server
    path: Callable[[Case], str]
    body: Callable[[Rows], bytes]
    read: Callable[[bytes], list[int]] | None
    content_type: str = JSON
    accept: str | None = None
    is_peer: bool = True
    rows: tuple[int, ...] = field(default=())


def always(path: str) -> Callable[[Case], str]:
    """The same path for every case."""
    return lambda _: path


def json_body(content: object) -> bytes:
    """`content` as clients usually write it."""
    return json.dumps(content).encode()


def labels(found: list[Any]) -> list[int]:
    return [int(label) for label in found]
