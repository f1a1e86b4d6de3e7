"""Version 1 is measured on rows it was not trained on: the newest, or a fair draw."""

from collections.abc import Sequence

import pandas as pd
import pytest

from evenkeel.split import split
from lifecycle.errors import ProjectInvalid
from lifecycle.versions import LABEL
from tests.builders import numeric_contract


def rows(labels: Sequence[object]) -> pd.DataFrame:
    return pd.DataFrame({"a": range(len(labels)), "b": 0.0, LABEL: labels})


def test_with_a_time_column_the_newest_fifth_is_held_out() -> None:
    contract = numeric_contract("regression").model_copy(update={"time": "when"})
    training, holdout = split(contract, rows([float(index) for index in range(100)]), seed=0)
    assert training["a"].tolist() == list(range(80))
    assert holdout["a"].tolist() == list(range(80, 100))


def test_every_class_gives_a_fifth_and_a_single_row_stays_in_training() -> None:
    training, holdout = split(numeric_contract(), rows(["yes"] * 50 + ["no"] * 10 + ["odd"]), seed=0)
    assert holdout[LABEL].value_counts().to_dict() == {"yes": 10, "no": 2}
    assert training[LABEL].value_counts().to_dict() == {"yes": 40, "no": 8, "odd": 1}
    assert not set(training["a"]) & set(holdout["a"])


def test_the_draw_is_the_seeds() -> None:
    source = rows([float(index) for index in range(100)])
    contract = numeric_contract("regression")
    first, again, other = (split(contract, source, seed)[1]["a"].tolist() for seed in (1, 1, 2))
    assert first == again != other
    assert first == sorted(first)


def test_old_rows_of_one_class_are_refused() -> None:
    contract = numeric_contract().model_copy(update={"time": "when"})
    with pytest.raises(ProjectInvalid, match=r"oldest 80 rows by 'when'.*'no'; leave out --time"):
        split(contract, rows(["no"] * 80 + ["yes"] * 20), seed=0)
