"""The service's description in OpenAPI 3.1, made from the routes themselves, so that it names each of them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from service.exchange import JSON, Operation, Route
from service.protocols.schemas import NATIVE_ERROR

VARIABLE = re.compile(r"\{(\w+)\}")
HEALTH = {
    "/livez": "Whether the process runs.",
    "/healthz": "As /livez.",
    "/schema.json": "The schema that BentoML's clients read.",
}
"""What the framework answers."""
REFUSALS = {
    400: "The body is not what its content type says.",
    401: "No usable key was sent.",
    403: "The key is of another scope.",
    404: "There is no such path, model or version.",
    413: "The body, or the number of rows, is above the limit.",
    415: "The content type is not one of those of this path.",
    422: "The content violates the contract; the answer names rows and fields.",
    429: "There are too many requests; see Retry-After.",
    503: "No model is live yet, or the service cannot record.",
}


def describe(name: str, routes: Iterable[Route]) -> dict[str, Any]:
    """The description of the service of model `name`."""
    paths: dict[str, dict[str, Any]] = {
        path: {"get": {"summary": summary, "responses": {"200": {"description": "It is."}, **_refusals([503])}}}
        for path, summary in HEALTH.items()
    }
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, name)
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Evenkeel: {name}", "version": "1"},
        "paths": paths,
        "components": {"schemas": {"Error": NATIVE_ERROR}},
    }


def _operation(route: Route, model: str) -> dict[str, Any]:
    operation = route.operation
    variables = VARIABLE.findall(route.path)
    statuses = [401, 403, 404, 429, 503] + ([400, 413, 415, 422] if route.accepts else [])
    described: dict[str, Any] = {
        "summary": operation.summary,
        "tags": [route.protocol],
        "responses": {str(operation.status): _answer(operation), **_refusals(sorted(statuses))},
    }
    if variables:
        described["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"} | _only(name, model)}
            for name in variables
        ]
    if operation.request:
        described["requestBody"] = {"required": True, "content": _content(operation.request)}
    return described


def _only(variable: str, model: str) -> dict[str, Any]:
    """A service has one model; what else a path may name changes with time."""
    return {"enum": [model]} if variable == "model" else {}


def _answer(operation: Operation) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "The answer."}
    return answer | ({"content": _content(operation.response)} if operation.response else {})


def _content(bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {media_type: {"schema": schema} for media_type, schema in bodies.items()}


def _refusals(statuses: Iterable[int]) -> dict[str, Any]:
    return {str(status): {"description": REFUSALS[status], "content": {JSON: {}}} for status in statuses}
