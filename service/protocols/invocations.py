"""`/invocations` and the probes beside it: MLflow's scoring server, SageMaker's container, and TorchServe's `/ping`.

JSON, and CSV with a header, are MLflow's; CSV without a header is SageMaker's. What a caller sends wrong is a 400, as MLflow
prescribes.
"""

import csv
import io
import re
from collections.abc import Sequence
from importlib.metadata import version as installed
from typing import Any

import orjson

from lifecycle.errors import EvenkeelError, InputRejected
from service.exchange import JSON, Operation, Refused, Request, Response, Route, json_response
from service.plane import Answers, DataPlane
from service.protocols import csv_rows, schemas
from service.protocols.answering import identified, preferred, values, wants_probabilities
from service.protocols.rows import Given, RowReader, object_of, one_of, predict
from service.strict_json import decode

CSV, JSON_LINES, PLAIN = "text/csv", "application/jsonlines", "text/plain; charset=utf-8"
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
MEBIBYTE = 2**20
MOST_MEBIBYTES = 100
"""SageMaker's bound on a payload, and on all payloads that are sent at once."""
_STRING_OR_NAN = re.compile(rb'(?s)"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|NaN')
"""A string that never ends is taken to the end, once: looking for others within it would take the square of its length."""
_CODES = {
    404: "RESOURCE_DOES_NOT_EXIST",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}


def error_body(refused: Refused, _: str) -> bytes:
    """`{"error_code", "message"}`."""
    return orjson.dumps({"error_code": _CODES.get(refused.status, "BAD_REQUEST"), "message": str(refused)})


class Ping:
    """`/ping` and `/health`, as MLflow, SageMaker and TorchServe ask."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def routes(self) -> Sequence[Route]:
        operation = Operation("Whether a model is live.", {}, {PLAIN: schemas.TEXT, JSON: schemas.ANY_OBJECT})
        paths = ("/ping", "/health")
        return [Route("GET", path, self.ping, "other", "open", operation, error_body) for path in paths]

    async def ping(self, request: Request) -> Response:
        """200 and nothing, or TorchServe's object where JSON is asked for by name; 503 without a model."""
        self._plane.live(request)
        if preferred(request, (PLAIN, JSON)) == JSON:
            return json_response({"status": "Healthy"})
        return Response(b"", media_type=PLAIN)


class InvocationsProtocol:
    """One adapter for the names `mlflow` and `sagemaker`, which share their paths."""

    name = "mlflow"

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def routes(self) -> Sequence[Route]:
        operation = Operation(
            "Predict a frame of rows.",
            {JSON: schemas.INVOCATION, CSV: schemas.TEXT},
            {JSON: schemas.PREDICTIONS, CSV: schemas.TEXT, JSON_LINES: schemas.TEXT},
        )
        version = Operation("The version of Evenkeel.", {}, {PLAIN: schemas.TEXT})
        parameters = Operation("How SageMaker may send batches.", {}, {JSON: schemas.ANY_OBJECT})
        accepts = frozenset({JSON, CSV})
        return [
            Route("POST", "/invocations", self.invoke, self.name, "predict", operation, error_body, accepts),
            Route("GET", "/version", self.version, "other", "read", version, error_body),
            Route("GET", "/execution-parameters", self.parameters, "other", "read", parameters, error_body),
        ]

    async def invoke(self, request: Request) -> Response:
        """`{"predictions": [...]}`, or one prediction per line where the caller prefers CSV or JSON lines."""
        _check_charset(request)
        try:
            given, probabilities = self._csv(request) if request.media_type() == CSV else self._json(request)
            answers = await predict(self._plane, given, request)
        except InputRejected as error:
            raise Refused(400, "bad_request", str(error), error.problems) from error
        told = values(answers, probabilities=probabilities)
        return _encoded(told, answers, preferred(request, (JSON, CSV, JSON_LINES)))

    async def version(self, _: Request) -> Response:
        """This product's version, where MLflow's server tells its own."""
        return Response(installed("evenkeel").encode(), media_type=PLAIN)

    async def parameters(self, _: Request) -> Response:
        """Batches of many rows, as large as a body may be, and as many at once as SageMaker allows of these."""
        size = min(max(self._plane.limits.body_bytes // MEBIBYTE, 1), MOST_MEBIBYTES)
        at_once = max(1, min(self._plane.limits.waiting, MOST_MEBIBYTES // size))
        return json_response(
            {"MaxConcurrentTransforms": at_once, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": size}
        )

    def _csv(self, request: Request) -> tuple[Given, bool]:
        contract = self._plane.live(request).model.contract
        given, has_header = csv_rows.read(request.body, contract, RowReader.of(self._plane, request))
        if not has_header:
            request.protocol = "sagemaker"
        return given, False

    def _json(self, request: Request) -> tuple[Given, bool]:
        content = object_of(_decoded(request.body))
        probabilities = wants_probabilities(self._plane, request, content, "params")
        form = one_of(content, FORMS)
        reader, found = RowReader.of(self._plane, request), content[form]
        if form == "dataframe_split":
            return reader.split(found, form), probabilities
        if form == "inputs" and isinstance(found, dict):
            return reader.columns(found, form), probabilities
        return reader.rows(found, form), probabilities


def _decoded(body: bytes) -> Any:
    """The body; NaN is null, because MLflow's own client writes what is missing in a frame as NaN."""
    try:
        return decode(body)
    except EvenkeelError:
        if b"NaN" not in body:
            raise
        return decode(_STRING_OR_NAN.sub(lambda found: b"null" if found[0] == b"NaN" else found[0], body))


def _check_charset(request: Request) -> None:
    _, *parameters = request.headers.get(b"content-type", b"").lower().split(b";")
    for parameter in parameters:
        name, _, value = parameter.strip().partition(b"=")
        if name == b"charset" and value.strip(b'"') not in (b"utf-8", b"utf8", b"us-ascii"):
            raise Refused(
                415, "unsupported_media_type", "send the body in UTF-8, and say so or nothing in Content-Type"
            )


def _encoded(told: list[Any], answers: Answers, media_type: str) -> Response:
    if media_type == JSON:
        body = orjson.dumps({"predictions": told})
    elif media_type == JSON_LINES:
        body = b"".join(orjson.dumps({"prediction": value}, option=orjson.OPT_APPEND_NEWLINE) for value in told)
    else:
        body = _lines(told)
    return Response(body, media_type=media_type, headers=identified(answers))


def _lines(told: list[Any]) -> bytes:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\n").writerows(
        [_cell(item) for item in value] if isinstance(value, list) else [_cell(value)] for value in told
    )
    return written.getvalue().encode()


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
