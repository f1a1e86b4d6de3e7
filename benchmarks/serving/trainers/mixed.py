"""Numbers with gaps and categories in one pipeline: imputing, scaling, one-hot encoding, a linear model."""

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from lifecycle.contract import Contract


def make_model(contract: Contract) -> Pipeline:
    text = [index for index, column in enumerate(contract.columns) if column.kind == "categorical"]
    numbers = [index for index in range(len(contract.columns)) if index not in text]
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ("text", OneHotEncoder(handle_unknown="ignore"), text),
        ]
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1_000))
