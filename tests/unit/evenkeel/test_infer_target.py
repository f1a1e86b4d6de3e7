"""The task that labels call for, and their stored form."""

from typing import Any

import pandas as pd
import pytest

from evenkeel.choices import TaskChoice
from evenkeel.column_types import typed
from evenkeel.infer_target import infer_target, stored_labels
from lifecycle.errors import ProjectInvalid


def labels(values: list[Any], repeat: int = 20) -> pd.Series:
    return typed(pd.Series([str(value) for value in values] * repeat, name="outcome", dtype=object))


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (["yes", "no"], "binary", ("no", "yes")),
        ([1, 0], "binary", (0, 1)),
        (["1.0", "0.0"], "binary", (0, 1)),
        (["True", "False"], "binary", (False, True)),
        (["c", "a", "b"], "multiclass", ("a", "b", "c")),
        ([3, 1, 2], "multiclass", (1, 2, 3)),
        ([1.5, 2.5, 3.5], "regression", ()),
        (list(range(40)), "regression", ()),
    ],
)
def test_the_task_follows_from_the_labels(values: list[Any], task: str, classes: tuple[Any, ...]) -> None:
    target, _ = infer_target(labels(values), "auto")
    assert target.task == task
    assert target.classes == classes
    assert [type(value) for value in target.classes] == [type(value) for value in classes]


@pytest.mark.parametrize(
    ("values", "stored"), [([1, 0], ["1", "0"]), (["True", "False"], ["true", "false"]), ([1.5, 2.0], [1.5, 2.0])]
)
def test_labels_are_stored_as_class_texts_or_floats(values: list[Any], stored: list[Any]) -> None:
    target, found = infer_target(labels(values), "auto")
    assert stored_labels(target, found).tolist()[: len(stored)] == stored


@pytest.mark.parametrize(
    ("values", "task"), [([1, 2, 3], "regression"), (list(range(40)), "multiclass"), ([0, 1], "multiclass")]
)
def test_the_caller_may_choose_another_task(values: list[Any], task: TaskChoice) -> None:
    assert infer_target(labels(values), task)[0].task == task


@pytest.mark.parametrize(
    ("values", "task", "said"),
    [
        (["a", "b"], "regression", "needs numbers, but the target 'outcome' holds texts"),
        ([1.5, 2.5], "multiclass", "holds fractions; use --task regression"),
        ([1, 2, 3], "binary", "needs 2 classes, but the target 'outcome' has 3"),
        ([7], "auto", "is '7' in every row"),
        ([f"n{index}" for index in range(150)], "auto", "150 different labels, more than the 100 classes"),
        (["2024-01-01", "2024-01-02"], "auto", "holds dates"),
    ],
)
def test_labels_that_fit_no_task_are_refused(values: list[Any], task: TaskChoice, said: str) -> None:
    with pytest.raises(ProjectInvalid, match=said):
        infer_target(labels(values), task)


@pytest.mark.parametrize("largest", [1e307, -1e307, 1e31])
def test_labels_too_large_to_learn_are_refused(largest: float) -> None:
    with pytest.raises(ProjectInvalid, match=r"'outcome' holds .* too large .* larger unit"):
        infer_target(labels([1.5, 2.5, largest]), "auto")


def test_large_labels_are_learnt() -> None:
    target, _ = infer_target(labels([1.5, 2.5, 1e29]), "auto")
    assert target.maximum == 1e29


def test_classes_that_differ_only_in_case_are_refused() -> None:
    with pytest.raises(ProjectInvalid, match="'Yes' and 'yes', which differ only in upper and lower case"):
        infer_target(labels(["no", "yes", "Yes"]), "auto")
