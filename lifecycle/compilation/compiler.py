"""From a fitted pipeline to its compiled form: the graph, and the vocabularies that turn texts into its codes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lifecycle.compilation.estimators import answer
from lifecycle.compilation.features import INPUT, CannotCompile, Code, Feature, Number, Source
from lifecycle.compilation.graph import Graph
from lifecycle.contract import Column, Contract

MOST_VALUES = 100_000


@dataclass(frozen=True)
class Compiled:
    """What a version's folder holds of its compiled form: `graph` (ONNX) and `description`, as JSON."""

    graph: bytes
    description: str


def compile_pipeline(contract: Contract, estimator: Any, columns: Mapping[str, Sequence[Any]]) -> Compiled:
    """The compiled form of a fitted `estimator` under `contract`; `columns` are rows that show which texts there are.

    Raises CannotCompile with the reason. Equal estimators give equal bytes.
    """
    vocabularies = {
        column.name: _vocabulary(column, estimator, columns[column.name])
        for column in contract.columns
        if column.kind == "categorical"
    }
    graph = Graph(len(contract.columns))
    features = _features(contract, vocabularies, estimator)
    output, kind = answer(graph, estimator, features)
    classes = [str(name) for name in getattr(estimator, "classes_", [])]
    if kind != "values" and (len(classes) < 2 or contract.target.is_regression):
        raise CannotCompile("a classifier of fewer than two classes is not compiled")
    from onnx import TensorProto

    content = graph.finish(output, TensorProto.INT64 if kind == "classes" else TensorProto.DOUBLE)
    description = {"output": kind, "classes": classes, "vocabularies": vocabularies}
    return Compiled(content, json.dumps(description, indent=1, ensure_ascii=False))


def _features(contract: Contract, vocabularies: Mapping[str, Sequence[str]], estimator: Any) -> list[Feature]:
    features: list[Feature] = []
    for index, column in enumerate(contract.columns):
        if column.kind == "categorical":
            values = tuple(vocabularies[column.name])
            features.append(Code(Source(INPUT, index, column.name, values, column.nullable)))
        else:
            features.append(Number(INPUT, index))
    order = getattr(estimator, "feature_names_in_", None)
    if order is not None and list(order) != list(contract.names):
        raise CannotCompile("the estimator was fitted on other columns than the contract's")
    return features


def _vocabulary(column: Column, estimator: Any, values: Sequence[Any]) -> list[str]:
    """Every text that the reference or the contract holds, and those that an encoder of this column knows besides."""
    found = {str(value) for value in values if value is not None} | set(column.categories)
    for name, categories in _categories(estimator):
        texts = {text for text in categories if isinstance(text, str)}
        if name == column.name or not texts.isdisjoint(found):
            found |= texts
    if len(found) > MOST_VALUES:
        raise CannotCompile(f"column {column.name!r} has {len(found):,} different texts; the most is {MOST_VALUES:,}")
    return sorted(found)


def _categories(part: Any) -> Iterator[tuple[str | None, Sequence[Any]]]:
    """The category lists of every encoder within `part`, with the column's name where the encoder knows it."""
    if hasattr(part, "categories_"):
        names = getattr(part, "feature_names_in_", None)
        for index, categories in enumerate(part.categories_):
            yield (str(names[index]) if names is not None else None), np.asarray(categories, dtype=object).tolist()
    inner = [*getattr(part, "steps", []), *getattr(part, "transformers_", []), *getattr(part, "transformer_list", [])]
    for item in inner:
        yield from _categories(item[1])
    for name in ("regressor_", "best_estimator_"):
        if hasattr(part, name):
            yield from _categories(getattr(part, name))
