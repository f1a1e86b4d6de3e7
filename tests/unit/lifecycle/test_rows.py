"""A segment's records as rows: the same values, whatever form a record was written in."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lifecycle.feature_log import frames
from lifecycle.feature_log.rows import decode
from lifecycle.ids import uuid7
from lifecycle.records import Label, LogSchema, PredictionBatch
from tests import builders

KINDS = {"n": "numeric", "i": "integer", "b": "boolean", "c": "categorical", "d": "datetime"}


def _segment(*payloads: bytes) -> bytes:
    header = frames.SegmentHeader(uuid7(), 1, builders.START)
    return frames.MAGIC + frames.framed([frames.header_payload(header), *payloads], 0)


def _schema(version: int = 1, kinds: dict[str, str] = KINDS, classes: tuple[str, ...] = ("no", "yes")) -> LogSchema:
    return LogSchema(version, kinds, classes)


def _batch(rows: int, **changes: Any) -> PredictionBatch:
    columns = {
        "n": [None, *(0.5 * index for index in range(1, rows))][:rows],
        "i": list(range(rows)),
        "b": [True] * rows,
        "c": ["Ghent"] * rows,
        "d": [builders.START + index for index in range(rows)],
    }
    return builders.batch(rows, **({"columns": columns} | changes))


def _rows(*batches: PredictionBatch, schema: LogSchema | None = None) -> list[dict[str, Any]]:
    known = schema or _schema()
    payloads = [frames.schema_payload(known), *map(frames.predictions_payload, batches)]
    found = decode(_segment(*payloads), sealed=True)
    assert found.corrupt_frames == 0
    return [row for _, table in found.predictions for row in table.to_pylist()]


def test_each_row_is_what_was_answered() -> None:
    batch = _batch(3, external_ids=["x", None, "z"], subjects=[None, "s", None], key_id="k", sampling_rate=0.5)
    rows = _rows(batch)
    assert [row["id"] for row in rows] == batch.ids
    assert [row["external_id"] for row in rows] == ["x", None, "z"]
    assert [row["subject"] for row in rows] == [None, "s", None]
    assert [row["feature_n"] for row in rows] == [None, 0.5, 1.0]
    assert [row["feature_i"] for row in rows] == [0, 1, 2]
    assert {row["request_id"] for row in rows} == {batch.request_id}
    first = rows[0]
    assert (first["day"], first["key_id"], first["sampling_rate"], first["latency_us"]) == ("2023-11-14", "k", 0.5, 900)
    assert (first["prediction"], first["probability_yes"], first["feature_b"]) == ("yes", 0.75, True)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 3, 2), (2, 400, 1), (300,)], ids=str)
def test_requests_of_any_size_keep_their_order_and_what_they_share(sizes: tuple[int, ...]) -> None:
    batches = [_batch(size, generation=number) for number, size in enumerate(sizes)]
    rows = {row["id"]: row for row in _rows(*batches)}
    assert len(rows) == sum(sizes)
    for batch in batches:
        for index, identifier in enumerate(batch.ids):
            assert rows[identifier]["generation"] == batch.generation
            assert rows[identifier]["feature_i"] == index


@pytest.mark.parametrize("count", [1, 2, 300])
def test_arrays_of_numbers_are_the_numbers_and_nan_is_a_missing_one(count: int) -> None:
    numbers = np.linspace(0, 1, count)
    numbers[0] = np.nan
    batch = builders.batch(count, columns={"n": numbers, "c": ["Ghent"] * count})
    rows = _rows(
        batch,
        builders.batch(columns={"n": [5.0], "c": [None]}),
        schema=_schema(kinds={"n": "numeric", "c": "categorical"}),
    )
    found = {row["id"]: row["feature_n"] for row in rows}
    assert [found[identifier] for identifier in batch.ids] == [None, *numbers[1:].tolist()]


def test_a_model_without_probabilities_or_with_numbers_for_answers_has_its_own_columns() -> None:
    schema = _schema(kinds={"n": "numeric"}, classes=())
    (row,) = _rows(builders.batch(columns={"n": [1]}, predictions=[2.5], probabilities={}), schema=schema)
    assert (row["prediction"], row["feature_n"]) == (2.5, 1.0)
    rows = _rows(_batch(2, probabilities={}), _batch(1))
    assert [row["probability_no"] for row in rows] == [None, None, 0.25]


def test_versions_are_tables_of_their_own() -> None:
    second = _schema(2, {"n": "categorical"})
    found = decode(
        _segment(
            frames.schema_payload(_schema()),
            frames.predictions_payload(_batch(1)),
            frames.schema_payload(second),
            frames.predictions_payload(builders.batch(version=2, columns={"n": ["a"]})),
            frames.predictions_payload(_batch(1)),
        ),
        sealed=True,
    )
    assert {schema.version: table.num_rows for schema, table in found.predictions} == {1: 2, 2: 1}
    assert {schema.version: table.schema.field("feature_n").type for schema, table in found.predictions} == {
        1: pa.float64(),
        2: pa.string(),
    }


def test_a_record_that_is_no_row_of_its_schema_is_counted_and_the_others_stay() -> None:
    payloads = [frames.schema_payload(_schema())]
    batches = [_batch(1) for _ in range(9)]
    batches[3].columns["i"] = ["no number"]
    batches[5].predictions = []
    found = decode(_segment(*payloads, *map(frames.predictions_payload, batches)), sealed=True)
    ids = [row["id"] for _, table in found.predictions for row in table.to_pylist()]
    assert ids == [batch.ids[0] for index, batch in enumerate(batches) if index not in (3, 5)]
    assert found.corrupt_frames == 2


def test_labels_are_of_the_day_of_their_prediction_and_texts_and_numbers_lie_apart() -> None:
    yesterday = uuid7((builders.START - 86_400_000_000) // 1000)
    labels = [
        Label(yesterday, "yes", 1, builders.START, "k"),
        Label(None, 2.0, 1, builders.START, None, "order 1"),
        Label("ffffffff-ffff-7fff-bfff-ffffffffffff", 3, 1, builders.START),
    ]
    texts, numbers = decode(_segment(frames.labels_payload(labels)), sealed=True).labels
    assert texts.select(["id", "external_id", "day", "label", "key_id"]).to_pylist() == [
        {"id": yesterday, "external_id": None, "day": "2023-11-13", "label": "yes", "key_id": "k"}
    ]
    assert numbers["label"].to_pylist() == [2.0, 3.0]
    assert numbers["day"].to_pylist() == ["2023-11-14", "9999-12-31"]
    assert numbers["external_id"].to_pylist() == ["order 1", None]


def test_a_segment_of_nothing_has_no_rows() -> None:
    assert decode(b"", sealed=True).count == 0
    assert decode(_segment(), sealed=True).count == 0
