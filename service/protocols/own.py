"""What is Evenkeel's own beside predictions: feedback, the live model, readiness, metrics, the service's description."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from lifecycle.clock import to_text
from service.exchange import JSON, Operation, Request, Response, Route, json_response, native_error
from service.labels import Rejection
from service.metrics import ServiceMetrics
from service.plane import DataPlane
from service.protocols import schemas
from service.protocols.native import listed
from service.strict_json import decode

STATUS_HEADER = b"x-evenkeel-status"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class OwnRoutes:
    """`/feedback`, `/model`, `/readyz`, `/metrics`, `/docs.json` and `/`."""

    name = "own"

    def __init__(self, plane: DataPlane, describe: Callable[[], Mapping[str, Any]]) -> None:
        self._plane = plane
        self._describe = describe

    def routes(self) -> Sequence[Route]:
        take = Operation(
            "Deliver labels.", {JSON: schemas.FEEDBACK_REQUEST}, {JSON: schemas.FEEDBACK_RESPONSE}, status=202
        )
        model = Operation("What is live, under which contract, and where it comes from.", {}, {JSON: schemas.MODEL})
        metrics = Operation("Metrics for Prometheus.", {}, {METRICS_TYPE: schemas.TEXT})
        docs = Operation("This description.", {}, {JSON: {"type": "object"}})
        index = Operation("Which service this is.", {}, {JSON: {"type": "object"}})
        ready = Operation("Whether a model is live, and all answers are recorded.", {}, {JSON: schemas.READINESS})
        accepts = frozenset({JSON})
        return [
            Route("POST", "/feedback", self.feedback, "feedback", "feedback", take, native_error, accepts),
            Route("GET", "/model", self.model, "other", "read", model, native_error),
            Route("GET", "/readyz", self.ready, "other", "open", ready, native_error),
            Route("GET", "/metrics", self.metrics, "other", "open", metrics, native_error),
            Route("GET", "/docs.json", self.docs, "other", "read", docs, native_error),
            Route("GET", "/", self.index, "other", "open", index, native_error),
        ]

    async def feedback(self, request: Request) -> Response:
        """`{"labels": [{"id" or "external_id", "label", "observed_at"?}]}` gives 202 and what was not taken."""
        accepted, rejected = await self._plane.feedback(listed(decode(request.body), "labels"), request)
        return json_response({"accepted": accepted, "rejected": list(map(_described, rejected))}, 202)

    async def model(self, request: Request) -> Response:
        """What is live, under which contract, and where it comes from."""
        live = self._plane.live(request)
        return json_response(
            {
                "name": self._plane.name,
                "version": live.version,
                "generation": live.generation,
                "contract": live.model.contract.model_dump(mode="json"),
                "created_at": to_text(live.registered.created_at),
                "parent": live.registered.parent,
                "metrics": live.registered.metrics,
                "lineage": live.registered.lineage,
            }
        )

    async def ready(self, request: Request) -> Response:
        """200 when a model is live; it says `degraded` while answers are given, or refused, without a record."""
        self._plane.ready(request)
        if self._plane.degraded is None:
            return json_response({"status": "ready"})
        answer = json_response(
            {"status": "degraded", "reason": "answers are not being recorded; see the service's log"}
        )
        answer.headers = ((STATUS_HEADER, b"degraded"),)
        return answer

    async def metrics(self, _: Request) -> Response:
        """The text format over all workers."""
        return Response(ServiceMetrics.expose(), media_type=METRICS_TYPE)

    async def docs(self, _: Request) -> Response:
        """OpenAPI of every route."""
        return Response(orjson.dumps(self._describe()))

    async def index(self, _: Request) -> Response:
        """Where to look."""
        return json_response({"service": "evenkeel", "routes": "/docs.json"})


def _described(rejection: Rejection) -> dict[str, Any]:
    described = {"place": rejection.place, "id": rejection.id, "reason": rejection.reason}
    return described if rejection.external_id is None else {**described, "external_id": rejection.external_id}
