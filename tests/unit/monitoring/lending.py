"""Makes rows of a lender's model for the tests of segments and fairness: who asked, from where, and what was answered."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lifecycle.config import MonitoringSection
from lifecycle.contract import Column, Contract, Target
from lifecycle.records import ModelVersion
from monitoring.references import Reference
from monitoring.rows import Categories, Floats, Numbers, Rows, Values

SETTINGS = MonitoringSection()
SEXES = ("f", "m")
TOWNS = ("Ghent", "Turin", "York")


def contract(task: str = "binary", **changes: Any) -> Contract:
    """Sensitive to `sex`, in segments of `town`; the classes are "no" and "yes", and "later" for multiclass."""
    classes = {"binary": ("no", "yes"), "multiclass": ("later", "no", "yes"), "regression": ()}[task]
    columns = (
        Column(name="sex", kind="categorical", nullable=True),
        Column(name="town", kind="categorical", nullable=True),
        Column(name="income", kind="numeric", nullable=True),
    )
    target = Target.model_validate({"name": "granted", "task": task, "classes": classes})
    made = Contract(target=target, columns=columns, segments=("town",), sensitive=("sex",))
    return made.model_copy(update=changes)


def rows(
    count: int = 1_200,
    seed: int = 0,
    *,
    task: str = "binary",
    wrong: float = 0.2,
    labelled: bool = True,
    **columns: Any,
) -> Rows:
    """Answers of which a share is `wrong`, evenly in all groups. `columns` are values to put in place of drawn ones."""
    random = np.random.default_rng(seed)
    drawn: dict[str, Any] = {
        "sex": random.choice(SEXES, count),
        "town": random.choice(TOWNS, count),
        "income": random.normal(size=count),
    }
    if task == "regression":
        labels: Any = random.normal(size=count)
        drawn["prediction"] = labels + 2 * wrong * random.normal(size=count)
    else:
        classes = contract(task).target.class_texts
        labels = random.choice(classes, count)
        drawn["prediction"] = np.where(random.random(count) < wrong, random.choice(classes, count), labels)
    labels, weights = columns.pop("labels", labels), columns.pop("weights", None)
    answer = numbers if task == "regression" else categories
    makers = {"sex": categories, "town": categories, "income": numbers, "prediction": answer}
    return Rows(
        {name: makers[name](given) for name, given in (drawn | columns).items()},
        weights=weights,
        labels=answer(labels) if labelled else None,
    )


def numbers(given: Iterable[Any]) -> Values:
    """Numbers; None is missing."""
    return Numbers(np.array([np.nan if value is None else value for value in given], dtype=np.float64))


def categories(given: Iterable[Any]) -> Values:
    """Texts; None is missing."""
    return Categories.of(None if value is None else str(value) for value in given)


def reference(made: Rows | None = None, holdout: Rows | None = None, **changes: Any) -> Reference:
    """A reference under `contract(**changes)` whose hold-out, unless given, are rows like its own."""
    task = changes.get("task", "binary")
    return Reference(
        key="1/training",
        words="the training rows of version 1",
        version=ModelVersion(1, 0, "promoted", "", None, {}, {}),
        contract=contract(**changes),
        rows=rows(seed=10, task=task) if made is None else made,
        holdout=rows(seed=11, task=task) if holdout is None else holdout,
        in_time_order=False,
    )


def texts(made: Values) -> Sequence[str | None]:
    assert isinstance(made, Categories)
    return made.texts()


def floats(made: Values | None) -> Floats:
    assert isinstance(made, Numbers)
    return made.floats
