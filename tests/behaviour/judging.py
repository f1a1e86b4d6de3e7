"""What is wrong with an answer of the service: by its own description, and by the errors that each protocol prescribes."""

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx
import jsonschema_rs

from service.exchange import JSON, media_type
from service.protocols import schemas
from tests.behaviour.asking import Asked, Document

SLOWEST_SECONDS = 5.0


@dataclass(frozen=True)
class Told:
    """One answer and the seconds until all of it was there; `failure` says why there is none."""

    status: int = 0
    content_type: str = ""
    body: bytes = b""
    seconds: float = 0.0
    failure: str = ""


class Judge:
    """Says what is wrong with an answer, by the description of the service."""

    def __init__(self, description: Document) -> None:
        self._paths = description["paths"]
        self._errors = {
            prefix: jsonschema_rs.validator_for(dict(schema)) for prefix, schema in error_shapes(description).items()
        }

    def objections(self, asked: Asked, told: Told) -> list[str]:
        """Everything wrong with `told`; nothing when it is an answer as the service promises it."""
        if told.failure:
            return [f"there was no answer: {told.failure}"]
        said = []
        if told.seconds > SLOWEST_SECONDS:
            said.append(f"the answer took {told.seconds:.1f} s")
        if told.status >= 500:
            said.append(f"the service failed with {told.status}")
        documented = self._paths[asked.path][asked.method.lower()]["responses"].get(str(told.status))
        if documented is None:
            return [*said, f"the status {told.status} is not in the description"]
        return said + self._about_body(asked, told, documented.get("content"))

    def _about_body(self, asked: Asked, told: Told, documented: Document | None) -> list[str]:
        if documented is None:
            return []
        found = media_type(told.content_type.encode())
        schema = next((spec for name, spec in documented.items() if media_type(name.encode()) == found), None)
        if schema is None:
            return [f"the content type {told.content_type!r} of a {told.status} is not in the description"]
        if found != JSON:
            return []
        try:
            content = json.loads(told.body)
        except ValueError as error:
            return [f"a {told.status} is not JSON: {error}"]
        if told.status >= 400:
            shapes = [self._error_shape(asked.path), *self._no_route(asked, told)]
            fits = any(shape.is_valid(content) for shape in shapes)
            return [] if fits else [f"a {told.status} has not the shape of the protocol's errors: {content}"]
        fits = jsonschema_rs.validator_for(schema.get("schema", {})).is_valid(content)
        return [] if fits else [f"a {told.status} has not the shape in the description: {content}"]

    def _no_route(self, asked: Asked, told: Told) -> list[Any]:
        """A variable part may hold what no path can, such as a colon: then there is no route whose protocol it is."""
        return [self._errors["/"]] if told.status == 404 and "{" in asked.path else []

    def _error_shape(self, path: str) -> Any:
        prefix = max((prefix for prefix in self._errors if path.startswith(prefix)), key=len)
        return self._errors[prefix]


def error_shapes(description: Document) -> dict[str, Document]:
    """The schema of errors by how the path begins."""
    text = {"type": "string"}
    kserve = schemas.fields({"error": text})
    mlflow = schemas.fields({"error_code": text, "message": text})
    torchserve = schemas.fields({"code": {"type": "integer"}, "type": text, "message": text})
    invocations = dict.fromkeys(("/invocations", "/version", "/execution-parameters", "/ping", "/health"), mlflow)
    return {
        "/": description["components"]["schemas"]["Error"],
        "/v1/": kserve,
        "/v2": kserve,
        **invocations,
        "/healthz": description["components"]["schemas"]["Error"],
        "/predictions/": torchserve,
        "/explanations/": torchserve,
    }


def ask(http: httpx.Client, asked: Asked) -> Told:
    """Send a request and wait for its answer as long as a caller would, and a little longer."""
    began = time.perf_counter()
    try:
        response = http.request(asked.method, asked.url, headers=dict(asked.headers), content=asked.content)
    except httpx.TransportError as error:
        return Told(seconds=time.perf_counter() - began, failure=repr(error))
    seconds = time.perf_counter() - began
    return Told(response.status_code, response.headers.get("content-type", ""), response.content, seconds)
