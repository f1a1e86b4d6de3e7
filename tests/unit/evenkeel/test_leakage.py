"""A feature that gives the target away is found; one that merely helps is not."""

import numpy as np
import pandas as pd
import pytest

from evenkeel.leakage import leaks
from lifecycle.contract import Column, Contract, Target
from lifecycle.versions import LABEL

ROWS = 400


def contract(task: str) -> Contract:
    target = Target.model_validate(
        {"name": "outcome", "task": task, "classes": ("no", "yes") if task == "binary" else ()}
    )
    columns = (
        Column(name="size", kind="numeric", nullable=True),
        Column(name="code", kind="categorical", nullable=True),
    )
    return Contract(target=target, columns=columns)


def rows(random: np.random.Generator) -> pd.DataFrame:
    code = pd.Series(random.choice(["a", "b", "c"], ROWS), dtype=object)
    code[::9] = None
    return pd.DataFrame({"size": random.normal(size=ROWS), "code": code})


@pytest.mark.parametrize("column", ["size", "code"])
def test_a_feature_that_determines_a_class_is_found(column: str) -> None:
    found = rows(np.random.default_rng(0))
    giveaway = found["size"] > 0 if column == "size" else found["code"] == "a"
    found[LABEL] = np.where(giveaway, "yes", "no").astype(object)
    assert list(leaks(contract("binary"), found, seed=0)) == [column]


def test_a_feature_whose_absence_determines_a_class_is_found() -> None:
    found = rows(np.random.default_rng(0))
    found[LABEL] = np.where(found["code"].isna(), "yes", "no").astype(object)
    assert list(leaks(contract("binary"), found, seed=0)) == ["code"]


def test_a_copy_of_a_number_is_found() -> None:
    found = rows(np.random.default_rng(0))
    found[LABEL] = 2 * found["size"] + 1
    assert list(leaks(contract("regression"), found, seed=0)) == ["size"]


def test_a_feature_that_merely_helps_is_not_accused() -> None:
    random = np.random.default_rng(0)
    found = rows(random)
    found[LABEL] = found["size"] + random.normal(scale=0.5, size=ROWS)
    assert not leaks(contract("regression"), found, seed=0)


@pytest.mark.parametrize("size", [1e39, 1e307, 1.7e308])
def test_numbers_of_any_size_are_looked_at(size: float) -> None:
    found = rows(np.random.default_rng(0))
    found["size"] = np.clip(found["size"], -1, 1) * size
    found.loc[::7, "size"] = np.nan
    found[LABEL] = np.where(found["size"] > 0, "yes", "no").astype(object)
    assert list(leaks(contract("binary"), found, seed=0)) == ["size"]
