"""Answers by the fitted scikit-learn estimator itself: the reference that every other runtime is compared with."""

from typing import Any

import numpy as np

from lifecycle.contract import Columns, Contract


class EstimatorRuntime:
    """A fitted estimator behind `contract`."""

    inline_rows = 0  # milliseconds, even for one

    def __init__(self, contract: Contract, estimator: Any) -> None:
        self._contract = contract
        self.estimator = estimator

    def predict(self, columns: Columns) -> tuple[list[Any], dict[str, list[float]]]:
        target, frame = self._contract.target, self._contract.frame(columns)
        if target.is_regression:
            return [float(value) for value in self.estimator.predict(frame)], {}
        if not hasattr(self.estimator, "predict_proba"):
            return [str(value) for value in self.estimator.predict(frame)], {}
        known = [str(name) for name in self.estimator.classes_]
        values = np.asarray(self.estimator.predict_proba(frame), dtype=np.float64)
        labels = [str(value) for value in self.estimator.predict(frame)]  # not always the likeliest: see thresholds
        nothing = [0.0] * len(frame)
        return labels, {
            name: values[:, known.index(name)].tolist() if name in known else nothing for name in target.class_texts
        }
