"""Azure ML's scoring route, behind the gate."""

import pytest

from tests.component.service.making import ROW, Worker

ROWS = [{"a": 3, "b": 3}, {"a": -3, "b": -3}]
FRAME = {"columns": ["b", "a"], "index": [0, 1], "data": [[3, 3], [-3, -3]]}


@pytest.mark.parametrize(
    "rows",
    [FRAME, ROWS, [[3, 3], [-3, -3]], {"data": [[3, 3], [-3, -3]]}],
    ids=["frame", "objects", "arrays", "unnamed"],
)
def test_input_data_gives_the_list_of_predictions(worker: Worker, rows: object) -> None:
    response = worker.ask("POST", "/score", json={"input_data": rows})
    assert (response.status_code, response.json()) == (200, ["yes", "no"])
    (batch,) = worker.log.predictions
    assert (batch.protocol, response.headers["x-prediction-ids"]) == ("azure", ",".join(batch.ids))


def test_params_may_ask_for_probabilities(worker: Worker) -> None:
    given = worker.ask("POST", "/score", json={"input_data": ROWS, "params": {"probabilities": True}}).json()
    native = worker.ask("POST", "/predict", json={"rows": ROWS}).json()["predictions"]
    assert given == [list(row["probabilities"].values()) for row in native]


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({}, 400, 'the body must have "input_data"'),
        ({"data": [ROW]}, 400, 'the body must have "input_data"'),
        ({"input_data": 1}, 400, "input_data must be an object with columns and data, not a number"),
        ({"input_data": {"columns": ["a", "b"]}}, 400, "input_data.data must be a list of rows"),
        ({"input_data": [ROW], "params": 1}, 400, '"params" must be an object, not a number'),
        ({"input_data": {"columns": ["a"], "data": [[1]]}}, 422, "field 'b' is missing"),
        ({"input_data": {"columns": ["a", "b"], "data": [[1, 2], [1]]}}, 422, "input_data.data[1] has 1 value(s)"),
    ],
    ids=["nothing", "data", "number", "no data", "params", "missing", "short"],
)
def test_what_is_not_right_is_refused_in_the_service_s_own_shape(
    worker: Worker, body: object, status: int, sentence: str
) -> None:
    response = worker.ask("POST", "/score", json=body)
    assert response.status_code == status
    assert sentence in response.json()["error"]["message"]
    assert worker.log.predictions == []
