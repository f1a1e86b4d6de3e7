"""The Arrow protocol: bulk scoring from pandas, Polars, DuckDB or Spark without JSON."""

from typing import TYPE_CHECKING, Any

from lifecycle.contract import Target
from service.exchange import JSON, Request, Response, json_response
from service.plane import Answers, DataPlane
from service.protocols.answering import preferred

if TYPE_CHECKING:
    import pyarrow as pa

ARROW = "application/vnd.apache.arrow.stream"


class ArrowProtocol:
    """One stream of record batches in; the same back when the caller accepts it, otherwise JSON."""

    name = "arrow"

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    async def predict(self, request: Request) -> Response:
        """A stream with the columns id, prediction and probability_<class>, or what the native protocol answers.

        The schema's metadata holds `model`, `version` and `request_id`.
        """
        from service.protocols import arrow_streams  # pyarrow comes with it

        request.protocol = self.name
        live = self._plane.live(request)
        stream = arrow_streams.read(request.body, live.model.contract.accepted, self._plane.limits.rows)
        answers = await self._plane.predict_columns(stream.columns, stream.rows, request)
        if preferred(request, (JSON, ARROW)) == ARROW:
            return Response(self._encoded(answers, request.id), media_type=ARROW)
        from service.protocols.native import NativeProtocol  # which imports this module

        return json_response(NativeProtocol(self._plane).encoded(answers, request.id))

    def _encoded(self, answers: Answers, request_id: str) -> bytes:
        from service.protocols import arrow_streams

        columns: dict[str, tuple[pa.DataType, list[Any]]] = {
            "id": (arrow_streams.TEXT, answers.ids),
            "prediction": (arrow_streams.ANSWERS[_kind(answers.live.model.contract.target)], answers.labels),
        }
        for name, numbers in answers.probabilities.items():
            columns[f"probability_{name}"] = (arrow_streams.NUMBER, numbers)
        facts = {"model": self._plane.name, "version": str(answers.version), "request_id": request_id}
        return arrow_streams.write(columns, facts)


def _kind(target: Target) -> type:
    """The type of the target's labels, as callers know them."""
    return float if target.is_regression else type(target.classes[0])
