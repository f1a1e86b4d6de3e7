"""Makes what a report is made of: a reference, the rows of a window, and the verdict on them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lifecycle.contract import Column, Contract, Target
from lifecycle.records import ColumnScore, ModelVersion, Verdict
from monitoring.references import Reference
from monitoring.rows import Categories, Numbers, Rows, Values, prediction_name

START = 1_700_000_040_000_123
MINUTE = 60_000_000
WORDS = "the 400 training rows of version 1"


def values(column: Any) -> Values:
    """Numbers of floats, categories of texts."""
    listed = list(column)
    if any(isinstance(item, str) for item in listed) or all(item is None for item in listed):
        return Categories.of(listed)
    return Numbers(np.asarray(listed, dtype=np.float64))


def reference(columns: Mapping[str, Any], classes: tuple[str, ...] = ()) -> Reference:
    """A reference of `columns`, the answer last. With `classes` the answers and labels are these, otherwise numbers."""
    features = [
        Column(name=name, kind="numeric" if isinstance(values(column), Numbers) else "categorical", nullable=True)
        for name, column in columns.items()
    ]
    target = Target(name="the target", task="multiclass" if classes else "regression", classes=classes)
    contract = Contract(target=target, columns=tuple(features))
    version = ModelVersion(1, START, "promoted", "0" * 64, None, {}, {})
    return Reference("1/training", WORDS, version, contract, rows(contract, columns), None, in_time_order=False)


def rows(contract: Contract, columns: Mapping[str, Any]) -> Rows:
    """Rows of `columns`, with an answer and a label each."""
    count = max(map(len, columns.values()))
    classes = contract.target.class_texts
    answers = values([classes[place % len(classes)] if classes else float(place) for place in range(count)])
    features = {name: values(column) for name, column in columns.items()}
    return Rows(features | {prediction_name(contract): answers}, labels=answers)


def verdict(scores: tuple[ColumnScore, ...], **changes: Any) -> Verdict:
    fields: dict[str, Any] = {
        "start": START,
        "end": START + MINUTE,
        "rows": 400,
        "state": "drift",
        "version": 1,
        "scores": scores,
        "reasons": ("a reason",),
        "reference": WORDS,
    }
    return Verdict(**(fields | changes))


def score(column: str, value: float | None = 0.3, threshold: float = 0.1, **changes: Any) -> ColumnScore:
    return ColumnScore(column, changes.pop("method", "ks"), value, threshold, **changes)
