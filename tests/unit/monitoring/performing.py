"""Makes rows whose losses are known: a regression that errs more where x is large, and a classifier with probabilities."""

from typing import Any

import numpy as np

from lifecycle.config import MonitoringSection
from lifecycle.contract import Column, Contract, Target
from lifecycle.records import ModelVersion
from monitoring.references import Reference
from monitoring.rows import Categories, Floats, Numbers, Rows, Values

SECOND = 1_000_000
COLUMNS = (
    Column(name="x", kind="numeric"),
    Column(name="town", kind="categorical", nullable=True),
    Column(name="sold", kind="datetime"),
)
NUMBERS = Contract(target=Target(name="price", task="regression"), columns=COLUMNS, time="sold")
CLASSES = Contract(target=Target(name="sold", task="binary", classes=("no", "yes")), columns=COLUMNS[:2], time="when")
TOWNS = ("Ghent", "Turin", "Bergen")


def settings(**changes: Any) -> MonitoringSection:
    return MonitoringSection(**changes)


def prices(rows: int, seed: int = 0, *, shift: float = 0.0, scale: float = 1.0, labels: bool = True) -> Rows:
    """A row a second, each label 30 s after its answer; the error of x is normal, with a deviation of `scale` e^(x/2)."""
    random = np.random.default_rng(seed)
    x = random.normal(shift, 1, rows)
    errors = random.normal(0, scale * np.exp(x / 2))
    return of_prices(2 * x, 2 * x + errors if labels else np.full(rows, np.nan), x, seed)


def of_prices(predictions: Floats, labels: Floats, x: Floats | None = None, seed: int = 0) -> Rows:
    columns = features(len(predictions), predictions if x is None else x, seed)
    at = np.arange(len(predictions)) * SECOND
    columns |= {"sold": Numbers(at / SECOND), "prediction": Numbers(predictions)}
    return Rows(columns, at=at, labels=Numbers(labels), delays=np.where(np.isnan(labels), np.nan, 30.0))


def sales(rows: int, seed: int = 0, *, shift: float = 0.0, flipped: float = 0.0, labels: bool = True) -> Rows:
    """Probabilities are overconfident by a factor of two in the log odds; a share `flipped` of labels is another."""
    random = np.random.default_rng(seed)
    x = random.normal(shift, 1, rows)
    truth = (random.random(rows) < 1 / (1 + np.exp(-2 * x))) ^ (random.random(rows) < flipped)
    yes = 1 / (1 + np.exp(-4 * x))
    columns = features(rows, x, seed) | {"prediction": named(x > 0)}
    came = named(truth) if labels else Categories(np.full(rows, -1, dtype=np.int32), ("no", "yes"))
    at = np.arange(rows) * SECOND
    return Rows(columns, at=at, labels=came, delays=np.full(rows, 30.0), probabilities={"no": 1 - yes, "yes": yes})


def features(rows: int, x: Floats, seed: int) -> dict[str, Values]:
    towns = np.random.default_rng(seed + 1).integers(0, 3, rows).astype(np.int32)
    return {"x": Numbers(x), "town": Categories(towns, TOWNS)}


def named(yes: Any) -> Categories:
    return Categories(np.asarray(yes).astype(np.int32), ("no", "yes"))


def reference(
    contract: Contract, holdout: Rows | None, metrics: dict[str, float] | None = None, key: str = "1/training"
) -> Reference:
    version = ModelVersion(1, 0, "promoted", "digest", None, metrics or {}, {})
    rows = (prices if contract.target.is_regression else sales)(50, seed=99, labels=False)
    return Reference(key, "the training rows of version 1", version, contract, rows, holdout, in_time_order=True)
