"""Wide rows, the same for all who are measured: numbers of three kinds, and categories of a few and of many levels."""

import numpy as np

from lifecycle.contract import Column, Contract, Target
from lifecycle.records import ModelVersion
from monitoring.references import Reference
from monitoring.rows import Categories, Numbers, Rows, Values

TEXTS = 10
CLASSES = ("no", "yes")
LEVELS = (2, 5, 20, 100)


def contract(columns: int) -> Contract:
    """So many features, ten of them categorical."""
    numbers = [Column(name=f"number {place}", kind="numeric") for place in range(columns - TEXTS)]
    texts = [Column(name=f"category {place}", kind="categorical") for place in range(TEXTS)]
    return Contract(target=Target(name="answer", task="binary", classes=CLASSES), columns=(*numbers, *texts))


def rows(count: int, columns: int, seed: int) -> Rows:
    """Independent rows, with the answers of a model."""
    random = np.random.default_rng(seed)
    found: dict[str, Values] = {}
    for place, column in enumerate(contract(columns).columns):
        if column.kind == "categorical":
            levels = LEVELS[place % len(LEVELS)]
            names = tuple(f"level {level}" for level in range(levels))
            found[column.name] = Categories(random.integers(0, levels, count, dtype=np.int32), names)
        else:
            normal = random.normal(size=count)
            found[column.name] = Numbers((normal, np.exp(normal), np.round(10 * normal))[place % 3])
    found["prediction"] = Categories(random.integers(0, 2, count, dtype=np.int32), CLASSES)
    return Rows(found)


def reference(count: int, columns: int) -> Reference:
    """What windows of such rows are compared with."""
    return Reference(
        key=f"{count} x {columns}",
        words=f"the {count} training rows of version 1",
        version=ModelVersion(1, 0, "promoted", "0" * 64, None, {}, {}),
        contract=contract(columns),
        rows=rows(count, columns, seed=0),
        holdout=None,
        in_time_order=False,
    )
