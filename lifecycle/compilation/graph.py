"""An ONNX graph in the making. Names go by order, so that equal pipelines give equal bytes."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from lifecycle.compilation.features import INPUT, CannotCompile, Feature, Floats, Number, Source, Table

ML = "ai.onnx.ml"
OPSET, ML_OPSET, ML_OPSET_OF_TREES = 21, 3, 5
IR_VERSION = 10
_FOLDED: dict[str, Callable[[Floats, Floats, Floats], tuple[Floats, Floats]]] = {
    "Add": lambda constants, weights, bias: (weights, bias + constants @ weights),
    "Sub": lambda constants, weights, bias: (weights, bias - constants @ weights),
    "Mul": lambda constants, weights, bias: (weights * constants[:, None], bias),
    "Div": lambda constants, weights, bias: (weights / constants[:, None], bias),
}
LARGEST_TABLES = 4_000_000
"""Most values of all tables that one step gathers from: 32 MB."""


class Graph:
    """Nodes over the input matrix INPUT of `width` float64 columns. Every tensor is [rows, columns] unless said."""

    def __init__(self, width: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.ml_opset = ML_OPSET
        self._width = width
        self._widths = {INPUT: width}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.initializers: list[onnx.TensorProto] = []
        self._made: dict[tuple[Any, ...], str] = {}
        self._origins: dict[str, tuple[str, str, Floats]] = {}

    def constant(self, values: npt.ArrayLike, kind: npt.DTypeLike = np.float64) -> str:
        """The name of a constant tensor; equal constants are one."""
        array = np.ascontiguousarray(np.asarray(values, dtype=kind))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = f"c{len(self._constants)}"
            self.initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def node(self, operator: str, inputs: Sequence[str], *, width: int, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output of `width` columns; returns the output's name."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], domain=domain, **attributes))
        self._widths[name] = width
        return name

    def adopt(self, nodes: Iterable[onnx.NodeProto], initializers: Iterable[onnx.TensorProto]) -> None:
        """Take over nodes made elsewhere, whose names cannot meet ours."""
        self.nodes.extend(nodes)
        self.initializers.extend(initializers)

    def width(self, tensor: str) -> int:
        return self._widths[tensor]

    def columns(self, tensor: str, indices: Sequence[int]) -> str:
        """The chosen columns of `tensor`; `tensor` itself when they are all of it in order."""
        chosen = tuple(indices)
        if chosen == tuple(range(self.width(tensor))):
            return tensor
        key = ("columns", tensor, chosen)
        if key not in self._made:
            inputs = [tensor, self.constant(chosen, np.int64)]
            self._made[key] = self.node("Gather", inputs, width=len(chosen), axis=1)
        return self._made[key]

    def concat(self, tensors: Sequence[str]) -> str:
        """The tensors side by side."""
        if len(tensors) == 1:
            return tensors[0]
        return self.node("Concat", tensors, width=sum(map(self.width, tensors)), axis=1)

    def pick(self, places: Sequence[tuple[str, int]]) -> str:
        """A tensor whose columns are the given (tensor, index) places, in order."""
        tensors = list(dict.fromkeys(tensor for tensor, _ in places))
        if len(tensors) == 1:
            return self.columns(tensors[0], [index for _, index in places])
        parts = [[index for other, index in places if other == tensor] for tensor in tensors]
        joined = self.concat([self.columns(tensor, part) for tensor, part in zip(tensors, parts, strict=True)])
        order: dict[tuple[str, int], int] = {}
        for tensor, part in zip(tensors, parts, strict=True):
            for index in part:
                order[tensor, index] = len(order)
        if len(order) < len(places):  # a column that is asked for twice
            raise CannotCompile("a column takes part twice in one step")
        return self.columns(joined, [order[place] for place in places])

    def codes(self, sources: Sequence[Source], offsets: Sequence[int]) -> str:
        """Each source's codes plus its offset, as int64."""
        found = self.pick([(source.tensor, source.index) for source in sources])
        if any(offsets):
            found = self.node("Add", [found, self.constant(offsets)], width=len(sources))
        return self.node("Cast", [found], width=len(sources), to=TensorProto.INT64)

    def gather(self, tables: Sequence[Table]) -> str:
        """The tables' values, one column each: one look-up for all of them."""
        values = [table.numbers() for table in tables]
        sizes = [len(column) for column in values]
        if sum(sizes) > LARGEST_TABLES:
            raise CannotCompile(f"its encoders' tables hold {sum(sizes):,} values; the most is {LARGEST_TABLES:,}")
        offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        flat = self.constant(np.concatenate(values))
        places = [(table.source.tensor, table.source.index) for table in tables]
        found = self._repeated(places)
        if offsets.any():
            found = self.node("Add", [found, self.constant(offsets)], width=len(tables))
        codes = self.node("Cast", [found], width=len(tables), to=TensorProto.INT64)
        return self.node("Gather", [flat, codes], width=len(tables), axis=0)

    def _repeated(self, places: Sequence[tuple[str, int]]) -> str:
        unique = list(dict.fromkeys(places))
        if len({tensor for tensor, _ in unique}) == 1:
            return self.columns(places[0][0], [index for _, index in places])
        where = {place: index for index, place in enumerate(unique)}
        return self.columns(self.pick(unique), [where[place] for place in places])

    def matrix(self, features: Sequence[Feature]) -> str:
        """The features as one float64 tensor, in their order."""
        if not features:
            raise CannotCompile("a step is left without columns")
        tables = [feature for feature in features if isinstance(feature, Table)]
        gathered = self.gather(tables) if tables else ""
        seen = iter(range(len(tables)))
        places: list[tuple[str, int]] = []
        for feature in features:
            if isinstance(feature, Table):
                places.append((gathered, next(seen)))
            elif isinstance(feature, Number):
                places.append((feature.tensor, feature.index))
            else:
                raise CannotCompile(f"column {feature.source.name!r} is still text where numbers are computed")
        return self._repeated(places)

    def numbers(self, tensor: str) -> list[Feature]:
        """The columns of `tensor` as features."""
        return [Number(tensor, index) for index in range(self.width(tensor))]

    def arithmetic(self, operator: str, tensor: str, constants: Floats) -> str:
        """Each column of `tensor` through Add, Sub, Mul, Div, Max or Min with its own constant."""
        name = self.node(operator, [tensor, self.constant(constants)], width=self.width(tensor))
        self._origins[name] = (operator, tensor, constants)
        return name

    def affine(self, tensor: str, weights: Floats, bias: Floats) -> str:
        """The product tensor @ weights + bias; scaling and shifting just before it is folded into the weights."""
        while (origin := self._origins.get(tensor)) and origin[0] in _FOLDED:
            operator, tensor, constants = origin
            weights, bias = _FOLDED[operator](constants, weights, bias)
        return self.node("Gemm", [tensor, self.constant(weights), self.constant(bias)], width=weights.shape[1])

    def finish(self, output: str, kind: int = TensorProto.DOUBLE) -> bytes:
        """The model's bytes, with `output` as its only output. Nodes that it does not need are left out."""
        needed = {output}
        nodes: list[onnx.NodeProto] = []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                nodes.append(node)
                needed |= set(node.input)
        graph = helper.make_graph(
            nodes[::-1],
            "pipeline",
            [helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, [None, self._width])],
            [helper.make_tensor_value_info(output, kind, None)],
            [item for item in self.initializers if item.name in needed],
        )
        imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML, self.ml_opset)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="evenkeel")
        content: bytes = model.SerializeToString(deterministic=True)
        return content
