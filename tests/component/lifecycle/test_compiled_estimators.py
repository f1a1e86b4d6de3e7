"""Compiled pipelines: every usual estimator has a compiled form that answers as scikit-learn does.

Each is proven on numbers alone and on mixed columns, with missing values and categories never seen, for two classes,
three classes and values.
"""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import (
    ElasticNet,
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC, LinearSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from lifecycle.compilation.features import CannotCompile
from tests.component.lifecycle.compiling import coded, contract, fitted, proven, scaled

CLASSIFIERS = [
    LogisticRegression(max_iter=500),
    LogisticRegression(C=0.1, max_iter=500),
    RidgeClassifier(),
    LinearSVC(),
    SGDClassifier(loss="log_loss"),
    SGDClassifier(loss="hinge"),
    LinearDiscriminantAnalysis(),
    DecisionTreeClassifier(max_depth=6),
    RandomForestClassifier(20),
    RandomForestClassifier(20, max_depth=4),
    ExtraTreesClassifier(20),
    GradientBoostingClassifier(n_estimators=15),
    HistGradientBoostingClassifier(max_iter=20),
    VotingClassifier(
        [("a", LogisticRegression()), ("b", DecisionTreeClassifier(max_depth=3))], voting="soft", weights=[1, 2]
    ),
    BaggingClassifier(DecisionTreeClassifier(max_depth=4), n_estimators=4, max_features=0.7),
    GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1.0]}, cv=2),
    MLPClassifier((6,), max_iter=20),
    GaussianNB(),
]
REGRESSORS = [
    LinearRegression(),
    Ridge(),
    Lasso(0.01),
    ElasticNet(0.01),
    HuberRegressor(),
    PoissonRegressor(),
    GammaRegressor(),
    SGDRegressor(),
    LinearSVR(),
    DecisionTreeRegressor(max_depth=6),
    RandomForestRegressor(20),
    ExtraTreesRegressor(20),
    GradientBoostingRegressor(n_estimators=15),
    GradientBoostingRegressor(n_estimators=15, loss="huber", init="zero"),
    HistGradientBoostingRegressor(max_iter=20),
    HistGradientBoostingRegressor(max_iter=20, loss="poisson"),
    HistGradientBoostingRegressor(max_iter=20, loss="gamma"),
    HistGradientBoostingRegressor(max_iter=20, loss="quantile", quantile=0.8),
    HistGradientBoostingRegressor(max_iter=20, loss="absolute_error"),
    TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
    TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
    VotingRegressor([("a", Ridge()), ("b", DecisionTreeRegressor(max_depth=3))]),
    BaggingRegressor(n_estimators=4),
    MLPRegressor(hidden_layer_sizes=(6,), max_iter=20),
]
CASES = [(task, model) for task in ("binary", "multiclass") for model in CLASSIFIERS]
CASES += [("regression", model) for model in REGRESSORS]


def _id(value: Any) -> str:
    return value if isinstance(value, str) else str(value).replace("\n", "").replace(" ", "")[:60]


def _seeded(model: Any) -> Any:
    model = clone(model)
    names = [name for name in model.get_params() if name.split("__")[-1] == "random_state"]
    return model.set_params(**dict.fromkeys(names, 0))


@pytest.mark.parametrize("mixed", [False, True], ids=["numbers", "mixed"])
@pytest.mark.parametrize(("task", "model"), CASES, ids=_id)
def test_a_model_over_prepared_columns_compiles_and_answers_alike(task: str, model: Any, mixed: bool) -> None:
    of = contract(task, mixed=mixed)
    proven(of, *fitted(of, scaled(of), _seeded(model)))


TREES = [
    model
    for model in (*CLASSIFIERS, *REGRESSORS)
    if "Forest" in str(model) or "Hist" in str(model) or "ExtraT" in str(model)
]
TREE_CASES = [(task, model) for task, model in CASES if model in TREES]


@pytest.mark.parametrize(("task", "model"), TREE_CASES, ids=_id)
def test_trees_take_codes_and_missing_numbers_as_they_come(task: str, model: Any) -> None:
    of = contract(task)
    proven(of, *fitted(of, coded(of), _seeded(model)))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_splits_by_category_compile(task: str) -> None:
    of = contract(task)
    boosting = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    model = boosting(max_iter=20, categorical_features=[0, 1])
    proven(of, *fitted(of, coded(of), model))


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_numbers_taken_for_categories_compile(task: str) -> None:
    """Boosting encodes these columns itself; whole numbers, booleans and missing are its categories."""
    of = contract(task, mixed=False)
    boosting = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    proven(of, *fitted(of, boosting(max_iter=20, categorical_features=[1, 2])))


def test_a_tree_that_never_splits_compiles() -> None:
    of = contract("regression", mixed=False)
    proven(of, *fitted(of, RandomForestRegressor(3, min_samples_split=10_000, random_state=0)))


def test_what_has_no_compiled_form_says_so() -> None:
    of = contract("binary", mixed=False)
    with pytest.raises(CannotCompile, match="SVC has no compiled form"):
        proven(of, *fitted(of, scaled(of), SVC()))
