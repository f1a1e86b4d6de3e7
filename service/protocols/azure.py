"""Azure ML's online endpoint, in the form that MLflow models are deployed to it."""

from collections.abc import Sequence

import orjson

from service.exchange import JSON, Operation, Request, Response, Route, native_error
from service.plane import DataPlane
from service.protocols import schemas
from service.protocols.answering import identified, values, wants_probabilities
from service.protocols.rows import Given, RowReader, malformed, object_of, predict
from service.strict_json import decode


class AzureProtocol:
    """`{"input_data": {"columns", "index"?, "data"}}`, or rows in its place, gives the list of predictions."""

    name = "azure"

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def routes(self) -> Sequence[Route]:
        asked = Operation("Predict rows.", {JSON: schemas.INPUT_DATA}, {JSON: schemas.ANY_LIST})
        return [Route("POST", "/score", self.score, self.name, "predict", asked, native_error, frozenset({JSON}))]

    async def score(self, request: Request) -> Response:
        """One prediction per row, or its probabilities where `params` ask for them."""
        content = object_of(decode(request.body))
        probabilities = wants_probabilities(self._plane, request, content, "params")
        answers = await predict(self._plane, self._given(content, request), request)
        told = values(answers, probabilities=probabilities)
        return Response(orjson.dumps(told), headers=identified(answers))

    def _given(self, content: dict[str, object], request: Request) -> Given:
        if "input_data" not in content:
            raise malformed('the body must have "input_data": an object with columns and data, or a list of rows')
        reader, found = RowReader.of(self._plane, request), content["input_data"]
        return reader.rows(found, "input_data") if isinstance(found, list) else reader.split(found, "input_data")
