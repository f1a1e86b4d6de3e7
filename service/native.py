"""The native protocol: `/predict`, `/feedback`, `/model`, `/metrics`, as handlers over the data plane."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lifecycle.clock import to_text
from lifecycle.errors import EvenkeelError, InputRejected
from service.answers import error_response, json_response, refusal
from service.context import current
from service.metrics import ServiceMetrics
from service.plane import Answer, DataPlane

CONTENT_TYPE_METRICS = "text/plain; version=0.0.4; charset=utf-8"


class NativeProtocol:
    """Decodes native requests, asks the plane, encodes its answers."""

    def __init__(self, plane: DataPlane, rows_limit: int) -> None:
        self._plane = plane
        self._rows_limit = rows_limit

    async def predict(self) -> Response:
        """`POST /predict`: `{"rows": [{feature: value}]}`."""
        request = current()
        rows: list[object] = request.body["rows"]
        try:
            if not rows:
                raise InputRejected("the list of rows is empty; send at least one")
            if len(rows) > self._rows_limit:
                message = f"a request takes at most {self._rows_limit} rows, not {len(rows)}; send several"
                return error_response(413, "too_large", message)
            answers = await self._plane.predict(rows, request_id=request.request_id, protocol="native")
        except EvenkeelError as error:
            return refusal(error)
        request.version = answers.version
        return json_response(
            {
                "request_id": request.request_id,
                "model": answers.model,
                "version": answers.version,
                "predictions": [_row(answer) for answer in answers.rows],
            }
        )

    async def feedback(self) -> Response:
        """`POST /feedback`: `{"labels": [{"id", "label", "observed_at"?}]}`."""
        request = current()
        accepted, rejected = self._plane.feedback(request.body["labels"])
        request.version = self._plane.live().version
        return json_response({"accepted": accepted, "rejected": [asdict(item) for item in rejected]}, 202)

    async def model(self) -> Response:
        """`GET /model`: what is live, under which contract, and where it comes from."""
        live = self._plane.live()
        current().version = live.version
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


def application(native: Callable[[], NativeProtocol]) -> Starlette:
    """The routes that are not BentoML's own, to be mounted; `native` is asked for when a request comes."""

    async def feedback(_: Request) -> Response:
        return await native().feedback()

    async def model(_: Request) -> Response:
        return await native().model()

    async def index(_: Request) -> Response:
        return json_response({"service": "evenkeel", "routes": "/docs.json"})

    async def metrics(_: Request) -> Response:
        return Response(ServiceMetrics.expose(), media_type=CONTENT_TYPE_METRICS)

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, EvenkeelError), "registered for this type alone"
        return refusal(error)

    return Starlette(
        routes=[
            Route("/", index, methods=["GET"]),
            Route("/feedback", feedback, methods=["POST"]),
            Route("/model", model, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ],
        exception_handlers={EvenkeelError: refused},
    )


def _row(answer: Answer) -> dict[str, Any]:
    row: dict[str, Any] = {"id": answer.id, "prediction": answer.prediction}
    if answer.probabilities is not None:
        row["probabilities"] = answer.probabilities
    return row
