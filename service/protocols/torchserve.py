"""TorchServe's inference API: one row as an object, or a list of rows. Its `/ping` is among the invocations' routes."""

from collections.abc import Mapping, Sequence

import orjson

from service.exchange import JSON, Operation, Refused, Request, Response, Route
from service.plane import DataPlane
from service.protocols import schemas
from service.protocols.answering import MODEL_NOT_FOUND, VERSION_NOT_FOUND, check_model, identified
from service.protocols.native import NativeProtocol
from service.protocols.rows import RowReader, predict
from service.strict_json import decode

TYPES: Mapping[int, str] = {
    404: "ResourceNotFoundException",
    405: "MethodNotAllowedException",
    413: "RequestEntityTooLargeException",
    429: "TooManyRequestsException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
NAMED: Mapping[str, str] = {
    MODEL_NOT_FOUND: "ModelNotFoundException",
    VERSION_NOT_FOUND: "ModelVersionNotFoundException",
}


def error_body(refused: Refused, _: str) -> bytes:
    """`{"code", "type", "message"}`."""
    kind = NAMED.get(refused.code) or TYPES.get(refused.status, "BadRequestException")
    return orjson.dumps({"code": refused.status, "type": kind, "message": str(refused)})


class TorchServeProtocol:
    """Answers with objects of prediction, probabilities and id, as the native protocol writes them."""

    name = "torchserve"

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._native = NativeProtocol(plane)

    def routes(self) -> Sequence[Route]:
        asked = Operation(
            "Predict one row, or a list of rows.", {JSON: schemas.ROW_OR_ROWS}, {JSON: schemas.PREDICTION_OR_LIST}
        )
        explained = Operation("Not available here: always 404.", {JSON: schemas.ROW_OR_ROWS}, {})
        accepts = frozenset({JSON})
        paths = ("/predictions/{model}", "/predictions/{model}/{version}")
        return [
            *(Route("POST", path, self.predict, self.name, "predict", asked, error_body, accepts) for path in paths),
            Route("POST", "/explanations/{model}", self.explain, self.name, "predict", explained, error_body, accepts),
        ]

    async def predict(self, request: Request) -> Response:
        """An object for an object, a list for a list."""
        check_model(self._plane, request)
        content = decode(request.body)
        given = RowReader.of(self._plane, request).one_or_many(content, "the body")
        answers = await predict(self._plane, given, request)
        told = self._native.encoded(answers, request.id)["predictions"]
        return Response(orjson.dumps(told[0] if isinstance(content, dict) else told), headers=identified(answers))

    async def explain(self, _: Request) -> Response:
        """Explanations are another task than predictions, and this service has none."""
        raise Refused(404, "no_explanations", "there are no explanations here; POST /predictions/{model} predicts")
