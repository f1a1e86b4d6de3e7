"""Features that give the target away: a small tree on that feature alone is nearly always right on rows it has not seen.

Such a feature is often written down only once the outcome is known. It is a warning: whether it leaks is for a person to say.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from lifecycle.contract import Column, Contract
from lifecycle.measures import metrics
from lifecycle.versions import LABEL

MOST_ROWS = 5_000
NEARLY_ALWAYS = 0.98


def leaks(contract: Contract, rows: pd.DataFrame, seed: int) -> dict[str, float]:
    """Feature -> how well it alone determines the target (R2, or balanced accuracy), for those above NEARLY_ALWAYS."""
    sample = rows.sample(min(len(rows), MOST_ROWS), random_state=seed)
    regression = contract.target.is_regression
    labels = sample[LABEL].to_numpy(dtype=np.float64 if regression else object)
    half = len(sample) // 2
    measure = "r2" if regression else "balanced_accuracy"
    found: dict[str, float] = {}
    for column in contract.columns:
        values = _numbers(column, sample[column.name])
        tree = (DecisionTreeRegressor if regression else DecisionTreeClassifier)(random_state=seed)
        answers = tree.fit(values[:half], labels[:half]).predict(values[half:])
        score = metrics(contract.target, labels[half:].tolist(), answers.tolist()).get(measure, 0.0)
        if score >= NEARLY_ALWAYS:
            found[column.name] = score
    return found


def _numbers(column: Column, values: pd.Series) -> npt.NDArray[np.float64]:
    if column.is_categorical:
        return pd.factorize(values)[0].astype(np.float64).reshape(-1, 1)
    ranks = values.astype("float64").rank(method="dense")  # of any numbers, the tree's 32 bits hold the order
    return np.asarray(ranks, dtype=np.float64).reshape(-1, 1)
