from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lifecycle.contract import Column, Contract, Target
from lifecycle.feature_log.placing import MOMENT
from lifecycle.versions import PREDICTION
from monitoring.columns import prediction_name, prepare_reference, prepare_window, thinned
from tests import builders

MOMENT_OF = datetime(2024, 5, 1, 12, tzinfo=UTC)


def reference_rows() -> pd.DataFrame:
    """As `load_reference` gives them: contract kinds, datetimes in microseconds, missing values in between."""
    return pd.DataFrame(
        {
            "size": [1.0, 2.0, np.nan],
            "rooms": [1, 2, 3],
            "new": [True, False, True],
            "town": ["Ghent", None, "Turin"],
            "sold": [int(MOMENT_OF.timestamp() * 1e6), None, 0],
            PREDICTION: ["yes", "no", "yes"],
        }
    )


def logged_rows() -> pa.Table:
    """As the feature log holds the same rows."""
    return pa.table(
        {
            "feature_size": pa.array([1.0, 2.0, None]),
            "feature_rooms": pa.array([1, 2, 3]),
            "feature_new": pa.array([True, False, True]),
            "feature_town": pa.array(["Ghent", None, "Turin"]),
            "feature_sold": pa.array([MOMENT_OF, None, datetime(1970, 1, 1, tzinfo=UTC)], MOMENT),
            "prediction": pa.array(["yes", "no", "yes"]),
        }
    )


def test_reference_and_window_are_prepared_alike() -> None:
    reference = prepare_reference(1, builders.contract(), reference_rows())
    pd.testing.assert_frame_equal(reference.frame, prepare_window(reference, logged_rows()))
    assert reference.frame["new"].tolist() == ["true", "false", "true"]
    assert reference.frame["sold"].iloc[0] == MOMENT_OF.timestamp()


def test_a_column_that_the_log_lacks_is_all_missing() -> None:
    reference = prepare_reference(1, builders.contract(), reference_rows())
    window = prepare_window(reference, logged_rows().drop_columns(["feature_size", "feature_town"]))
    assert window["size"].isna().all()
    assert window["town"].isna().all()


def test_columns_of_nothing_but_nulls_are_missing_values() -> None:
    reference = prepare_reference(1, builders.contract(), reference_rows())
    names = ("size", "rooms", "new", "town", "sold")
    nothing = pa.table({f"feature_{name}": pa.nulls(2) for name in names} | {"prediction": pa.nulls(2)})
    assert prepare_window(reference, nothing).isna().all().all()


@pytest.mark.parametrize("spread", [1e-9, 1e-5, 1e-4])
def test_tiny_units_are_raised_above_the_floor_of_the_distance(spread: float) -> None:
    contract = Contract(target=Target(name="y", task="regression"), columns=(Column(name="a", kind="numeric"),))
    values = np.random.default_rng(0).normal(0, spread, 500)
    reference = prepare_reference(1, contract, pd.DataFrame({"a": values, PREDICTION: values}))
    window = prepare_window(reference, pa.table({"feature_a": values, "prediction": values}))
    assert reference.frame["a"].std() > 0.1
    pd.testing.assert_frame_equal(reference.frame, window)


def test_the_prediction_keeps_clear_of_a_feature_of_its_name() -> None:
    plain = builders.contract()
    taken = plain.model_copy(update={"columns": (Column(name="prediction", kind="numeric"),)})
    assert (prediction_name(plain), prediction_name(taken)) == ("prediction", "(prediction)")


def test_thinning_is_even_and_keeps_the_ends() -> None:
    rows = pa.table({"n": list(range(1_000))})
    assert thinned(rows, 5)["n"].to_pylist() == [0, 249, 499, 749, 999]
    assert thinned(rows, 1_000) is rows


def test_the_prediction_s_name_is_no_feature_s_however_they_are_named() -> None:
    taken = builders.contract().model_copy(
        update={"columns": tuple(Column(name=name, kind="numeric") for name in ("prediction", "(prediction)"))}
    )
    assert prediction_name(taken) == "((prediction))"


def test_what_the_log_does_not_keep_is_not_scored() -> None:
    contract = builders.contract(privacy={"size": "drop", "town": "drop"})
    reference = prepare_reference(1, contract, reference_rows())
    assert [column.name for column in reference.columns] == ["rooms", "new", "sold", "prediction"]
    assert list(prepare_window(reference, logged_rows())) == ["rooms", "new", "sold", "prediction"]
