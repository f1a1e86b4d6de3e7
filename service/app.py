"""The BentoML service: wires the data plane into BentoML's server. The only file that imports bentoml.

BentoML loads this module in its parent and in every worker, so importing it only reads the configuration; a worker
opens stores and starts following the pointer when BentoML makes the service's instance.
"""

import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import bentoml
from pydantic import BaseModel, WithJsonSchema
from starlette.responses import Response

from lifecycle.logs import configure
from lifecycle.process import PARENT, exit_with_parent
from lifecycle.project import Project
from service.gate import Gate
from service.live import Follower
from service.metrics import ServiceMetrics
from service.native import NativeProtocol, application
from service.plane import DataPlane

PROJECT = "EVENKEEL_PROJECT"
_ROW = {"type": "object", "additionalProperties": {"type": ["number", "string", "boolean", "null"]}}


Rows = Annotated[list[Any], WithJsonSchema({"type": "array", "items": _ROW, "minItems": 1})]
"""Rows to predict, each an object of feature: value pairs."""


class Prediction(BaseModel):
    """The answer to one row; `id` names it in feedback."""

    id: str
    prediction: float | int | str | bool
    probabilities: dict[str, float] | None = None


class PredictResponse(BaseModel):
    """The answers, in the order of the rows."""

    request_id: str
    model: str
    version: int
    predictions: list[Prediction]


class Parts:
    """The parts of one serving process, each made on first use."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.body_limit_bytes = project.config.service.body_limit_bytes

    @cached_property
    def metrics(self) -> ServiceMetrics:
        return ServiceMetrics()

    @cached_property
    def writer(self) -> Any:
        return self.project.writer()

    @cached_property
    def follower(self) -> Follower:
        project = self.project
        return Follower(
            project.ledger,
            project.store,
            self.writer,
            project.clock,
            self.metrics,
            project.config.service.poll_seconds,
        )

    @cached_property
    def native(self) -> NativeProtocol:
        config = self.project.config
        plane = DataPlane(
            config.model.name, self.follower, self.writer, self.metrics, self.project.clock, config.feature_log.on_error
        )
        return NativeProtocol(plane, config.service.rows_limit)

    def version(self) -> int | None:
        live = self.follower.live
        return live.version if live else None


parts = Parts(Project.open(Path(os.environ.get(PROJECT, "."))))


@bentoml.service(
    name="evenkeel",
    workers=parts.project.config.service.workers,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": [".*"]},
)
class EvenkeelService:
    """Answers prediction requests with the champion and logs every input and output."""

    def __init__(self) -> None:
        exit_with_parent()
        configure("service")
        self._native = parts.native
        parts.follower.start()

    @bentoml.on_shutdown
    def shutdown(self) -> None:
        """Stop following and hand over what was recorded."""
        parts.follower.stop()
        parts.writer.close()

    async def __is_ready__(self) -> bool:
        return parts.follower.live is not None

    @bentoml.api(route="/predict", output_spec=PredictResponse)
    async def predict(self, rows: Rows) -> Response:
        """Predict each row; every answer names the version that gave it."""
        # The gate has decoded the body already; BentoML's own reading of it serves its schema and clients.
        return await self._native.predict()


EvenkeelService.mount_asgi_app(application(lambda: parts.native), path="/")
EvenkeelService.add_asgi_middleware(Gate, parts=parts)


def serve(project: Project) -> None:
    """Run BentoML's server for `project` until a signal ends it."""
    from _bentoml_impl.server.serving import serve_http

    section = project.config.service
    EvenkeelService.inject_config()
    os.environ[PARENT] = str(os.getpid())
    serve_http(
        "service.app:EvenkeelService",
        working_dir=str(project.path),
        host=section.host,
        port=section.port,
        timeout_graceful_shutdown=section.shutdown_seconds,
    )
