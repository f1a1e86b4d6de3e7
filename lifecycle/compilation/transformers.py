"""The steps before the model: each turns features into features, by tables where categories come in, by nodes otherwise."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from lifecycle.compilation.converted import converted_features
from lifecycle.compilation.features import CannotCompile, Feature, Floats, Number, Table
from lifecycle.compilation.graph import Graph
from lifecycle.compilation.lookup import code_numbers
from lifecycle.compilation.tabulation import tabulate

Features = list[Feature]
Lowering = Callable[[Graph, Any, Features], Features]


def transform(graph: Graph, step: Any, features: Features) -> Features:
    """The features that `step`, fitted, makes of `features`. Raises CannotCompile when it is not lowered."""
    if step is None or step == "passthrough":
        return features
    if isinstance(step, str):  # "drop"
        return []
    for kind in type(step).__mro__:
        if lowering := _STRUCTURES.get(kind.__name__):
            return lowering(graph, step, features)
    if hasattr(step, "get_support"):
        return [feature for feature, kept in zip(features, step.get_support(), strict=True) if kept]
    if hasattr(step, "categories_"):
        features = _coded(graph, step, features)
    encoded = [feature for feature in features if not isinstance(feature, Number)]
    if len(encoded) == len(features):
        return tabulate(step, encoded)
    if lowering := _NUMERIC.get(type(step).__name__):
        return lowering(graph, step, features)
    return converted_features(graph, step, features)


def _pipeline(graph: Graph, step: Any, features: Features) -> Features:
    for _, part in step.steps:
        features = transform(graph, part, features)
    return features


def _union(graph: Graph, step: Any, features: Features) -> Features:
    found: Features = []
    for name, part in step.transformer_list:
        weight = (step.transformer_weights or {}).get(name, 1)
        made = transform(graph, part, features)
        found += made if weight == 1 else _mapped(graph, made, "Mul", np.full(len(made), float(weight)))
    return found


def _by_columns(graph: Graph, step: Any, features: Features) -> Features:
    places = step._transformer_to_input_indices  # noqa: SLF001 - names, masks and callables, resolved to indices at fit
    found: Features = []
    for name, part, _ in step.transformers_:
        chosen = [features[index] for index in places[name]]
        made = transform(graph, part, chosen) if chosen else []
        weight = (step.transformer_weights or {}).get(name, 1)
        found += made if weight == 1 else _mapped(graph, made, "Mul", np.full(len(made), float(weight)))
    return found


def _function(graph: Graph, step: Any, features: Features) -> Features:
    if step.func is None or getattr(getattr(step.func, "func", None), "__name__", "") == "check_array":
        return features
    if all(isinstance(feature, Table) for feature in features):
        return tabulate(step, [feature for feature in features if isinstance(feature, Table)])
    operators = _FUNCTIONS.get(getattr(step.func, "__name__", "")) if not step.kw_args else None
    if operators is None:
        raise CannotCompile(f"the function {getattr(step.func, '__name__', step.func)!r} has no compiled form")
    for operator in operators:
        constant = np.ones(len(features)) if operator in {"Add", "Sub"} else None
        features = _mapped(graph, features, operator, constant)
    return features


def _coded(graph: Graph, step: Any, features: Features) -> Features:
    """Numbers that an encoder takes for categories become tables of their own value."""
    chosen = [index for index, feature in enumerate(features) if isinstance(feature, Number)]
    if not chosen:
        return features
    numbers = [feature for feature in features if isinstance(feature, Number)]
    sources = code_numbers(graph, numbers, [step.categories_[index] for index in chosen])
    found = list(features)
    for index, source in zip(chosen, sources, strict=True):
        unseen = max(source.known, default=0.0) + 1.5
        found[index] = Table(source, np.array([*source.known, unseen, np.nan]))
    return found


def _standard(graph: Graph, step: Any, features: Features) -> Features:
    if step.mean_ is not None and step.with_mean:
        features = _mapped(graph, features, "Sub", step.mean_)
    return _mapped(graph, features, "Div", step.scale_) if step.scale_ is not None else features


def _min_max(graph: Graph, step: Any, features: Features) -> Features:
    features = _mapped(graph, _mapped(graph, features, "Mul", step.scale_), "Add", step.min_)
    if not step.clip:
        return features
    low, high = step.feature_range
    bounds = np.ones(len(features))
    return _mapped(graph, _mapped(graph, features, "Max", low * bounds), "Min", high * bounds)


def _max_abs(graph: Graph, step: Any, features: Features) -> Features:
    return _mapped(graph, features, "Div", step.scale_)


def _robust(graph: Graph, step: Any, features: Features) -> Features:
    if step.center_ is not None:
        features = _mapped(graph, features, "Sub", step.center_)
    return _mapped(graph, features, "Div", step.scale_) if step.scale_ is not None else features


def _imputer(graph: Graph, step: Any, features: Features) -> Features:
    if not (isinstance(step.missing_values, float) and np.isnan(step.missing_values)):
        raise CannotCompile(f"SimpleImputer fills in {step.missing_values!r}, where only missing values are compiled")
    fills = np.asarray(step.statistics_, dtype=np.float64)
    kept = [index for index, fill in enumerate(fills) if step.keep_empty_features or not np.isnan(fill)]
    fills = np.nan_to_num(fills, nan=0.0)
    found = _mapped(graph, [features[index] for index in kept], "Fill", fills[kept])
    if step.indicator_ is not None:
        marked = [features[index] for index in step.indicator_.features_]
        found += _mapped(graph, marked, "IsNaN") if marked else []
    return found


def _projection(graph: Graph, step: Any, features: Features) -> Features:
    weights = np.asarray(step.components_, dtype=np.float64).T
    centre = np.asarray(getattr(step, "mean_", np.zeros(len(features))))
    if getattr(step, "whiten", False):
        weights = weights / np.sqrt(step.explained_variance_)
    return graph.numbers(graph.affine(graph.matrix(features), weights, -centre @ weights))


_STRUCTURES: dict[str, Lowering] = {
    "Pipeline": _pipeline,
    "FeatureUnion": _union,
    "ColumnTransformer": _by_columns,
    "FunctionTransformer": _function,
}
_NUMERIC: dict[str, Lowering] = {
    "StandardScaler": _standard,
    "MinMaxScaler": _min_max,
    "MaxAbsScaler": _max_abs,
    "RobustScaler": _robust,
    "SimpleImputer": _imputer,
    "PCA": _projection,
    "TruncatedSVD": _projection,
}
_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "log1p": ("Add", "Log"),
    "expm1": ("Exp", "Sub"),
    "log": ("Log",),
    "exp": ("Exp",),
    "sqrt": ("Sqrt",),
    "absolute": ("Abs",),
}
_AT_ONCE: dict[str, Callable[[Floats, Any], Floats]] = {
    "Sub": np.subtract,
    "Add": np.add,
    "Mul": np.multiply,
    "Div": np.divide,
    "Max": np.maximum,
    "Min": np.minimum,
    "Fill": lambda values, fill: np.where(np.isnan(values), fill, values),
    "IsNaN": lambda values, _: np.isnan(values).astype(np.float64),
    "Log": lambda values, _: np.log(values),
    "Exp": lambda values, _: np.exp(values),
    "Sqrt": lambda values, _: np.sqrt(values),
    "Abs": lambda values, _: np.abs(values),
}


def _mapped(graph: Graph, features: Features, operator: str, constants: Floats | None = None) -> Features:
    """Each feature through `operator`, with its own constant: tables now, numbers by one node when answering."""
    found = list(features)
    chosen = [index for index, feature in enumerate(features) if isinstance(feature, Number)]
    if chosen:
        own = None if constants is None else np.asarray(constants, dtype=np.float64)[chosen]
        made = _emitted(graph, graph.matrix([features[index] for index in chosen]), operator, own)
        for index, number in zip(chosen, graph.numbers(made), strict=True):
            found[index] = number
    for index, feature in enumerate(features):
        if isinstance(feature, Table):
            constant = None if constants is None else constants[index]
            found[index] = Table(feature.source, _AT_ONCE[operator](feature.numbers(), constant))
        elif not isinstance(feature, Number):
            raise CannotCompile(f"column {feature.source.name!r} is still text where numbers are computed")
    return found


def _emitted(graph: Graph, tensor: str, operator: str, constants: Floats | None) -> str:
    width = graph.width(tensor)
    if operator == "IsNaN":
        return graph.node("Cast", [graph.node("IsNaN", [tensor], width=width)], width=width, to=TensorProto.DOUBLE)
    if operator == "Fill" and constants is not None:
        mask = graph.node("IsNaN", [tensor], width=width)
        return graph.node("Where", [mask, graph.constant(constants), tensor], width=width)
    if constants is not None:
        return graph.arithmetic(operator, tensor, constants)
    return graph.node(operator, [tensor], width=width)
