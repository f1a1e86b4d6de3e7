"""How much a model leans on each feature: permutation importance, measured on rows that it was not trained on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from lifecycle.contract import Columns, Contract
from lifecycle.measures import gate_losses
from lifecycle.ports import Runtime

REPEATS = 3
MOST_ROWS = 500


def permutation_importance(
    contract: Contract, runtime: Runtime, columns: Columns, labels: Sequence[Any]
) -> dict[str, float]:
    """Feature -> its share, 0 to 1, of the loss that shuffling features one at a time adds (Breiman, 2001).

    `columns` are lists of values and `labels` stored labels of the same rows, of which at most 500, evenly spread, are used.
    Shares sum to 1, or are all 0 where shuffling harms nothing. Seeded: the same rows and model give the same shares.
    """
    places = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), MOST_ROWS)).astype(int)).tolist()
    rows: Columns = {name: [values[place] for place in places] for name, values in columns.items()}
    truth = [labels[place] for place in places]

    def loss(asked: Columns, repeats: int = 1) -> float:
        predictions, probabilities = runtime.predict(asked)
        return float(gate_losses(contract.target, truth * repeats, predictions, probabilities).mean())

    random, added = np.random.default_rng(0), {}
    with threadpool_limits(1):  # on busy cores, OpenMP threads that wait for each other take minutes
        whole = loss(rows)
        for name in contract.names:
            order = np.concatenate([random.permutation(len(truth)) for _ in range(REPEATS)])
            shuffled = {other: values * REPEATS for other, values in rows.items()}
            shuffled[name] = [rows[name][place] for place in order]
            added[name] = max(0.0, loss(shuffled, REPEATS) - whole)
    total = sum(added.values())
    return {name: value / total if total > 0 else 0.0 for name, value in added.items()}
