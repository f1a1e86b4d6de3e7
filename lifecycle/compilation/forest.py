"""Trees as one TreeEnsemble node in double precision: what every tree model, and the look-up of numbers, is lowered to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import numpy_helper

from lifecycle.compilation.features import Floats
from lifecycle.compilation.graph import ML, ML_OPSET_OF_TREES, Graph

LESS_OR_EQUAL, EQUAL, MEMBER = 0, 4, 6
AVERAGE, SUM = 0, 1
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tree:
    """One tree, node 0 its root; arrays have one entry per node, and a leaf has no children (-1).

    A node sends a row left when its feature is less than or equal to `value`, equal to it, or one of `members[node]`.
    A leaf adds `weight` to the output `target`.
    """

    left: Integers
    right: Integers
    feature: Integers
    mode: npt.NDArray[np.uint8]
    value: Floats
    missing_left: Integers
    members: dict[int, Sequence[float]]
    target: Integers
    weight: Floats


@dataclass
class Forest:
    """Trees whose leaves add up, to `targets` numbers per row."""

    targets: int
    aggregate: int = SUM
    _trees: list[dict[str, Any]] = field(default_factory=list)
    _nodes: int = 0
    _leaves: int = 0

    def add(self, tree: Tree) -> None:
        """Take in one more tree."""
        inner = tree.left >= 0
        if not inner[0]:
            self.add_constant(int(tree.target[0]), float(tree.weight[0]))
            return
        places = np.where(inner, self._nodes + np.cumsum(inner) - 1, self._leaves + np.cumsum(~inner) - 1)
        left, right = tree.left[inner], tree.right[inner]
        self._trees.append(
            {
                "root": self._nodes,
                "feature": tree.feature[inner],
                "mode": tree.mode[inner],
                "value": tree.value[inner],
                "missing_left": tree.missing_left[inner],
                "left": places[left],
                "left_is_leaf": ~inner[left],
                "right": places[right],
                "right_is_leaf": ~inner[right],
                "members": [tree.members[node] for node in np.flatnonzero(inner).tolist() if node in tree.members],
                "target": tree.target[~inner],
                "weight": tree.weight[~inner],
            }
        )
        self._nodes += int(inner.sum())
        self._leaves += int((~inner).sum())

    def add_constant(self, target: int, weight: float) -> None:
        """Take in a tree without splits, as a node both of whose ways lead to the same answer."""
        self.add(
            Tree(
                left=np.array([1, -1, -1]),
                right=np.array([2, -1, -1]),
                feature=np.zeros(3, dtype=np.int64),
                mode=np.zeros(3, dtype=np.uint8),
                value=np.zeros(3),
                missing_left=np.zeros(3, dtype=np.int64),
                members={},
                target=np.full(3, target),
                weight=np.full(3, weight),
            )
        )

    def node(self, graph: Graph, tensor: str) -> str:
        """The node that answers for `tensor`; its output is [rows, targets]."""
        graph.ml_opset = ML_OPSET_OF_TREES
        members = [members for tree in self._trees for members in tree["members"]]
        sets = {"membership_values": _tensor([part for one in members for part in (*one, np.nan)])} if members else {}
        return graph.node(
            "TreeEnsemble",
            [tensor],
            width=self.targets,
            domain=ML,
            n_targets=self.targets,
            aggregate_function=self.aggregate,
            post_transform=0,
            tree_roots=[tree["root"] for tree in self._trees],
            nodes_featureids=self._all("feature").tolist(),
            nodes_modes=numpy_helper.from_array(self._all("mode").astype(np.uint8)),
            nodes_splits=_tensor(self._all("value")),
            nodes_missing_value_tracks_true=self._all("missing_left").tolist(),
            nodes_truenodeids=self._all("left").tolist(),
            nodes_trueleafs=self._all("left_is_leaf").astype(int).tolist(),
            nodes_falsenodeids=self._all("right").tolist(),
            nodes_falseleafs=self._all("right_is_leaf").astype(int).tolist(),
            leaf_targetids=self._all("target").tolist(),
            leaf_weights=_tensor(self._all("weight")),
            **sets,
        )

    def _all(self, name: str) -> npt.NDArray[Any]:
        return np.concatenate([tree[name] for tree in self._trees])


def _tensor(values: npt.ArrayLike) -> Any:
    return numpy_helper.from_array(np.asarray(values, dtype=np.float64))
