"""Numbers used as categories: one tree per column finds the code of a number, all columns in one node."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lifecycle.compilation.features import Floats, Number, Source
from lifecycle.compilation.forest import LESS_OR_EQUAL, Forest, Tree
from lifecycle.compilation.graph import Graph


def code_numbers(graph: Graph, numbers: Sequence[Number], categories: Sequence[Any]) -> list[Source]:
    """A source of codes for each number, over its categories (missing is not one of them)."""
    known = [np.unique(np.asarray(values, dtype=np.float64)) for values in categories]
    known = [values[~np.isnan(values)] for values in known]
    forest = Forest(targets=len(numbers))
    tensors = list(dict.fromkeys(number.tensor for number in numbers))
    offsets = dict(zip(tensors, np.cumsum([0, *(graph.width(tensor) for tensor in tensors)]), strict=False))
    for target, (number, values) in enumerate(zip(numbers, known, strict=True)):
        forest.add(_search(values, int(offsets[number.tensor]) + number.index, target))
    found = forest.node(graph, graph.concat(tensors))
    return [
        Source(found, index, f"number {index}", tuple(values.tolist()), nullable=True)
        for index, values in enumerate(known)
    ]


def _search(values: Floats, feature: int, target: int) -> Tree:
    """A balanced search tree: value i leads to leaf i, what lies between to leaf k, missing to leaf k + 1."""
    bounds: list[tuple[float, float]] = []  # the largest number of a leaf, and the leaf's code
    for code, value in enumerate(values):
        bounds += [(float(np.nextafter(value, -np.inf)), float(len(values))), (float(value), float(code))]
    bounds.append((np.inf, float(len(values))))
    rows = [(np.inf, 2, 1, 0.0), (0.0, -1, -1, float(len(values) + 1))]  # all but missing are at most infinity
    # each row: threshold, left, right, leaf

    def grow(low: int, high: int) -> int:
        place = len(rows)
        rows.append((0.0, -1, -1, bounds[low][1]))
        if high - low > 1:
            middle = (low + high) // 2
            left = grow(low, middle)
            rows[place] = (bounds[middle - 1][0], left, grow(middle, high), 0.0)
        return place

    grow(0, len(bounds))
    return Tree(
        left=np.array([row[1] for row in rows]),
        right=np.array([row[2] for row in rows]),
        feature=np.full(len(rows), feature),
        mode=np.full(len(rows), LESS_OR_EQUAL, dtype=np.uint8),
        value=np.array([row[0] for row in rows]),
        missing_left=np.zeros(len(rows), dtype=np.int64),
        members={},
        target=np.full(len(rows), target),
        weight=np.array([row[3] for row in rows]),
    )
