"""Compiled pipelines: what may stand before the model, and why some of it cannot be compiled."""

from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from lifecycle.compilation.features import CannotCompile
from tests.component.lifecycle.compiling import NAN, coded, contract, fitted, names, proven, rows, scaled

ENCODERS = {
    "one-hot": OneHotEncoder(handle_unknown="ignore"),
    "one-hot without the first": OneHotEncoder(handle_unknown="ignore", drop="first"),
    "one-hot of the frequent": OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=6),
    "codes": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    "codes with missing at the end": OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2, min_frequency=4
    ),
    "codes filled in": make_pipeline(
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=NAN, encoded_missing_value=NAN),
        SimpleImputer(strategy="most_frequent"),
    ),
    "by target": TargetEncoder(random_state=0),
    "missing as a category": make_pipeline(
        SimpleImputer(strategy="constant", fill_value="none", missing_values=None),
        OneHotEncoder(handle_unknown="ignore"),
    ),
    "scaled": make_pipeline(OneHotEncoder(handle_unknown="ignore"), StandardScaler(with_mean=False)),
    "twice": FeatureUnion(
        [("a", OneHotEncoder(handle_unknown="ignore")), ("b", TargetEncoder(random_state=0))],
        transformer_weights={"b": 2.0},
    ),
    "left out": "drop",
}
SCALERS = {
    "standard": StandardScaler(),
    "without the middle": StandardScaler(with_mean=False),
    "between bounds": MinMaxScaler((-1, 1), clip=True),
    "by the largest": MaxAbsScaler(),
    "robust": RobustScaler(),
    "components": make_pipeline(StandardScaler(), PCA(3)),
    "whitened components": make_pipeline(StandardScaler(), PCA(2, whiten=True)),
    "truncated": make_pipeline(StandardScaler(), TruncatedSVD(2, random_state=0)),
    "logarithms": make_pipeline(MinMaxScaler(clip=True), FunctionTransformer(np.log1p), StandardScaler()),
    "selected": make_pipeline(StandardScaler(), SelectKBest(k=2)),
    "squares": make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False)),
    "bins": KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf"),
}
TASKS = ["binary", "multiclass", "regression"]


def _model(task: str) -> Any:
    return Ridge() if task == "regression" else LogisticRegression(max_iter=300)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_of_texts_becomes_a_table(name: str, task: str) -> None:
    of = contract(task)
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    before = ColumnTransformer([("t", ENCODERS[name], names(of, text=True)), ("n", numbers, names(of, text=False))])
    proven(of, *fitted(of, before, _model(task)))


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "scaled"])
def test_trees_look_at_the_codes_behind_an_encoder(name: str) -> None:
    of = contract("multiclass")
    before = ColumnTransformer(
        [("t", ENCODERS[name], names(of, text=True))], remainder="passthrough", sparse_threshold=0
    )
    proven(of, *fitted(of, before, DecisionTreeClassifier(max_depth=9, random_state=0)))


@pytest.mark.parametrize("name", SCALERS)
def test_a_step_over_numbers_is_lowered(name: str) -> None:
    of = contract("binary")
    numbers = make_pipeline(SimpleImputer(strategy="median"), SCALERS[name])
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    before = ColumnTransformer([("n", numbers, names(of, text=False)), ("t", texts, names(of, text=True))])
    proven(of, *fitted(of, before, LogisticRegression(max_iter=300)))


def test_a_step_over_everything_scales_tables_and_numbers_alike() -> None:
    of = contract("regression")
    proven(of, *fitted(of, scaled(of), StandardScaler(), Ridge()))
    proven(of, *fitted(of, coded(of), SimpleImputer(add_indicator=True), MinMaxScaler(), Ridge()))


def test_numbers_can_be_one_hot_too() -> None:
    of = contract("binary", mixed=False)
    one_hot = OneHotEncoder(handle_unknown="ignore")
    before = ColumnTransformer([("c", one_hot, ["rooms", "new"]), ("n", SimpleImputer(), ["size", "sold"])])
    proven(of, *fitted(of, before, StandardScaler(with_mean=False), LogisticRegression(max_iter=300)))


def test_a_category_that_only_the_encoder_knows_is_known() -> None:
    of = contract("regression")
    towns = [*sorted({f"town {item}" for item in range(12)}), "Ghent"]
    streets = sorted({f"s{item}" for item in range(1, 91)})
    encoder = OneHotEncoder(categories=[towns, streets], handle_unknown="ignore")
    numbers = SimpleImputer()
    before = ColumnTransformer([("t", encoder, ["town", "street"]), ("n", numbers, names(of, text=False))])
    _, compiled = proven(of, *fitted(of, before, Ridge()))
    assert '"Ghent"' in compiled.description


def test_an_encoder_that_refuses_the_unseen_is_named_with_the_way_out() -> None:
    of = contract("regression")
    before = ColumnTransformer([("t", OrdinalEncoder(), ["street"]), ("n", SimpleImputer(), names(of, text=False))])
    with pytest.raises(CannotCompile, match="OrdinalEncoder raises ValueError on unseen values of 'street'"):
        proven(of, *fitted(of, before, Ridge()))


def test_numbers_that_may_be_missing_but_must_not_are_named() -> None:
    of = contract("regression", mixed=False)
    columns, labels = rows("regression", mixed=False)
    complete = {name: [0 if value is None else value for value in values] for name, values in columns.items()}
    estimator = make_pipeline(StandardScaler(), Ridge()).fit(of.frame(complete), labels)
    with pytest.raises(CannotCompile, match="raises ValueError for missing values in column 'size'"):
        proven(of, estimator, complete)


def test_an_encoder_that_mixes_columns_is_refused() -> None:
    of = contract("regression")

    def joined(cells: Any) -> Any:
        return np.array([[float(len(f"{row[0]}{row[1]}") % 3)] for row in np.asarray(cells, dtype=object)])

    before = ColumnTransformer([("t", FunctionTransformer(joined), ["town", "street"])])
    with pytest.raises(CannotCompile, match="joined"):
        proven(of, *fitted(of, before, Ridge()))


def test_columns_in_another_order_are_refused() -> None:
    of = contract("regression", mixed=False)
    columns, labels = rows("regression", mixed=False)
    complete = {name: [0 if value is None else value for value in values] for name, values in columns.items()}
    estimator = DecisionTreeRegressor(max_depth=2).fit(of.frame(complete)[["rooms", "size", "new", "sold"]], labels)
    with pytest.raises(CannotCompile, match="other columns than the contract's"):
        proven(of, estimator, complete)
