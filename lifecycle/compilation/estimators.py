"""The last step of a pipeline: what a fitted classifier or regressor answers, as one output of the graph.

Classifiers give "positive" ([rows, 1], the probability of the second of two classes), "probabilities" ([rows, classes])
or "classes" ([rows], the index of the class, where the model knows no probabilities); regressors give "values" ([rows, 1]).
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from onnx import TensorProto

from lifecycle.compilation import converted, trees
from lifecycle.compilation.features import CannotCompile, Feature, Floats, Table
from lifecycle.compilation.graph import Graph
from lifecycle.compilation.transformers import transform

Output = Literal["positive", "probabilities", "classes", "values"]
Answer = tuple[str, Output]
Lowering = Callable[[Graph, Any, list[Feature]], Answer]


def answer(graph: Graph, estimator: Any, features: list[Feature]) -> Answer:
    """The graph's output for a fitted estimator, and what kind it is. Raises CannotCompile when it is not lowered."""
    for kind in type(estimator).__mro__:
        if lowering := _LOWERINGS.get(kind.__name__):
            return lowering(graph, estimator, features)
    if hasattr(estimator, "best_estimator_"):
        return answer(graph, estimator.best_estimator_, features)
    if hasattr(estimator, "coef_") and hasattr(estimator, "intercept_"):
        lowering = _linear_classifier if hasattr(estimator, "classes_") else _linear_regressor
        return lowering(graph, estimator, features)
    return _converted(graph, estimator, features)


def _pipeline(graph: Graph, estimator: Any, features: list[Feature]) -> Answer:
    for _, step in estimator.steps[:-1]:
        features = transform(graph, step, features)
    return answer(graph, estimator.steps[-1][1], features)


def linear(graph: Graph, features: Sequence[Feature], weights: Floats, bias: Floats) -> str:
    """The sum of features @ weights + bias; what encoded categories add up to is looked up instead of multiplied."""
    tables = [index for index, feature in enumerate(features) if isinstance(feature, Table)]
    numbers = [index for index, feature in enumerate(features) if not isinstance(feature, Table)]
    parts: list[str] = []
    if numbers or not tables:
        matrix = graph.matrix([features[index] for index in numbers])
        parts.append(graph.affine(matrix, weights[numbers], bias))
    if tables:
        looked_up = _contributions(graph, [(features[index], weights[index]) for index in tables])
        parts.append(looked_up if numbers else _plus(graph, looked_up, bias))
    return parts[0] if len(parts) == 1 else graph.node("Add", parts, width=len(bias))


def _contributions(graph: Graph, tables: Sequence[tuple[Feature, Floats]]) -> str:
    added: dict[Any, Floats] = {}
    for feature, weights in tables:
        assert isinstance(feature, Table)
        part = np.outer(feature.numbers(), weights)
        added[feature.source] = added[feature.source] + part if feature.source in added else part
    sources = list(added)
    offsets = np.cumsum([0, *(source.codes for source in sources)])[:-1]
    codes = graph.codes(sources, offsets.tolist())
    width = len(tables[0][1])
    rows = graph.node("Gather", [graph.constant(np.concatenate(list(added.values()))), codes], width=width, axis=0)
    return graph.node("ReduceSum", [rows, graph.constant([1], np.int64)], width=width, keepdims=0)


def _plus(graph: Graph, tensor: str, bias: Floats) -> str:
    return graph.node("Add", [tensor, graph.constant(bias)], width=len(bias))


def _scores(graph: Graph, estimator: Any, features: Sequence[Feature]) -> str:
    coefficients = np.atleast_2d(np.asarray(_dense(estimator.coef_), dtype=np.float64))
    bias = np.broadcast_to(np.asarray(estimator.intercept_, dtype=np.float64), (len(coefficients),))
    return linear(graph, features, coefficients.T, np.array(bias))


def _dense(coefficients: Any) -> Any:
    return coefficients.toarray() if hasattr(coefficients, "toarray") else coefficients


def _linear_regressor(graph: Graph, estimator: Any, features: list[Feature]) -> Answer:
    output = _scores(graph, estimator, features)
    loss = getattr(estimator, "_base_loss", None)
    return _linked(graph, output, loss.link if loss is not None else None), "values"


def _linear_classifier(graph: Graph, estimator: Any, features: list[Feature]) -> Answer:
    scores = _scores(graph, estimator, features)
    if not hasattr(estimator, "predict_proba"):
        return _decided(graph, scores), "classes"
    if type(estimator).__name__.startswith("LogisticRegression"):
        return _probable(graph, scores)
    if getattr(estimator, "loss", "") == "log_loss":
        return _one_against_rest(graph, graph.node("Sigmoid", [scores], width=graph.width(scores)))
    if type(estimator).__name__ == "LinearDiscriminantAnalysis":
        return _probable(graph, scores)
    return _converted(graph, estimator, features)


def _decided(graph: Graph, scores: str) -> str:
    """The index of the class with the greatest score; of two classes, the second if the one score is positive."""
    if graph.width(scores) > 1:
        return graph.node("ArgMax", [scores], width=1, axis=1, keepdims=0)
    above = graph.node("Greater", [scores, graph.constant(0.0)], width=1)
    return graph.node("Cast", [above], width=1, to=TensorProto.INT64)


def _probable(graph: Graph, scores: str) -> Answer:
    """Sigmoid of one score, softmax of several."""
    if graph.width(scores) == 1:
        return graph.node("Sigmoid", [scores], width=1), "positive"
    return graph.node("Softmax", [scores], width=graph.width(scores), axis=1), "probabilities"


def _one_against_rest(graph: Graph, chances: str) -> Answer:
    width = graph.width(chances)
    if width == 1:
        return chances, "positive"
    total = graph.node("ReduceSum", [chances, graph.constant([1], np.int64)], width=1, keepdims=1)
    return graph.node("Div", [chances, total], width=width), "probabilities"


def _tree_classifier(graph: Graph, estimator: Any, features: list[Feature]) -> Answer:
    found = [part.tree_ for part in getattr(estimator, "estimators_", [estimator])]
    classes = len(estimator.classes_)
    if classes == 2:
        return trees.mean_of(graph, found, features, lambda tree: _weighing(tree, tree.value[:, 0, 1])), "positive"
    return _votes(graph, found, features, classes), "probabilities"


def _votes(graph: Graph, found: Sequence[Any], features: Sequence[Feature], classes: int) -> str:
    """Several classes: each tree names its leaf, and the leaves' shares of the classes are looked up and averaged."""
    places = {id(tree): index for index, tree in enumerate(found)}
    starts = np.cumsum([0, *(tree.node_count for tree in found)])

    def leaf(tree: Any) -> tuple[Any, Floats]:
        place = places[id(tree)]
        return np.full(tree.node_count, place), starts[place] + np.arange(tree.node_count, dtype=np.float64)

    leaves = trees.sum_of(graph, found, features, leaf, np.zeros(len(found)))
    codes = graph.node("Cast", [leaves], width=len(found), to=TensorProto.INT64)
    shares = graph.constant(np.concatenate([tree.value[:, 0, :] for tree in found]))
    rows = graph.node("Gather", [shares, codes], width=classes, axis=0)
    total = graph.node("ReduceSum", [rows, graph.constant([1], np.int64)], width=classes, keepdims=0)
    return graph.node("Div", [total, graph.constant(float(len(found)))], width=classes)


def _tree_regressor(graph: Graph, estimator: Any, features: list[Feature]) -> Answer:
    found = [part.tree_ for part in getattr(estimator, "estimators_", [estimator])]
    return trees.mean_of(graph, found, features, lambda tree: _weighing(tree, tree.value[:, 0, 0])), "values"


def _weighing(tree: Any, weights: Floats) -> tuple[Any, Floats]:
    return np.zeros(tree.node_count, dtype=np.int64), weights


def _gradient_boosting(graph: Graph, estimator: Any, features: list[Feature]) -> Answer:
    stages = estimator.estimators_
    found = [part.tree_ for stage in stages for part in stage]
    targets = {id(tree): index % stages.shape[1] for index, tree in enumerate(found)}

    def leaves(tree: Any) -> tuple[Any, Floats]:
        return np.full(tree.node_count, targets[id(tree)]), estimator.learning_rate * tree.value[:, 0, 0]

    return _of_loss(graph, estimator, trees.sum_of(graph, found, features, leaves, _start(estimator)))


def _start(estimator: Any) -> Floats:
    """The prediction before the first tree, which must not depend on the row."""
    if type(estimator.init_).__name__ not in {"DummyClassifier", "DummyRegressor", "str"}:
        raise CannotCompile("gradient boosting that starts from a model of its own is not compiled")
    two = np.zeros((2, estimator.n_features_in_), dtype=np.float32)
    two[1] = 1
    start: Floats = estimator._raw_predict_init(two)  # noqa: SLF001 - the link of each loss is known there only
    return np.asarray(start[0], dtype=np.float64)


def _histogram_boosting(graph: Graph, estimator: Any, features: list[Feature]) -> Answer:
    if (before := estimator._preprocessor) is not None:  # noqa: SLF001 - where it encodes its categorical columns
        features = transform(graph, before, features)
    start = np.asarray(estimator._baseline_prediction, dtype=np.float64).ravel()  # noqa: SLF001 - has no public name
    return _of_loss(graph, estimator, trees.histogram_sum(graph, estimator, features, start))


def _of_loss(graph: Graph, estimator: Any, raw: str) -> Answer:
    link = estimator._loss.link  # noqa: SLF001 - the estimator's own link between raw and answered numbers
    if not hasattr(estimator, "classes_"):
        boosting = type(estimator).__name__.startswith("Hist")
        return _linked(graph, raw, link if boosting else None), "values"
    if type(link).__name__ == "HalfLogitLink":
        raw = graph.node("Mul", [raw, graph.constant(2.0)], width=1)
    return _probable(graph, raw)


def _linked(graph: Graph, raw: str, link: Any) -> str:
    name = type(link).__name__
    if link is None or name == "IdentityLink":
        return raw
    if name == "LogLink":
        return graph.node("Exp", [raw], width=graph.width(raw))
    raise CannotCompile(f"the link {name} has no compiled form")


def _transformed_target(graph: Graph, estimator: Any, features: list[Feature]) -> Answer:
    output, _ = answer(graph, estimator.regressor_, features)
    back = estimator.transformer_
    if type(back).__name__ == "StandardScaler":
        scaled = graph.node("Mul", [output, graph.constant(back.scale_)], width=1) if back.with_std else output
        return (_plus(graph, scaled, back.mean_) if back.with_mean else scaled), "values"
    name = getattr(getattr(back, "inverse_func", None), "__name__", "")
    if name not in {"exp", "expm1"}:
        raise CannotCompile(f"the way back from {type(back).__name__} has no compiled form")
    grown = graph.node("Exp", [output], width=1)
    return (graph.node("Sub", [grown, graph.constant(1.0)], width=1) if name == "expm1" else grown), "values"


def _voting(graph: Graph, estimator: Any, features: list[Feature]) -> Answer:
    if getattr(estimator, "voting", "soft") != "soft":
        raise CannotCompile("hard voting is not compiled; soft voting is")
    kept = [
        weight for part, weight in zip(estimator.estimators, estimator.weights or [], strict=False) if part[1] != "drop"
    ]
    weights = np.array(kept or [1.0] * len(estimator.estimators_), dtype=np.float64)
    return _averaged(graph, [(part, features) for part in estimator.estimators_], weights)


def _bagging(graph: Graph, estimator: Any, features: list[Feature]) -> Answer:
    chosen = zip(estimator.estimators_, estimator.estimators_features_, strict=True)
    parts = [(part, [features[index] for index in indices]) for part, indices in chosen]
    return _averaged(graph, parts, np.ones(len(parts)))


def _averaged(graph: Graph, parts: Sequence[tuple[Any, list[Feature]]], weights: Floats) -> Answer:
    """The weighted mean of several estimators' probabilities or values."""
    answers = [answer(graph, part, features) for part, features in parts]
    kinds = {kind for _, kind in answers}
    if len(kinds) > 1 or "classes" in kinds or len({graph.width(output) for output, _ in answers}) > 1:
        raise CannotCompile("the parts of an ensemble answer in different ways")
    width = graph.width(answers[0][0])
    weighed = graph.concat([output for output, _ in answers])
    mean = np.vstack([weight * np.eye(width) for weight in weights / weights.sum()])
    return graph.affine(weighed, mean, np.zeros(width)), kinds.pop()


def _converted(graph: Graph, estimator: Any, features: list[Feature]) -> Answer:
    matrix = graph.matrix(features)
    if not hasattr(estimator, "classes_"):
        found = converted.adopt(graph, estimator, matrix)
        return graph.node("Cast", [found[0]], width=1, to=TensorProto.DOUBLE), "values"
    if not hasattr(estimator, "predict_proba"):
        raise CannotCompile(f"{type(estimator).__name__} has no compiled form")
    found = converted.adopt(graph, estimator, matrix, {"zipmap": False})
    classes = len(estimator.classes_)
    return graph.node("Cast", [found[1]], width=classes, to=TensorProto.DOUBLE), "probabilities"


_LOWERINGS: dict[str, Lowering] = {
    "Pipeline": _pipeline,
    "TransformedTargetRegressor": _transformed_target,
    "VotingClassifier": _voting,
    "VotingRegressor": _voting,
    "BaggingClassifier": _bagging,
    "BaggingRegressor": _bagging,
    "DecisionTreeClassifier": _tree_classifier,
    "ForestClassifier": _tree_classifier,
    "DecisionTreeRegressor": _tree_regressor,
    "ForestRegressor": _tree_regressor,
    "BaseGradientBoosting": _gradient_boosting,
    "BaseHistGradientBoosting": _histogram_boosting,
}
