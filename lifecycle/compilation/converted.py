"""The way for parts that have no lowering of their own: skl2onnx converts the part, and its graph is taken into ours."""

from collections.abc import Sequence
from typing import Any

import onnx

from lifecycle.compilation.features import CannotCompile, Feature
from lifecycle.compilation.graph import ML_OPSET, OPSET, Graph


def converted_features(graph: Graph, step: Any, features: Sequence[Feature]) -> list[Feature]:
    """What `step` makes of numeric features, as skl2onnx converts it."""
    outputs = adopt(graph, step, graph.matrix(features))
    found = graph.node("Cast", [outputs[0]], width=_outputs(step), to=onnx.TensorProto.DOUBLE)
    return graph.numbers(found)


def adopt(graph: Graph, part: Any, tensor: str, options: dict[str, Any] | None = None) -> list[str]:
    """Take the graph of `part` over `tensor` in; returns its outputs' names. Raises CannotCompile when there is none."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType

    try:
        model = convert_sklearn(
            part,
            initial_types=[("input", DoubleTensorType([None, graph.width(tensor)]))],
            target_opset={"": min(OPSET, 21), "ai.onnx.ml": ML_OPSET},
            options=options,
        )
    except Exception as error:  # a converter may fail in any way; then there is no compiled form
        sentence = str(error).strip().splitlines()[0][:200] if str(error).strip() else ""
        raise CannotCompile(
            f"{type(part).__name__} has no compiled form ({type(error).__name__}: {sentence})"
        ) from error
    extra = {item.domain for item in model.opset_import} - {"", "ai.onnx.ml"}
    if extra:
        raise CannotCompile(f"{type(part).__name__} would need operators of {', '.join(sorted(extra))}")
    return _renamed(graph, model.graph, tensor)


def _renamed(graph: Graph, found: onnx.GraphProto, tensor: str) -> list[str]:
    prefix = f"p{len(graph.nodes)}_"
    names = {found.input[0].name: tensor}

    def renamed(name: str) -> str:
        return names.setdefault(name, f"{prefix}{len(names)}") if name else ""

    for item in found.initializer:
        item.name = renamed(item.name)
    for node in found.node:
        if any(
            attribute.type in {onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS} for attribute in node.attribute
        ):
            raise CannotCompile("a converted part holds a loop")
        inputs, outputs = [renamed(name) for name in node.input], [renamed(name) for name in node.output]
        del node.input[:], node.output[:]
        node.input.extend(inputs)
        node.output.extend(outputs)
        node.name = ""
    graph.adopt(found.node, found.initializer)
    return [renamed(item.name) for item in found.output]


def _outputs(step: Any) -> int:
    names = getattr(step, "get_feature_names_out", None)
    if names is None:
        raise CannotCompile(f"{type(step).__name__} does not say how many columns it makes")
    try:
        return len(names())
    except Exception as error:  # some need the names of their inputs, and say so in different ways
        raise CannotCompile(f"{type(step).__name__} does not say how many columns it makes: {error}") from error
