"""Makes references and windows for the tests of data quality: thirteen columns of every sort, and a world to draw them from."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from lifecycle.config import MonitoringSection
from lifecycle.contract import Column, Contract, Kind, Target
from lifecycle.records import Finding, ModelVersion
from lifecycle.versions import PREDICTION
from monitoring.quality import WindowFacts, findings
from monitoring.references import Reference
from monitoring.rows import Integers, Rows, kept_rows

SETTINGS = MonitoringSection()
START = 1_700_002_800_000_000
"""A whole hour."""
HOUR = 3_600_000_000
KINDS_OF_WORLD: dict[str, Kind] = {
    "normal": "numeric",
    "wide": "numeric",
    "t2": "numeric",
    "lognormal": "numeric",
    "rain": "numeric",
    "slow": "numeric",
    "seasonal": "numeric",
    "count": "integer",
    "grade": "integer",
    "flag": "boolean",
    "town": "categorical",
    "product": "categorical",
    "sparse": "categorical",
}


def contract(**changes: Any) -> Contract:
    columns = tuple(Column(name=name, kind=kind, nullable=True) for name, kind in KINDS_OF_WORLD.items())
    return Contract(target=Target(name="price", task="regression"), columns=columns).model_copy(update=changes)


def world(count: int, random: np.random.Generator, *, moves: float = 0.9) -> pd.DataFrame:
    """`count` neighbours in time. `slow` is autocorrelated by `moves`, and `seasonal` has a day of 24 rows."""
    hours = np.arange(count) + random.integers(24)
    noise = random.normal(size=count)
    noise[:1] /= np.sqrt(1 - moves**2)
    return pd.DataFrame({
        "normal": random.normal(size=count),
        "wide": random.normal(50, 10, count),
        "t2": random.standard_t(2, count),
        "lognormal": random.lognormal(3, 1, count),
        "rain": np.where(random.random(count) < 0.8, 0.0, random.exponential(3, count)),
        "slow": lfilter([1.0], [1.0, -moves], noise),
        "seasonal": 10 + 8 * np.sin(hours * np.pi / 12) + random.normal(size=count),
        "count": random.poisson(4, count),
        "grade": random.integers(1, 6, count),
        "flag": random.random(count) < 0.03,
        "town": random.choice(["Ghent", "Turin", "Bergen"], count, p=[0.6, 0.39, 0.01]),
        "product": [f"p{number}" for number in random.integers(0, 500, count)],
        "sparse": np.where(random.random(count) < 0.3, np.array(None), random.choice(["a", "b"], count)),
    })  # fmt: skip


def reference(
    frame: pd.DataFrame, *, in_time_order: bool = False, at: Integers | None = None, **changes: Any
) -> Reference:
    made = contract(**changes)
    version = ModelVersion(1, START, "promoted", "digest", None, {}, {})
    rows = kept_rows(made, frame.assign(**{PREDICTION: 0.5}))
    timed = Rows(rows.columns, at=at)
    return Reference("1", f"the {len(frame)} training rows of version 1", version, made, timed, None, in_time_order)


def window(frame: pd.DataFrame, at: Integers | None = None, **changes: Any) -> Rows:
    """One row a second, unless `at` says otherwise."""
    columns = kept_rows(contract(**changes), frame.assign(**{PREDICTION: 0.5})).columns
    return Rows(columns, at=START + np.arange(len(frame)) * 1_000_000 if at is None else at)


def facts(rows: int, *earlier: int, length: int = HOUR) -> WindowFacts:
    return WindowFacts(START, START + length, rows, earlier)


def found(before: Reference, rows: Rows, *earlier: int) -> tuple[Finding, ...]:
    """The findings on `rows`, in a window that they fill evenly."""
    even = Rows(rows.columns, START + np.arange(len(rows)) * (HOUR // max(len(rows), 1)), rows.weights)
    return findings(before, even, facts(len(rows), *earlier), SETTINGS)


def kinds(items: Iterable[Finding]) -> list[str]:
    return [item.kind for item in items]


def about(items: Iterable[Finding], column: str) -> list[str]:
    """The kinds of findings on one column."""
    return [item.kind for item in items if item.column == column]
