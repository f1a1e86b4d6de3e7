"""Rows, contracts and proofs for the tests of compiled pipelines."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from lifecycle.compilation.compiler import Compiled, compile_pipeline
from lifecycle.compilation.verification import TOLERANCE, Verified, verify
from lifecycle.contract import Column, Columns, Contract, Target
from lifecycle.runtimes.compiled import CompiledRuntime
from lifecycle.runtimes.estimator import EstimatorRuntime

NUMERIC = (
    Column(name="size", kind="numeric", nullable=True),
    Column(name="rooms", kind="integer"),
    Column(name="new", kind="boolean"),
    Column(name="sold", kind="datetime", nullable=True),
)
TEXTS = (Column(name="town", kind="categorical", nullable=True), Column(name="street", kind="categorical"))
CLASSES = {"binary": ("no", "yes"), "multiclass": ("high", "low", "middle"), "regression": ()}
NAN = float("nan")


def contract(task: str, *, mixed: bool = True) -> Contract:
    """Numbers that may be missing, and with `mixed` texts that may be missing too."""
    target = Target.model_validate({"name": "t", "task": task, "classes": CLASSES[task]})
    return Contract(target=target, columns=NUMERIC + (TEXTS if mixed else ()))


def rows(task: str, *, mixed: bool = True, count: int = 400, seconds: float = 1e8) -> tuple[Columns, npt.NDArray[Any]]:
    """Columns and labels to fit on; the moments of `sold` lie within `seconds`."""
    random = np.random.default_rng(0)
    size, rooms, new = random.normal(50, 20, count), random.integers(0, 9, count), random.random(count) < 0.3
    sold = 1.6e15 + np.round(random.random(count) * seconds) * 1e6
    score = size / 20 + rooms * 0.3 + new + np.sin(sold / 1e6 / seconds * 20) + random.normal(0, 0.5, count)
    columns: Columns = {
        "size": _holed(random, size.tolist()),
        "rooms": rooms.tolist(),
        "new": new.tolist(),
        "sold": _holed(random, sold.astype(np.int64).tolist()),
    }
    if mixed:
        town, street = random.integers(0, 12, count), np.minimum(random.zipf(1.4, count), 90)
        score += np.sin(town * 3.0) + (street % 7) * 0.2
        columns |= {
            "town": _holed(random, [f"town {item}" for item in town]),
            "street": [f"s{item}" for item in street],
        }
    if task == "regression":
        return columns, np.exp(score / 4)
    names = np.array(CLASSES[task], dtype=object)
    bounds = np.quantile(score, np.linspace(0, 1, len(names) + 1)[1:-1])
    return columns, names[np.digitize(score, bounds)]


def _holed(random: np.random.Generator, values: Sequence[Any]) -> list[Any]:
    return [None if random.random() < 0.1 else value for value in values]


def names(of: Contract, *, text: bool) -> list[str]:
    return [column.name for column in of.columns if (column.kind == "categorical") is text]


def scaled(of: Contract) -> ColumnTransformer:
    """Numbers filled in, marked and scaled; texts one-hot, the rare ones together."""
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5, sparse_output=False)
    parts = [("numbers", numbers, names(of, text=False)), ("texts", encoder, names(of, text=True))]
    return ColumnTransformer([part for part in parts if part[2]])


def coded(of: Contract) -> ColumnTransformer:
    """Texts as codes with missing and unseen as NaN, the numbers as they are: the default trainer's way."""
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=NAN, encoded_missing_value=NAN, max_categories=40
    )
    return ColumnTransformer([("texts", codes, names(of, text=True))], remainder="passthrough")


def fitted(of: Contract, *steps: Any, count: int = 400, seconds: float = 1e8) -> tuple[Pipeline, Columns]:
    """A pipeline of `steps`, fitted, and the columns it was fitted on."""
    columns, labels = rows(of.target.task, mixed="town" in of.names, count=count, seconds=seconds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # short trainings do not converge, which is of no interest here
        return make_pipeline(*steps).fit(of.frame(columns), labels), columns


def proven(of: Contract, estimator: Any, columns: Columns) -> tuple[Verified, Compiled]:
    """Compile and verify. Raises CannotCompile with the reason when either refuses."""
    compiled = compile_pipeline(of, estimator, columns)
    runtime = CompiledRuntime(of, compiled.graph, compiled.description)
    verified = verify(of, EstimatorRuntime(of, estimator), runtime, columns)
    assert verified.difference <= TOLERANCE
    assert verified.rows > len(columns["size"])
    return verified, compiled
