"""Vertex AI's prediction container: two routes that the platform names in the environment."""

import os
from collections.abc import Mapping, Sequence

import orjson

from lifecycle.errors import ConfigInvalid
from service.exchange import JSON, Operation, Request, Response, Route, json_response, native_error
from service.plane import DataPlane
from service.protocols import schemas
from service.protocols.answering import identified, values, wants_probabilities
from service.protocols.rows import RowReader, malformed, object_of, predict
from service.strict_json import decode

PREDICT_VARIABLE, HEALTH_VARIABLE = "AIP_PREDICT_ROUTE", "AIP_HEALTH_ROUTE"
PREDICT_ROUTE, HEALTH_ROUTE = "/vertex/predict", "/vertex/health"


class VertexProtocol:
    """`{"instances", "parameters"?}` gives `{"predictions"}`; the health route answers 200 only when a model is live."""

    name = "vertex"

    def __init__(
        self, plane: DataPlane, *, predict_route: str = PREDICT_ROUTE, health_route: str = HEALTH_ROUTE
    ) -> None:
        self._plane = plane
        self._predict_route, self._health_route = predict_route, health_route

    def routes(self) -> Sequence[Route]:
        asked = Operation("Predict instances.", {JSON: schemas.INSTANCES}, {JSON: schemas.PREDICTIONS})
        health = Operation("Whether a model is live.", {}, {JSON: schemas.ANY_OBJECT})
        return [
            Route(
                "POST",
                self._predict_route,
                self.predict,
                self.name,
                "predict",
                asked,
                native_error,
                frozenset({JSON}),
                claimed=self._predict_route != PREDICT_ROUTE,
            ),
            Route(
                "GET",
                self._health_route,
                self.health,
                "other",
                "open",
                health,
                native_error,
                claimed=self._health_route != HEALTH_ROUTE,
            ),
        ]

    async def predict(self, request: Request) -> Response:
        """One prediction per instance, or its probabilities where `parameters` ask for them."""
        content = object_of(decode(request.body))
        probabilities = wants_probabilities(self._plane, request, content, "parameters")
        if "instances" not in content:
            raise malformed('the body must have a list "instances"')
        given = RowReader.of(self._plane, request).rows(content["instances"], "instances")
        answers = await predict(self._plane, given, request)
        body = {"predictions": values(answers, probabilities=probabilities)}
        return Response(orjson.dumps(body), headers=identified(answers))

    async def health(self, request: Request) -> Response:
        """Raises ModelUnavailable, a 503, while there is no model."""
        return json_response({"status": "ready", "version": self._plane.live(request).version})


def from_environment(plane: DataPlane, environment: Mapping[str, str] | None = None) -> VertexProtocol:
    """The adapter with the routes that the platform chose. Raises ConfigInvalid when one of them is not a path."""
    variables = os.environ if environment is None else environment
    return VertexProtocol(
        plane,
        predict_route=_route(variables, PREDICT_VARIABLE, PREDICT_ROUTE),
        health_route=_route(variables, HEALTH_VARIABLE, HEALTH_ROUTE),
    )


def _route(environment: Mapping[str, str], name: str, default: str) -> str:
    route = environment.get(name) or default
    if not route.startswith("/") or "{" in route:
        raise ConfigInvalid(f"{name} is {route!r}, which is not a path; let it begin with / and hold no braces")
    return route
