"""The TensorFlow Serving REST API, version 1, which KServe's version 1 shares.

The signature `serving_default` (or none) answers with predictions, the signature `probabilities` with one list per row, in
the order of the classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from lifecycle.contract import Contract
from service.exchange import JSON, Operation, Refused, Request, Response, Route, json_response
from service.plane import DataPlane
from service.protocols import schemas
from service.protocols.answering import check_classes, check_model, identified, values
from service.protocols.rows import Given, RowReader, malformed, object_of, one_of, predict
from service.strict_json import decode

SERVING, PROBABILITIES = "serving_default", "probabilities"
LABEL = "champion"
UNSAID, FORM = "", "application/x-www-form-urlencoded"
"""What clients send that leave the content type to their library: none, or that of `curl -d`. The body is JSON all the same."""
METHOD = "tensorflow/serving/predict"
MODEL = "/v1/models/{model}"
TYPES: Mapping[str, str] = {"numeric": "DT_DOUBLE", "integer": "DT_INT64", "boolean": "DT_BOOL"}
"""The tensor type of each kind; of all others it is a string."""
NUMBER, STRING = "DT_DOUBLE", "DT_STRING"
CLASS_TYPES: Mapping[type, str] = {bool: "DT_BOOL", int: "DT_INT64", str: STRING}


def error_body(refused: Refused, _: str) -> bytes:
    """`{"error": sentence}`."""
    return orjson.dumps({"error": str(refused)})


class TensorFlowProtocol:
    """Rows as `instances`, or columns as `inputs`."""

    name = "tensorflow"

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def routes(self) -> Sequence[Route]:
        predict = Operation("Predict instances.", {JSON: schemas.INSTANCES_OR_INPUTS}, {JSON: schemas.ANY_OBJECT})
        listed = Operation("The names of the models.", {}, {JSON: schemas.ANY_OBJECT})
        status = Operation("Which version of the model is live.", {}, {JSON: schemas.ANY_OBJECT})
        metadata = Operation("What the model takes and gives.", {}, {JSON: schemas.ANY_OBJECT})
        addresses = (MODEL, f"{MODEL}/versions/{{version}}", f"{MODEL}/labels/{{label}}")
        accepts = frozenset({JSON, UNSAID, FORM})
        asked = [
            Route("POST", f"{path}:predict", self.predict, self.name, "predict", predict, error_body, accepts)
            for path in addresses
        ]
        told = [
            Route("GET", f"{path}{end}", handle, "other", "read", operation, error_body)
            for path in addresses
            for end, handle, operation in (("", self.status, status), ("/metadata", self.metadata, metadata))
        ]
        return [*asked, *told, Route("GET", "/v1/models", self.models, "other", "read", listed, error_body)]

    async def predict(self, request: Request) -> Response:
        """`{"instances"}` gives `{"predictions"}`, `{"inputs"}` gives `{"outputs"}`."""
        self._check(request)
        content = object_of(decode(request.body))
        probabilities = self._signature(content, request) == PROBABILITIES
        field = one_of(content, ("instances", "inputs"))
        answers = await predict(self._plane, self._given(content[field], field, request), request)
        told = values(answers, probabilities=probabilities)
        body = {"predictions" if field == "instances" else "outputs": told}
        return Response(orjson.dumps(body), headers=identified(answers))

    async def models(self, _: Request) -> Response:
        """The one name."""
        return json_response({"models": [self._plane.name]})

    async def status(self, request: Request) -> Response:
        """The live version, as TensorFlow Serving says it and as KServe does."""
        self._check(request)
        fine = {"error_code": "OK", "error_message": ""}
        version = {"version": str(self._plane.live(request).version), "state": "AVAILABLE", "status": fine}
        return json_response({"model_version_status": [version], "name": self._plane.name, "ready": True})

    async def metadata(self, request: Request) -> Response:
        """The signatures."""
        self._check(request)
        live = self._plane.live(request)
        specification = {"name": self._plane.name, "signature_name": "", "version": str(live.version)}
        signatures = {"signature_def": {"signature_def": _signatures(live.model.contract)}}
        return json_response({"model_spec": specification, "metadata": signatures})

    def _given(self, found: object, field: str, request: Request) -> Given:
        reader = RowReader.of(self._plane, request)
        if field == "inputs" and isinstance(found, dict):
            return reader.columns(found, field)
        return reader.rows(found, field)

    def _signature(self, content: Mapping[str, Any], request: Request) -> object:
        name = content.get("signature_name", SERVING)
        if name not in (SERVING, PROBABILITIES, ""):
            raise malformed(f'there is no such signature; "signature_name" is "{SERVING}" or "{PROBABILITIES}"')
        if name == PROBABILITIES:
            check_classes(self._plane, request)
        return name

    def _check(self, request: Request) -> None:
        check_model(self._plane, request)
        if request.arguments.get("label", LABEL) != LABEL:
            raise Refused(404, "label_not_found", f'there is no such label; "{LABEL}" names the live version')


def _signatures(contract: Contract) -> dict[str, Any]:
    inputs = {column.name: _tensor(column.name, TYPES.get(column.kind, STRING)) for column in contract.columns}
    target = contract.target
    answer = _tensor("predictions", NUMBER if target.is_regression else CLASS_TYPES[type(target.classes[0])])
    signatures = {SERVING: {"inputs": inputs, "outputs": {"predictions": answer}, "method_name": METHOD}}
    if not target.is_regression:
        shares = _tensor("probabilities", NUMBER, len(target.classes))
        signatures[PROBABILITIES] = {"inputs": inputs, "outputs": {"probabilities": shares}, "method_name": METHOD}
    return signatures


def _tensor(name: str, kind: str, *sizes: int) -> dict[str, Any]:
    dimensions = [{"size": str(size), "name": ""} for size in (-1, *sizes)]
    return {"dtype": kind, "tensor_shape": {"dim": dimensions, "unknown_rank": False}, "name": name}
