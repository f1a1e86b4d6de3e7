"""What trees look at, and how a comparison of an encoded category becomes a test of its code.

The encoder is folded into the trees: a split sends a set of codes to the left, so nothing is encoded when answering.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from lifecycle.compilation.features import INPUT, CannotCompile, Code, Feature, Floats, Number, Table
from lifecycle.compilation.forest import EQUAL, MEMBER, Tree
from lifecycle.compilation.graph import Graph

MOST_MEMBERS = 16
MASK_CODES = 60
"""Sets over so few codes are one machine word each, however many members they have."""


class Inputs:
    """The matrix that trees look at: the tensors of their numbers and codes side by side, and gathered tables.

    `coded` are the features whose code is looked at instead of their value: `always` these, and those where it is cheap.
    """

    def __init__(
        self, graph: Graph, features: Sequence[Feature], used: Iterable[int], always: frozenset[int] = frozenset()
    ) -> None:
        chosen = sorted(set(used))
        self.coded = always | {index for index in chosen if _cheap_by_code(features[index])}
        gathered = [
            feature for index in chosen if isinstance(feature := features[index], Table) and not self._on(index)
        ]
        tensor = graph.gather(gathered) if gathered else ""
        places: dict[int, tuple[str, int]] = {}
        for index in chosen:
            feature = features[index]
            if isinstance(feature, Code):
                raise CannotCompile(f"column {feature.source.name!r} is still text where trees compare numbers")
            if isinstance(feature, Number):
                places[index] = (feature.tensor, feature.index)
            elif self._on(index):
                places[index] = (feature.source.tensor, feature.source.index)
            else:
                places[index] = (tensor, sum(1 for name, _ in places.values() if name == tensor))
        tensors = list(dict.fromkeys(name for name, _ in places.values())) or [INPUT]
        starts = dict(zip(tensors, np.cumsum([0, *map(graph.width, tensors)]).tolist(), strict=False))
        self._columns = {index: starts[name] + column for index, (name, column) in places.items()}
        self.tensor = graph.concat(tensors)

    def _on(self, index: int) -> bool:
        return index in self.coded

    def column(self, index: int) -> int:
        """Where feature `index` is in `tensor`; 0 for the -1 and -2 that leaves carry."""
        found: int = self._columns.get(index, 0)
        return found


def _cheap_by_code(feature: Feature) -> bool:
    """Few codes, or all but a few of them alike (one-hot): sets of codes are then small."""
    if not isinstance(feature, Table):
        return False
    if feature.source.codes <= MASK_CODES:
        return True
    values = feature.numbers()
    _, counts = np.unique(values, return_counts=True)
    return len(values) - int(counts.max()) <= MOST_MEMBERS


def below(values: npt.NDArray[np.floating], threshold: float, *, missing_left: bool) -> npt.NDArray[np.bool_]:
    """Which values a numeric split sends left."""
    return np.where(np.isnan(values), missing_left, values <= threshold)


def in_set(
    values: Floats, members: Sequence[int], known: Sequence[int], *, missing_left: bool
) -> npt.NDArray[np.bool_]:
    """Which values a category split of HistGradientBoosting sends left: those of unknown categories go with missing."""
    decided = np.full(len(values), missing_left)
    for index, value in enumerate(values.tolist()):
        if not np.isnan(value) and value >= 0:
            category = int(value) % 256
            if _holds(members, category):
                decided[index] = True
            elif _holds(known, category):
                decided[index] = False
    return decided


def _holds(bits: Sequence[int], category: int) -> bool:
    return bool((int(bits[category // 32]) >> (category % 32)) & 1)


def split_by_code(tree: Tree, node: int, left: npt.NDArray[np.bool_]) -> None:
    """Let `node` send the codes marked in `left` to the left, told by the smaller of the set and its complement."""
    if left.sum() * 2 > len(left):
        tree.left[node], tree.right[node] = tree.right[node], tree.left[node]
        left = ~left
    members = np.flatnonzero(left).tolist()
    tree.missing_left[node] = 0
    if len(members) > 1:
        tree.mode[node], tree.value[node] = MEMBER, 0.0
        tree.members[node] = [float(code) for code in members]
    else:
        tree.mode[node], tree.value[node] = EQUAL, float(members[0]) if members else -1.0
