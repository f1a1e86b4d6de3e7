"""The BentoML service: puts the gate and the data plane into BentoML's server. The only file that imports bentoml.

BentoML loads this module in its parent and in every worker, so importing it only reads the configuration; a worker
opens stores and starts following the pointer when BentoML makes the service's instance.
"""

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import attrs
import bentoml
from _bentoml_sdk import Service
from pydantic import BaseModel, WithJsonSchema
from starlette.types import ASGIApp

from lifecycle.ids import uuid7
from lifecycle.logs import configure
from lifecycle.ports import FeatureLog
from lifecycle.process import PARENT, exit_with_parent
from lifecycle.project import Project
from lifecycle.pseudonyms import Pseudonyms
from service import openapi
from service.access import is_keyed
from service.connection import ConnectionLimits, install
from service.exchange import Request
from service.gate import Gate
from service.keys import KeyCheck, Keyring
from service.live import Follower
from service.metrics import ServiceMetrics
from service.plane import DataPlane, Limits
from service.protocols.native import NativeProtocol
from service.protocols.own import OwnRoutes
from service.protocols.registry import adapters, factories
from service.protocols.schemas import ROW
from service.routing import Routes

PROJECT = "EVENKEEL_PROJECT"


Rows = Annotated[list[Any], WithJsonSchema({"type": "array", "items": ROW, "minItems": 1})]
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


class GatedService(Service[Any]):
    """A BentoML service whose outermost layer is the gate.

    BentoML puts middleware inside its own; a request through all of those costs as much again as one that is answered.
    """

    def to_asgi(self, is_main: bool = True) -> ASGIApp:  # noqa: FBT001, FBT002  # the framework's signature
        return Gate(super().to_asgi(is_main), parts)


class Parts:
    """The parts of one serving process, each made on first use, in the process that uses it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.body_limit_bytes = project.config.service.body_limit_bytes

    @cached_property
    def metrics(self) -> ServiceMetrics:
        return ServiceMetrics()

    @cached_property
    def writer(self) -> Any:
        return self.project.writer()

    @property
    def feature_log(self) -> FeatureLog:
        """Where predictions go."""
        log: FeatureLog = self.writer
        return log

    @cached_property
    def follower(self) -> Follower:
        project = self.project
        return Follower(
            project.ledger,
            project.store,
            self.feature_log,
            project.clock,
            self.metrics,
            project.config.service.poll_seconds,
            refresh=self.keyring.refresh,
        )

    @cached_property
    def keyring(self) -> Keyring:
        return Keyring(self.project.ledger, self.project.config.service.workers)

    @cached_property
    def keys(self) -> KeyCheck | None:
        return KeyCheck(self.keyring, self.project.clock) if is_keyed(os.environ) else None

    def pseudonyms(self) -> Pseudonyms:
        """Read anew each time, so that a key that is restored counts. Raises ProjectInvalid as long as there is none."""
        return Pseudonyms.read(self.project.path / self.project.config.feature_log.pseudonym_key)

    @cached_property
    def plane(self) -> DataPlane:
        config = self.project.config
        service = config.service
        return DataPlane(
            config.model.name,
            self.follower,
            self.feature_log,
            self.metrics,
            self.project.clock,
            on_error=config.feature_log.on_error,
            limits=Limits(
                service.body_limit_bytes, service.rows_limit, service.waiting_limit, service.deadline_seconds
            ),
            sampling_rate=config.feature_log.sampling_rate,
            pseudonyms=self.pseudonyms,
        )

    @cached_property
    def routes(self) -> Routes:
        made = [OwnRoutes(self.plane, self.describe), *adapters(self.project.config.service.protocols, self.plane)]
        return Routes(route for adapter in made for route in adapter.routes())

    def describe(self) -> Mapping[str, Any]:
        """The service's description in OpenAPI."""
        return openapi.describe(self.project.config.model.name, self.routes.all)

    def version(self) -> int | None:
        live = self.follower.live
        return live.version if live else None


parts = Parts(Project.open(Path(os.environ.get(PROJECT, "."))))
install(
    ConnectionLimits(
        parts.project.config.service.header_seconds,
        parts.project.config.service.body_seconds,
        count=lambda code: parts.metrics.connections.labels(code).inc(),
    )
)


@bentoml.service(
    name="evenkeel",
    workers=parts.project.config.service.workers,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": [".*"]},
)
class Evenkeel:
    """Answers prediction requests with the champion and logs every input and output."""

    def __init__(self) -> None:
        exit_with_parent()
        configure("service")
        self._routes = parts.routes  # made now, so that the first request finds them
        parts.follower.start()

    @bentoml.on_shutdown
    def shutdown(self) -> None:
        """Stop following and hand over what was recorded."""
        parts.follower.stop()
        parts.writer.close()

    async def __is_ready__(self) -> bool:
        return parts.follower.live is not None

    @bentoml.api(route="/predict")
    async def predict(self, rows: Rows) -> PredictResponse:
        """Predict each row; every answer names the version that gave it.

        This is what BentoML's clients and builds see, and what Python code gets that calls the service in process; over
        HTTP the gate answers the same path by the same protocol.
        """
        request = Request(uuid7(), NativeProtocol.name, b"", {}, {})
        answers = await parts.plane.predict(rows, request)
        return PredictResponse.model_validate(NativeProtocol(parts.plane).encoded(answers, request.id))


EvenkeelService = GatedService(**attrs.asdict(Evenkeel, recurse=False, filter=lambda field, _: field.init))


def serve(project: Project, service: str = f"{__name__}:EvenkeelService") -> None:
    """Run BentoML's server for `project` until a signal ends it; `service` is what its workers import."""
    from _bentoml_impl.server.serving import serve_http

    section = project.config.service
    factories(section.protocols)  # a name that is wrong is said here, once, and not by every worker
    EvenkeelService.inject_config()
    os.environ[PARENT] = str(os.getpid())
    serve_http(
        service,
        working_dir=str(project.path),
        host=section.host,
        port=section.port,
        timeout_graceful_shutdown=section.shutdown_seconds,
    )
