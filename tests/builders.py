"""Makes records for tests: every argument has a default that is valid, so a test names only what it is about."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lifecycle import versions
from lifecycle.clock import ManualClock
from lifecycle.contract import Column, Contract, SetAside, Target
from lifecycle.feature_log.writer import SegmentWriter
from lifecycle.ids import uuid7
from lifecycle.ports import Clock, ModelStore, VersionLedger
from lifecycle.records import Label, LogSchema, ModelVersion, PredictionBatch
from lifecycle.versions import LABEL, Candidate

START = 1_700_000_000_000_000
"""2023-11-14T22:13:20Z, where a ManualClock begins; ids and records of builders are of this moment."""


def contract(task: str = "binary", **changes: Any) -> Contract:
    """One column of each kind; the classes are "no" and "yes"."""
    classification = task != "regression"
    target = Target.model_validate({"name": "target", "task": task, "classes": ("no", "yes") if classification else ()})
    columns = (
        Column(name="size", kind="numeric", minimum=0, maximum=10),
        Column(name="rooms", kind="integer", minimum=1, maximum=9),
        Column(name="new", kind="boolean"),
        Column(name="town", kind="categorical", nullable=True, categories=("Ghent", "Turin")),
        Column(name="sold", kind="datetime", nullable=True),
    )
    set_aside = (SetAside(name="key", reason="every value is different"),)
    return Contract(target=target, columns=columns, set_aside=set_aside).model_copy(update=changes)


def numeric_contract(task: str = "binary") -> Contract:
    """Two numeric columns, for models that take numbers only."""
    columns = (Column(name="a", kind="numeric"), Column(name="b", kind="numeric"))
    return contract(task).model_copy(update={"columns": columns})


def row(**changes: Any) -> dict[str, Any]:
    """A row that `contract()` accepts."""
    return {"size": 2.5, "rooms": 3, "new": True, "town": "Ghent", "sold": "2024-05-01T12:00:00Z"} | changes


def schema(
    version: int = 1, kinds: Mapping[str, str] | None = None, classes: Sequence[str] = ("no", "yes")
) -> LogSchema:
    return LogSchema(version, dict(kinds or {"a": "numeric", "town": "categorical"}), tuple(classes))


def batch(
    rows: int = 1, *, at: int = START, version: int = 1, ids: Sequence[str] | None = None, **changes: Any
) -> PredictionBatch:
    """A batch under `schema()`: `a` counts up from 0, `town` is Ghent, the answer is yes with 0.75."""
    fields: dict[str, Any] = {
        "request_id": uuid7(at // 1000),
        "at": at,
        "model": "houses",
        "version": version,
        "generation": version,
        "protocol": "native",
        "ids": list(ids) if ids else [uuid7(at // 1000) for _ in range(rows)],
        "columns": {"a": [float(index) for index in range(rows)], "town": ["Ghent"] * rows},
        "predictions": ["yes"] * rows,
        "probabilities": {"no": [0.25] * rows, "yes": [0.75] * rows},
        "latency_us": 900,
    }
    return PredictionBatch(**(fields | changes))


def label(identifier: str, value: float | str = "yes", *, received_at: int = START) -> Label:
    return Label(identifier, value, received_at, received_at)


def writer(
    folder: Path, clock: Clock | None = None, *, seal_bytes: int = 2**20, seal_seconds: float = 60
) -> SegmentWriter:
    return SegmentWriter(folder, clock or ManualClock(), seal_bytes=seal_bytes, seal_seconds=seal_seconds)


def candidate(task: str = "binary", *, rows: int = 40, parent: int | None = None) -> Candidate:
    """A real, tiny, fitted model under `numeric_contract`."""
    from sklearn.linear_model import LinearRegression, LogisticRegression

    random = np.random.default_rng(0)
    features = pd.DataFrame({"a": random.normal(size=rows), "b": random.normal(size=rows)})
    total = features.sum(axis=1)
    labels = np.where(total > 0, "yes", "no") if task == "binary" else 2 * total.to_numpy()
    estimator = (LogisticRegression() if task == "binary" else LinearRegression()).fit(features, labels)
    return Candidate(
        contract=numeric_contract(task),
        estimator=estimator,
        reference=features.assign(**{LABEL: labels}),
        trainer_source="def make_model(contract): ...\n",
        metrics={"loss": 0.1},
        lineage={"seed": 0},
        parent=parent,
    )


def registered(store: ModelStore, ledger: VersionLedger, clock: Clock, task: str = "binary") -> ModelVersion:
    """`candidate(task)` under the next number."""
    return versions.register(candidate(task), store, ledger, clock, "skops")
