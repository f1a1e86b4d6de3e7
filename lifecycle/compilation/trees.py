"""Tree models: decision trees, forests, gradient boosting, and the boosting of histograms, all in double precision."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lifecycle.compilation.features import CannotCompile, Feature, Floats, Table
from lifecycle.compilation.forest import AVERAGE, LESS_OR_EQUAL, SUM, Forest, Integers, Tree
from lifecycle.compilation.graph import Graph
from lifecycle.compilation.splits import Inputs, below, in_set, split_by_code

Leaves = Callable[[Any], tuple[Integers, Floats]]
"""For a tree of scikit-learn the target and the weight of each node."""


def as_float32_thresholds(thresholds: Floats) -> Floats:
    """For each threshold the largest double that, rounded to single precision, is at most the threshold.

    Scikit-learn's own trees round their input to single precision and compare it with a double; comparing the double
    input with these thresholds decides alike, without a rounding step.
    """
    largest = np.finfo(np.float32).max
    kept = np.clip(thresholds, -largest, largest).astype(np.float32)
    with np.errstate(over="ignore"):  # beyond the largest number lies infinity, as meant
        under = np.where(kept > thresholds, np.nextafter(kept, np.float32(-np.inf)), kept)
        over = np.nextafter(under, np.float32(np.inf))
    middle = under.astype(np.float64) / 2 + over.astype(np.float64) / 2
    even = (under.view(np.int32) & 1) == 0  # what lies in the middle is rounded to the even neighbour
    found = np.where(even, middle, np.nextafter(middle, -np.inf))
    return np.where(np.isfinite(over), found, np.finfo(np.float64).max)


def sum_of(graph: Graph, trees: Sequence[Any], features: Sequence[Feature], leaves: Leaves, start: Floats) -> str:
    """`start` and the sum over scikit-learn's own trees (`tree_` of decision trees); [rows, targets]."""
    return _ensemble(graph, trees, features, leaves, _starting(start))


def mean_of(graph: Graph, trees: Sequence[Any], features: Sequence[Feature], leaves: Leaves) -> str:
    """The mean over scikit-learn's own trees; [rows, 1]."""
    return _ensemble(graph, trees, features, leaves, Forest(1, AVERAGE))


def _ensemble(graph: Graph, trees: Sequence[Any], features: Sequence[Feature], leaves: Leaves, forest: Forest) -> str:
    used = {int(index) for tree in trees for index in np.unique(tree.feature) if index >= 0}
    inputs = Inputs(graph, features, used)
    columns = np.array([inputs.column(index) for index in range(max(used, default=0) + 1)])
    for tree in trees:
        forest.add(_exact(tree, features, inputs, columns, *leaves(tree)))
    return forest.node(graph, inputs.tensor)


def _exact(
    tree: Any, features: Sequence[Feature], inputs: Inputs, columns: Integers, target: Integers, weight: Floats
) -> Tree:
    made = Tree(
        left=tree.children_left.astype(np.int64),
        right=tree.children_right.astype(np.int64),
        feature=columns[np.maximum(tree.feature, 0)],
        mode=np.full(tree.node_count, LESS_OR_EQUAL, dtype=np.uint8),
        value=as_float32_thresholds(tree.threshold),
        missing_left=tree.missing_go_to_left.astype(np.int64),
        members={},
        target=target,
        weight=weight,
    )
    for index in inputs.coded:
        feature = features[index]
        assert isinstance(feature, Table)
        values = feature.numbers().astype(np.float32)
        for node in np.flatnonzero((tree.children_left >= 0) & (tree.feature == index)).tolist():
            missing_left = bool(tree.missing_go_to_left[node])
            split_by_code(made, node, below(values, tree.threshold[node], missing_left=missing_left))
    return made


def _starting(start: Floats) -> Forest:
    """A forest that begins with `start`, as a tree without splits: sums then round as scikit-learn's do."""
    forest = Forest(len(start), SUM)
    for target, value in enumerate(start.tolist()):
        if value:
            forest.add_constant(target, value)
    return forest


def histogram_sum(graph: Graph, model: Any, features: Sequence[Feature], start: Floats) -> str:
    """`start` and the sum over the trees of HistGradientBoosting; [rows, trees per iteration]."""
    iterations = model._predictors  # noqa: SLF001 - the trees have no public name
    known, places = model._bin_mapper.make_known_categories_bitsets()  # noqa: SLF001 - as above
    splits = [part[part["is_leaf"] == 0] for iteration in iterations for part in (tree.nodes for tree in iteration)]
    used = {int(index) for part in splits for index in part["feature_idx"]}
    sets = frozenset(int(index) for part in splits for index in part["feature_idx"][part["is_categorical"] == 1])
    if any(not isinstance(features[index], Table) for index in sets):
        raise CannotCompile("a split by category looks at a column that holds no categories")
    inputs = Inputs(graph, features, used, sets)
    forest = _starting(start)
    for iteration in iterations:
        for target, tree in enumerate(iteration):
            made = _histogram(tree.nodes, target, inputs)
            _split_by_codes(made, tree, features, inputs, known[places] if len(known) else known)
            forest.add(made)
    return forest.node(graph, inputs.tensor)


def _histogram(nodes: npt.NDArray[Any], target: int, inputs: Inputs) -> Tree:
    leaf = nodes["is_leaf"] == 1
    plain = ~leaf & (nodes["is_categorical"] == 0)
    return Tree(
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
        feature=np.array([inputs.column(index) for index in nodes["feature_idx"].tolist()]),
        mode=np.full(len(nodes), LESS_OR_EQUAL, dtype=np.uint8),
        value=np.where(plain, nodes["num_threshold"], 0.0),
        missing_left=nodes["missing_go_to_left"].astype(np.int64),
        members={},
        target=np.full(len(nodes), target),
        weight=nodes["value"].astype(np.float64),
    )


def _split_by_codes(made: Tree, tree: Any, features: Sequence[Feature], inputs: Inputs, known: Any) -> None:
    nodes = tree.nodes
    for node in np.flatnonzero((nodes["is_leaf"] == 0) & np.isin(nodes["feature_idx"], list(inputs.coded))).tolist():
        split = nodes[node]
        feature, missing_left = features[split["feature_idx"]], bool(split["missing_go_to_left"])
        assert isinstance(feature, Table)
        if split["is_categorical"]:
            members = tree.raw_left_cat_bitsets[split["bitset_idx"]]
            left = in_set(feature.numbers(), members, known[split["feature_idx"]], missing_left=missing_left)
        else:
            left = below(feature.numbers(), float(split["num_threshold"]), missing_left=missing_left)
        split_by_code(made, node, left)
