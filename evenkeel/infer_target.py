"""What is predicted: the task, its classes or range, and the labels in their stored form."""

import numpy as np
import pandas as pd

from evenkeel.choices import TaskChoice
from evenkeel.column_types import kind_of
from lifecycle.contract import Target, Task, label_text, same_but_for_case
from lifecycle.errors import ProjectInvalid

MOST_NUMBERED_CLASSES = 20
NUMBERED_SHARE = 0.05
MOST_CLASSES = 100
LARGEST_TARGET = 1e30
"""Usual models learn in 32 bits, whose numbers end at 3e38."""


def infer_target(values: pd.Series, task: TaskChoice) -> tuple[Target, pd.Series]:
    """The target for canonical labels without missing values, and the labels as they are to be stored.

    Raises ProjectInvalid when there is only one label, `task` does not fit what was found, or no model could learn it.
    """
    name = str(values.name)
    labels = _whole(values)
    distinct = int(labels.nunique())
    if distinct < 2:
        raise ProjectInvalid(
            f"the target {name!r} is {str(labels.iloc[0])[:40]!r} in every row, so there is nothing to predict; use rows with "
            "at least two different labels, or name another target"
        )
    kind = kind_of(labels)
    if kind == "datetime":
        raise ProjectInvalid(
            f"the target {name!r} holds dates; predict a number or a class, such as the days until then"
        )
    chosen = _task(name, labels, distinct, task)
    if chosen == "regression":
        numbers = labels.astype("float64")
        _refuse_huge(name, numbers)
        return Target(name=name, task=chosen, minimum=float(numbers.min()), maximum=float(numbers.max())), labels
    classes = tuple(sorted(_native(label) for label in labels.unique()))
    if alike := same_but_for_case(map(label_text, classes)):
        raise ProjectInvalid(
            f"the target {name!r} has the classes {alike[0][:40]!r} and {alike[1][:40]!r}, which differ only in upper and lower "
            "case and cannot be stored side by side; write them the same way, or give one another name"
        )
    return Target(name=name, task=chosen, classes=classes), labels


def stored_labels(target: Target, labels: pd.Series) -> pd.Series:
    """Labels in their stored form: floats, or class texts."""
    if target.is_regression:
        return labels.astype("float64")
    return labels.map(lambda value: label_text(_native(value))).astype(object)


def _task(name: str, labels: pd.Series, distinct: int, task: TaskChoice) -> Task:
    found = _natural(name, labels, distinct, asked=task)
    if task == "auto":
        return found
    kind = kind_of(labels)
    if task == "regression":
        if kind in ("categorical", "boolean"):
            raise ProjectInvalid(
                f"--task regression needs numbers, but the target {name!r} holds {_kind_words(kind)}; leave out --task"
            )
        return "regression"
    if kind == "numeric":
        raise ProjectInvalid(
            f"--task {task} needs classes, but the target {name!r} holds fractions; use --task regression"
        )
    if task == "binary":
        if distinct != 2:
            raise ProjectInvalid(
                f"--task binary needs 2 classes, but the target {name!r} has {distinct}; use --task multiclass"
            )
        return "binary"
    return "multiclass"


def _natural(name: str, labels: pd.Series, distinct: int, *, asked: TaskChoice) -> Task:
    kind = kind_of(labels)
    if kind == "numeric":
        return "regression"
    if distinct == 2:
        return "binary"
    if kind == "integer" and asked in ("auto", "regression"):
        few = distinct <= MOST_NUMBERED_CLASSES and distinct <= max(3, NUMBERED_SHARE * len(labels))
        return "multiclass" if few else "regression"
    if distinct > MOST_CLASSES:
        raise ProjectInvalid(
            f"the target {name!r} has {distinct} different labels, more than the {MOST_CLASSES} classes that can be told "
            "apart; group them, or name another target"
        )
    return "multiclass"


def _refuse_huge(name: str, numbers: pd.Series) -> None:
    largest = float(numbers.iloc[int(numbers.abs().to_numpy().argmax())])
    if abs(largest) > LARGEST_TARGET:
        raise ProjectInvalid(
            f"the target {name!r} holds {largest:.3g}, and labels beyond {LARGEST_TARGET:.0e} are too large to calculate with; "
            "write it in a larger unit, or correct the rows that hold such numbers"
        )


def _whole(values: pd.Series) -> pd.Series:
    """Whole numbers written as floats (0.0, 1.0) as integers."""
    if kind_of(values) == "numeric" and bool((values == values.round()).all()) and bool((values.abs() < 2**53).all()):
        return values.astype("Int64")
    return values


def _native(value: object) -> bool | int | str:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    return int(value) if isinstance(value, int | np.integer) else str(value)


def _kind_words(kind: str) -> str:
    return "texts" if kind == "categorical" else "truth values"
