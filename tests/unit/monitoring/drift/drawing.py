"""Draws references and windows for the tests of drift, and keeps what they derive in memory."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lifecycle.clock import ManualClock
from lifecycle.config import MonitoringSection
from lifecycle.contract import Column, Contract, Target
from lifecycle.records import Calibration, ModelVersion
from monitoring.drift.scoring import DriftScores
from monitoring.references import Reference
from monitoring.rows import Categories, Floats, Numbers, Rows

Matrix = npt.NDArray[np.float64]
MONTHLY = 720.0
"""Hourly windows."""
TOWNS = ("Ghent", "Turin", "Bergen")


class Kept:
    """Calibrations in memory."""

    def __init__(self) -> None:
        self.saved: dict[str, Calibration] = {}

    def save_calibration(self, calibration: Calibration) -> None:
        self.saved[calibration.key] = calibration

    def calibration(self, key: str) -> Calibration | None:
        return self.saved.get(key)

    def calibrations(self, version: int) -> list[Calibration]:
        return [item for item in self.saved.values() if item.version == version]


class NoOtherScorer:
    """For series that are all ours."""

    def score(self, reference: pd.Series, current: pd.Series, method: str) -> float:
        raise AssertionError(f"nobody asked for {method}")


def section(**settings: Any) -> MonitoringSection:
    return MonitoringSection.model_validate(settings)


def scores(kept: Kept | None = None, **settings: Any) -> DriftScores:
    return DriftScores(kept or Kept(), ManualClock(), section(**settings), 0, NoOtherScorer())


def latent(count: int, seed: int, columns: int = 4, memory: float = 0.0) -> Matrix:
    """Standard normal numbers; with `memory`, each row remembers the one before (an autoregression of order one)."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(count, columns))
    if memory:
        fresh = np.sqrt(1 - memory**2)
        for row in range(1, count):
            noise[row] = memory * noise[row - 1] + fresh * noise[row]
    return noise


def rows(values: Matrix, **changed: Numbers | Categories) -> Rows:
    """Rows of `contract()`: x, y and z numbers, the last long-tailed, and a town that follows the fourth."""
    codes = np.digitize(values[:, 3], [-0.5, 0.7]).astype(np.int32)
    columns: dict[str, Numbers | Categories] = {
        "x": Numbers(values[:, 0].copy()),
        "y": Numbers(values[:, 1].copy()),
        "z": Numbers(np.exp(values[:, 2])),
        "town": Categories(codes, TOWNS),
        "prediction": Numbers(values[:, 0] + values[:, 1]),
    }
    return Rows(columns | changed)


def contract(*, time: str | None = None) -> Contract:
    kinds = {"x": "numeric", "y": "numeric", "z": "numeric", "town": "categorical"}
    columns = tuple(Column.model_validate({"name": name, "kind": kind}) for name, kind in kinds.items())
    return Contract(target=Target(name="price", task="regression"), columns=columns, time=time)


def reference(
    values: Matrix, *, in_time_order: bool = False, holdout: Rows | None = None, key: str = "1/r"
) -> Reference:
    version = ModelVersion(1, 0, "promoted", "d" * 64, None, {}, {})
    words = f"the {len(values)} training rows of version 1"
    return Reference(key, words, version, contract(), rows(values), holdout, in_time_order)


def numbers(*values: float) -> Numbers:
    return Numbers(np.array(values, dtype=np.float64))


def normal(count: int, seed: int, shift: float = 0.0) -> Floats:
    return np.random.default_rng(seed).normal(shift, 1.0, count)
