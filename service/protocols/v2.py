"""The Open Inference Protocol V2, which KServe, Triton, MLServer and OpenVINO clients speak, with binary tensors.

Rows come as one tensor per feature, or as one of all features in the contract's order. Answers are the tensors
`prediction`, `probabilities` (one column per class) and `id`, which names each prediction in feedback.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from lifecycle.contract import Columns, Contract, Kind, Scalar, Target, label_text
from service.exchange import JSON, Handler, Operation, Refused, Request, Response, Route, json_response
from service.live import Live
from service.plane import Answers, DataPlane
from service.protocols.schemas import BINARY, Schema, fields, listing
from service.protocols.tensors import FEW, Tensor, Values, header_length, quoted, read, refused, write
from service.strict_json import decode

BYTES = "application/octet-stream"
UNSAID = ""
"""Some clients, Triton's among them, send no content type."""
HEADER = b"inference-header-content-length"
PREDICTION, PROBABILITIES, ID = "prediction", "probabilities", "id"
DATATYPES: Mapping[Kind, str] = {
    "numeric": "FP64",
    "integer": "INT64",
    "boolean": "BOOL",
    "categorical": "BYTES",
    "datetime": "BYTES",
}
_PARAMETERS: Schema = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}
_SHAPE = listing({"type": "integer"})
_TENSOR = fields(
    {"name": {"type": "string"}, "shape": _SHAPE, "datatype": {"type": "string"}},
    {"data": {"type": "array"}, "parameters": _PARAMETERS},
)
_DESCRIBED = listing(fields({"name": {"type": "string"}, "datatype": {"type": "string"}, "shape": _SHAPE}))
_TEXT: Schema = {"type": "string"}
_SERVER = fields({"name": _TEXT, "version": _TEXT, "extensions": listing(_TEXT)})
_MODEL = fields(
    {"name": _TEXT, "versions": listing(_TEXT), "platform": _TEXT, "inputs": _DESCRIBED, "outputs": _DESCRIBED}
)
_ANSWER = fields({"model_name": _TEXT, "model_version": _TEXT, "outputs": listing(_TENSOR)}, {"id": _TEXT})
_ASKED = fields(
    {"inputs": listing(_TENSOR, least=1)},
    {
        "id": _TEXT,
        "parameters": _PARAMETERS,
        "outputs": listing(fields({"name": {"enum": [PREDICTION, PROBABILITIES, ID]}}, {"parameters": _PARAMETERS})),
    },
)
_LIVE, _READY = fields({"live": {"type": "boolean"}}), fields({"ready": {"type": "boolean"}})


class V2Protocol:
    """Decodes tensors, asks the plane, encodes its answers as tensors."""

    name = "v2"

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._known: Signature | None = None

    def routes(self) -> Sequence[Route]:
        made = [
            self._get("/v2", self.server, "read", "Which server this is.", _SERVER),
            self._get("/v2/health/live", self.alive, "open", "Whether the process runs.", _LIVE),
            self._get("/v2/health/ready", self.ready, "open", "Whether a model is live.", _READY),
        ]
        for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            infer = Operation("Predict rows.", {JSON: _ASKED, BYTES: BINARY}, {JSON: _ANSWER, BYTES: BINARY})
            accepts = frozenset({JSON, BYTES, UNSAID})
            made += [
                self._get(path, self.model, "read", "The tensors that the model takes and gives.", _MODEL),
                self._get(f"{path}/ready", self.model_ready, "open", "Whether this model is live.", _READY),
                Route("POST", f"{path}/infer", self.infer, self.name, "predict", infer, v2_error, accepts),
            ]
        return made

    async def server(self, _: Request) -> Response:
        """Name, version and extensions of the server."""
        return json_response({"name": "evenkeel", "version": _product(), "extensions": ["binary_tensor_data"]})

    async def alive(self, _: Request) -> Response:
        """200: the process answers."""
        return json_response({"live": True})

    async def ready(self, request: Request) -> Response:
        """200 when a model is live, 503 otherwise."""
        self._plane.live(request)
        return json_response({"ready": True})

    async def model(self, request: Request) -> Response:
        """What the live model takes and gives."""
        live = self._asked(request)
        return json_response(self._signature(live).described(self._plane.name, live.version))

    async def model_ready(self, request: Request) -> Response:
        """200 when this model, and this version where one is named, is live."""
        self._asked(request)
        return json_response({"ready": True})

    async def infer(self, request: Request) -> Response:
        """Tensors of features give tensors of answers."""
        live = self._asked(request)
        signature = self._signature(live)
        body = request.body
        length = header_length(request.headers.get(HEADER), body)
        content = decode(body if length is None else body[:length])
        inputs = content.get("inputs") if type(content) is dict else None
        if type(inputs) is not list or not inputs:
            raise refused('the body must be an object with a list "inputs" of at least one tensor; see GET /docs.json')
        if len(inputs) > signature.most_inputs:
            raise refused(
                f"inputs holds {len(inputs)} tensors; the model has no more than {signature.most_inputs} fields"
            )
        answer = self._opened(content)
        names, binary = signature.wanted(content)
        columns, count = signature.columns(read(inputs, None if length is None else body[length:]))
        answers = await self._plane.predict_columns(columns, count, request)
        answer["model_version"] = str(live.version)
        outputs = signature.outputs(answers, names, named=bool(content.get("outputs")))
        encoded, said = write(answer, outputs, binary)
        if said is None:
            return Response(encoded)
        return Response(encoded, media_type=BYTES, headers=((HEADER, b"%d" % said),))

    def _get(self, path: str, handle: Handler, scope: Any, summary: str, answer: Schema) -> Route:
        return Route("GET", path, handle, self.name, scope, Operation(summary, {}, {JSON: answer}), v2_error)

    def _asked(self, request: Request) -> Live:
        """The live model, when it is the one that the path names."""
        name = request.arguments["model"]
        if name != self._plane.name:
            raise Refused(
                404, "not_found", f"there is no model {quoted(name)} here; this service's is {self._plane.name!r}"
            )
        live = self._plane.live(request)
        named = request.arguments.get("version")
        if named is not None and named != str(live.version):
            raise Refused(
                404,
                "not_found",
                f"version {quoted(named)} of model {self._plane.name!r} is not live; version {live.version} is",
            )
        return live

    def _opened(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """What an answer begins with."""
        answer = {"model_name": self._plane.name, "model_version": ""}
        identifier = content.get("id")
        if identifier is not None:
            if type(identifier) is not str:
                raise refused("id must be a text")
            answer["id"] = identifier
        return answer

    def _signature(self, live: Live) -> "Signature":
        """The tensors of `live`, worked out once for each model that goes live."""
        known = self._known
        if known is None or known.contract is not live.model.contract:
            known = self._known = Signature(live.model.contract)
        return known


class Signature:
    """The tensors that a model under `contract` takes and gives."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._kinds: Mapping[str, Kind] = {column.name: column.kind for column in contract.columns}
        self._names = contract.names
        self.most_inputs = len(contract.columns) + len(contract.set_aside)
        self._datatypes = {PREDICTION: _label_datatype(contract.target), PROBABILITIES: "FP64", ID: "BYTES"}
        self._mixed = len(set(map(type, contract.target.classes))) > 1
        self._all = [name for name in self._datatypes if name != PROBABILITIES or contract.target.classes]

    def described(self, name: str, number: int) -> dict[str, Any]:
        """The metadata."""
        inputs = [
            {
                "name": column.name,
                "datatype": DATATYPES[column.kind],
                "shape": [-1],
                "parameters": {"kind": column.kind, "nullable": column.nullable},
            }
            for column in self.contract.columns
        ]
        return {
            "name": name,
            "versions": [str(number)],
            "platform": "evenkeel",
            "inputs": inputs,
            "outputs": [self._output(output) for output in self._all],
        }

    def wanted(self, content: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[str]]:
        """The outputs asked for, in order, and which of them as bytes."""
        everything = _flag(content.get("parameters"), "binary_data_output", "the request", default=False)
        outputs = content.get("outputs")
        if not outputs and (outputs is None or type(outputs) is list):
            return self._all, self._all if everything else ()
        if type(outputs) is not list:
            raise refused("outputs must be a list of objects with a name")
        binary: dict[str, bool] = {}
        for item in outputs:
            name = item.get("name") if type(item) is dict else None
            if name not in self._all or name in binary:
                raise refused(f"each of outputs must name another of {', '.join(self._all)}, not {_shown(name)}")
            binary[name] = _flag(item.get("parameters"), "binary_data", f"output {name!r}", default=everything)
        return list(binary), [name for name, as_bytes in binary.items() if as_bytes]

    def columns(self, tensors: Sequence[Tensor]) -> tuple[Columns, int]:
        """The tensors as columns of features, and how many rows they have."""
        first = tensors[0]
        count = first.shape[0]
        if len(tensors) == 1 and len(first.shape) == 2 and first.shape[1] == len(self._names):
            return self._split(first.values, count), count
        columns: Columns = {}
        for name, _, shape, values in tensors:
            if shape[0] != count:
                raise refused(
                    f"input {quoted(name)} has {shape[0]} rows, input {quoted(first.name)} has {count}; all need as many"
                )
            if len(shape) == 2 and shape[1] != 1:
                raise refused(
                    f"input {quoted(name)} has {shape[1]} columns; send one tensor per feature, of one column each, or "
                    f"a single tensor of {len(self._names)} columns, the features in the order of the model's metadata"
                )
            columns[name] = values if isinstance(values, list) else _fitted(self._kinds.get(name), values)
        if len(columns) != len(tensors):
            raise refused("two of inputs have the same name")
        return columns, count

    def outputs(self, answers: Answers, names: Sequence[str], *, named: bool) -> list[Tensor]:
        """The answers as the tensors `names`; without probabilities where a model gives none and nobody named them."""
        rows = len(answers.ids)
        made: list[Tensor] = []
        for name in names:
            if name == PROBABILITIES:
                scores = answers.probabilities
                if named and not scores:
                    raise refused("this model gives no probabilities; leave them out of outputs")
                values: list[Any] = list(chain.from_iterable(zip(*scores.values(), strict=True)))
                if scores:
                    made.append(Tensor(name, "FP64", [rows, len(scores)], values))
            elif name == ID:
                made.append(Tensor(name, "BYTES", [rows], answers.ids))
            else:
                made.append(Tensor(name, self._datatypes[name], [rows], self._labels(answers.labels)))
        return made

    def _labels(self, labels: list[Scalar]) -> list[Scalar]:
        """Labels as values of their datatype: classes of several types are all texts."""
        return list(map(label_text, labels)) if self._mixed else labels

    def _split(self, values: Values, count: int) -> Columns:
        """The columns of a matrix of all features."""
        width = len(self._names)
        if not isinstance(values, list) and count > FEW:
            whole = np.ascontiguousarray(values.reshape(count, width).T)
            return {
                name: _fitted(kind, column) for (name, kind), column in zip(self._kinds.items(), whole, strict=True)
            }
        flat = values if isinstance(values, list) else _listed(values)
        return {name: flat[index::width] for index, name in enumerate(self._names)}

    def _output(self, name: str) -> dict[str, Any]:
        described: dict[str, Any] = {"name": name, "datatype": self._datatypes[name], "shape": [-1]}
        if name == PROBABILITIES:
            classes = self.contract.target.class_texts
            described["shape"] = [-1, len(classes)]
            described["parameters"] = {f"class_{index}": text for index, text in enumerate(classes)}
        return described


def v2_error(refusal: Refused, _: str) -> bytes:
    """The shape of errors that the protocol prescribes."""
    return orjson.dumps({"error": str(refusal)})


def _label_datatype(target: Target) -> str:
    types = set(map(type, target.classes))
    if not types:
        return "FP64"
    return "BOOL" if types == {bool} else "INT64" if types == {int} else "BYTES"


def _flag(parameters: object, name: str, where: str, *, default: bool) -> bool:
    """A parameter that is true or false. Refuses parameters that would change what is answered, and are not known."""
    if parameters is None:
        return default
    if type(parameters) is not dict:
        raise refused(f"parameters of {where} must be an object")
    for strange in ("classification", "shared_memory_region"):
        if strange in parameters:
            raise refused(f"{where} asks for {strange}, which is not available; leave it out")
    found = parameters.get(name, default)
    if type(found) is not bool:
        raise refused(f"{name} of {where} must be true or false")
    return found


def _shown(name: object) -> str:
    return quoted(name) if type(name) is str else "something that has no name"


def _listed(values: npt.NDArray[Any]) -> list[Any]:
    """An array as a list, where None says what is missing."""
    found: list[Any] = values.tolist()
    return found if values.dtype.kind != "f" else [None if value != value else value for value in found]  # noqa: PLR0124  # only NaN differs from itself


def _fitted(kind: Kind | None, values: npt.NDArray[Any]) -> Values:
    """An array as the contract checks it fastest: a list when it is short, whole numbers as such, flags as such."""
    if len(values) <= FEW:
        return _listed(values)
    if kind == "integer" and values.dtype.kind == "f":
        numbers = values.astype(np.float64)
        if (np.abs(numbers) < 2.0**63).all() and (np.trunc(numbers) == numbers).all():
            return numbers.astype(np.int64)
    if kind == "boolean" and values.dtype.kind in "iuf" and ((values == 0) | (values == 1)).all():
        return values.astype(bool)
    return values


@cache
def _product() -> str:
    try:
        return version("evenkeel")
    except PackageNotFoundError:
        return "unpackaged"  # run from its source, which has no number
