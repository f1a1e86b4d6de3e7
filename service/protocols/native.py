"""The native protocol: `POST /predict` with rows as objects, or with an Arrow stream where that protocol is on."""

from collections.abc import Sequence
from typing import Any

from lifecycle.errors import InputRejected
from service.exchange import JSON, Operation, Request, Response, Route, json_response, native_error
from service.plane import Answers, DataPlane
from service.protocols import schemas
from service.protocols.arrow import ARROW, ArrowProtocol
from service.strict_json import decode


class NativeProtocol:
    """Decodes native requests, asks the plane, encodes its answers."""

    name = "native"

    def __init__(self, plane: DataPlane, arrow: ArrowProtocol | None = None) -> None:
        self._plane = plane
        self._arrow = arrow

    def routes(self) -> Sequence[Route]:
        bodies = {JSON: schemas.PREDICT_REQUEST} | ({ARROW: schemas.BINARY} if self._arrow else {})
        answers = {JSON: schemas.PREDICT_RESPONSE} | ({ARROW: schemas.BINARY} if self._arrow else {})
        operation = Operation("Predict rows.", bodies, answers)
        accepts = frozenset(bodies)
        return [Route("POST", "/predict", self.predict, self.name, "predict", operation, native_error, accepts)]

    async def predict(self, request: Request) -> Response:
        """`{"rows": [{feature: value}]}` gives `{"request_id", "model", "version", "predictions"}`."""
        if self._arrow and request.media_type() == ARROW:
            return await self._arrow.predict(request)
        answers = await self._plane.predict(listed(decode(request.body), "rows"), request)
        return json_response(self.encoded(answers, request.id))

    def encoded(self, answers: Answers, request_id: str) -> dict[str, Any]:
        """The answers as the protocol writes them."""
        return {
            "request_id": request_id,
            "model": self._plane.name,
            "version": answers.version,
            "predictions": _rows(answers),
        }


def listed(content: object, field: str) -> list[Any]:
    """The list `field` of a decoded body. Raises InputRejected when there is none."""
    found = content.get(field) if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise InputRejected(f'the body must be an object with a list "{field}"; see GET /docs.json')
    return found


def _rows(answers: Answers) -> list[dict[str, Any]]:
    pairs = zip(answers.ids, answers.labels, strict=True)
    if not answers.probabilities:
        return [{"id": identifier, "prediction": label} for identifier, label in pairs]
    names = tuple(answers.probabilities)
    scores = zip(*answers.probabilities.values(), strict=True)
    return [
        {"id": identifier, "prediction": label, "probabilities": dict(zip(names, row, strict=True))}
        for (identifier, label), row in zip(pairs, scores, strict=True)
    ]
