"""Reference and window go through the same conversion, so a difference between them is a difference in the world."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lifecycle.contract import Column
from lifecycle.feature_log.placing import MOMENT
from lifecycle.versions import AT, LABEL, PREDICTION, PROBABILITY
from monitoring import rows as scored
from monitoring.rows import Categories, Numbers, Rows, kept_rows, prediction_name, scored_columns
from tests import builders

MOMENT_OF = datetime(2024, 5, 1, 12, tzinfo=UTC)


def reference_rows() -> pd.DataFrame:
    """As `load_holdout` gives them: contract kinds, datetimes in microseconds, missing values in between."""
    return pd.DataFrame(
        {
            "size": [1.0, 2.0, np.nan],
            "rooms": [1, 2, 3],
            "new": [True, False, True],
            "town": ["Ghent", None, "Turin"],
            "sold": [int(MOMENT_OF.timestamp() * 1e6), None, 0],
            PREDICTION: ["yes", "no", "yes"],
            LABEL: ["yes", "yes", "no"],
            AT: [1, 2, 3],
            PROBABILITY + "no": [0.1, 0.6, 0.2],
            PROBABILITY + "yes": [0.9, 0.4, 0.8],
        }
    )


def logged_table() -> pa.Table:
    """As the feature log holds the same rows."""
    return pa.table(
        {
            "feature_size": pa.array([1.0, 2.0, None]),
            "feature_rooms": pa.array([1, 2, 3]),
            "feature_new": pa.array([True, False, True]),
            "feature_town": pa.array(["Ghent", None, "Turin"]),
            "feature_sold": pa.array([MOMENT_OF, None, datetime(1970, 1, 1, tzinfo=UTC)], MOMENT),
            "prediction": pa.array(["yes", "no", "yes"]),
            "at": pa.array([10, 20, 30], MOMENT),
            "received_at": pa.array([2_000_010, None, 30], MOMENT),
            "label": pa.array(["yes", None, "no"]),
            "sampling_rate": pa.array([1.0, 0.5, 1.0]),
            "probability_no": pa.array([0.1, 0.6, 0.2]),
            "probability_yes": pa.array([0.9, 0.4, 0.8]),
        }
    )


def gathered(table: pa.Table, *, batches: int = 1) -> Rows:
    contract = builders.contract()
    found = scored._Gathered(contract, scored_columns(contract), table.schema)
    for batch in table.to_batches(max_chunksize=max(1, len(table) // batches)):
        found.add(batch)
    return found.finished()


@pytest.mark.parametrize("batches", [1, 3])
def test_reference_and_window_are_prepared_alike(batches: int) -> None:
    reference, window = kept_rows(builders.contract(), reference_rows()), gathered(logged_table(), batches=batches)
    pd.testing.assert_frame_equal(reference.frame(), window.frame())
    assert window.frame()["new"].tolist() == ["true", "false", "true"]
    assert window.frame()["sold"].iloc[0] == MOMENT_OF.timestamp()
    assert window.probabilities["yes"].tolist() == reference.probabilities["yes"].tolist() == [0.9, 0.4, 0.8]


def test_a_window_knows_its_labels_their_delays_and_what_each_row_stands_for() -> None:
    window = gathered(logged_table())
    assert isinstance(window.labels, Categories)
    assert window.labels.texts() == ["yes", None, "no"]
    assert window.delays is not None
    assert window.delays.tolist()[0] == 2.0
    assert np.isnan(window.delays[1])
    assert window.weights is not None
    assert window.weights.tolist() == [1, 2, 1]
    assert len(window.labelled()) == 2


def test_rows_that_all_stand_for_as_many_have_no_weights() -> None:
    even = logged_table().set_column(9, "sampling_rate", pa.array([0.1, 0.1, 0.1]))
    assert gathered(even).weights is None


def test_a_column_that_the_log_lacks_is_all_missing() -> None:
    window = gathered(logged_table().drop_columns(["feature_size", "feature_town", "label", "received_at"]))
    assert window.columns["size"].missing.all()
    assert window.columns["town"].missing.all()
    assert not len(window.labelled())


def test_a_column_of_another_kind_is_missing_rather_than_misread() -> None:
    table = logged_table()
    retyped = table.set_column(0, "feature_size", pa.array(["1", "2", "x"]))
    assert gathered(retyped).columns["size"].missing.all()


def test_nothing_at_all_can_be_prepared() -> None:
    window = gathered(logged_table().slice(0, 0))
    assert len(window) == 0
    assert len(window.thinned(10)) == 0


def test_the_prediction_keeps_clear_of_a_feature_of_its_name() -> None:
    plain = builders.contract()
    taken = plain.model_copy(
        update={"columns": tuple(Column(name=name, kind="numeric") for name in ("prediction", "(prediction)"))}
    )
    assert (prediction_name(plain), prediction_name(taken)) == ("prediction", "((prediction))")


def test_what_the_log_does_not_keep_is_not_scored() -> None:
    contract = builders.contract(privacy={"size": "drop", "town": "drop"})
    assert [item.name for item in scored_columns(contract)] == ["rooms", "new", "sold", "prediction"]
    assert list(kept_rows(contract, reference_rows()).columns) == ["rooms", "new", "sold", "prediction"]


def test_thinning_is_even_and_keeps_the_ends() -> None:
    many = Rows({"n": Numbers(np.arange(1_000.0))}, at=np.arange(1_000))
    numbers = many.thinned(5).columns["n"]
    assert isinstance(numbers, Numbers)
    assert numbers.floats.tolist() == [0, 249, 499, 749, 999]
    assert many.thinned(1_000) is many


def test_so_many_different_texts_do_not_fill_the_memory() -> None:
    values = Categories.of(["a", "b", "c", "d", "e", "a", None], most_names=3)
    assert values.texts() == ["a", "b", "c", scored.MANY_OTHERS, scored.MANY_OTHERS, "a", None]
