"""Makes a project with version 1 live, and a service that answers from memory, for tests of the front door."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from evenkeel.client import ServiceClient
from lifecycle.contract import Contract
from lifecycle.feature_log.fold import Folder
from lifecycle.ids import uuid7
from lifecycle.project import Project
from lifecycle.promotion import promote
from lifecycle.records import Label, LogSchema
from tests.builders import batch, numeric_contract, registered

URL = "http://service"


def project(folder: Path, settings: str = "") -> Project:
    """A project in `folder` whose version 1 is the champion."""
    (folder / "evenkeel.toml").write_text(f'[model]\nname = "houses"\n{settings}')
    (folder / "contract.json").write_text(numeric_contract().model_dump_json())
    made = Project.open(folder)
    version = registered(made.store, made.ledger, made.clock)
    promote(made.ledger, made.store, made.clock, version.number, actor="init", reason="version 1")
    return made


def answered(made: Project, rows: int = 2) -> list[str]:
    """Ids of `rows` that version 1 answered with yes, labelled no and folded."""
    now = made.clock.now()
    ids = [uuid7(now // 1000) for _ in range(rows)]
    columns = {"a": [float(index) for index in range(rows)], "b": [0.5] * rows}
    log = made.writer()
    log.append_predictions(batch(rows, at=now, ids=ids, columns=columns), LogSchema.of(1, made.contract()))
    log.append_labels([Label(name, "no", now, now) for name in ids])
    log.close()
    made.ledger.save_fold(Folder(made.tables, made.clock).fold())
    return ids


class MemoryService:
    """Answers as the service does; every number is `version`'s answer of `a` + `b`, every class text "yes".

    `problems` are answers given first, one for each request: a status, or an error of the connection.
    """

    def __init__(self, contract: Contract, *problems: int | httpx.TransportError) -> None:
        self.contract = contract
        self.version = 1
        self.problems = list(problems)
        self.requests: list[str] = []
        self.rows: list[dict[str, Any]] = []
        self.batches: list[int] = []
        self.labels: list[dict[str, Any]] = []
        self.answered_at: dict[str, float] = {}
        self.labelled_at: dict[str, float] = {}

    def client(self, stop: threading.Event | None = None, *, patience_seconds: float = 30) -> ServiceClient:
        return ServiceClient(URL, stop, transport=httpx.MockTransport(self._handle), patience_seconds=patience_seconds)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(f"{request.method} {request.url.path}")
        if self.problems:
            problem = self.problems.pop(0)
            if isinstance(problem, httpx.TransportError):
                raise problem
            return httpx.Response(problem, json={"error": {"code": "x", "message": f"a sentence of {problem}"}})
        content = json.loads(request.content) if request.content else {}
        answer = {"/model": self._model, "/predict": self._predict, "/feedback": self._feedback, "/readyz": dict}
        return httpx.Response(200, json=answer[request.url.path](content))

    def _model(self, _: Any) -> dict[str, Any]:
        return {"version": self.version, "contract": self.contract.model_dump(mode="json")}

    def _predict(self, content: dict[str, Any]) -> dict[str, Any]:
        first = len(self.rows)
        self.rows += content["rows"]
        self.batches.append(len(content["rows"]))
        predictions = [
            {"id": f"id {first + index}", "prediction": self._answer(row)} for index, row in enumerate(content["rows"])
        ]
        self.answered_at |= {str(item["id"]): time.monotonic() for item in predictions}
        return {"version": self.version, "predictions": predictions}

    def _answer(self, row: dict[str, Any]) -> Any:
        return row["a"] + row["b"] if self.contract.target.is_regression else "yes"

    def _feedback(self, content: dict[str, Any]) -> dict[str, Any]:
        self.labels += content["labels"]
        self.labelled_at |= {item["id"]: time.monotonic() for item in content["labels"]}
        return {"accepted": len(content["labels"]), "rejected": []}
