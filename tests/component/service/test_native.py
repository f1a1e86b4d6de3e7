"""The native protocol, from request to response, behind the gate."""

from pathlib import Path

import pytest

from lifecycle.ids import is_uuid7, uuid7
from tests.component.service.making import LIMITS, ROW, Published, Worker


def test_predict_answers_in_the_order_of_the_rows(worker: Worker) -> None:
    response = worker.ask("POST", "/predict", json={"rows": [{"a": 3, "b": 3}, {"a": -3, "b": -3}]})
    assert response.status_code == 200
    body = response.json()
    assert list(body) == ["request_id", "model", "version", "predictions"]
    assert (body["model"], body["version"]) == ("houses", 1)
    assert [row["prediction"] for row in body["predictions"]] == ["yes", "no"]
    assert set(body["predictions"][0]) == {"id", "prediction", "probabilities"}
    assert body["request_id"] == response.headers["x-request-id"]
    assert response.headers["x-model-version"] == "1"


def test_a_swap_shows_in_body_and_header_alike(worker: Worker) -> None:
    worker.promote(2)
    response = worker.ask("POST", "/predict", json={"rows": [ROW]})
    assert (response.json()["version"], response.headers["x-model-version"]) == (2, "2")


def test_a_broken_contract_is_422_with_row_field_and_problem(worker: Worker) -> None:
    response = worker.ask("POST", "/predict", json={"rows": [ROW, {"a": "x", "b": 1}]})
    assert response.status_code == 422
    error = response.json()["error"]
    assert error["code"] == "contract_violated"
    assert error["details"] == [{"row": 1, "field": "a", "problem": "must be a finite number, not a text"}]


def test_too_many_rows_are_413_with_the_limit(worker: Worker) -> None:
    assert worker.ask("POST", "/predict", json={"rows": [ROW] * LIMITS.rows}).status_code == 200
    response = worker.ask("POST", "/predict", json={"rows": [ROW] * (LIMITS.rows + 1)})
    assert response.status_code == 413
    assert f"at most {LIMITS.rows} rows" in response.json()["error"]["message"]


def test_no_rows_are_422(worker: Worker) -> None:
    response = worker.ask("POST", "/predict", json={"rows": []})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "contract_violated")


def test_feedback_is_202_and_says_what_was_rejected(worker: Worker) -> None:
    identifier = worker.ask("POST", "/predict", json={"rows": [ROW]}).json()["predictions"][0]["id"]
    worker.clock.at = 2**53
    labels = [{"id": identifier, "label": "yes"}, {"id": identifier, "label": 7}, {"id": "?", "label": "yes"}]
    response = worker.ask("POST", "/feedback", json={"labels": labels})
    assert response.status_code == 202
    assert response.json() == {
        "accepted": 1,
        "rejected": [
            {"place": 1, "id": identifier, "reason": "the label is not one of the model's 2 classes"},
            {"place": 2, "id": None, "reason": "id is not the id of a prediction"},
        ],
    }
    assert response.headers["x-model-version"] == "1"


def test_no_labels_are_accepted_as_none(worker: Worker) -> None:
    assert worker.ask("POST", "/feedback", json={"labels": []}).json() == {"accepted": 0, "rejected": []}


def test_model_says_what_is_live_and_where_it_comes_from(worker: Worker) -> None:
    body = worker.ask("GET", "/model").json()
    assert (body["name"], body["version"], body["generation"], body["parent"]) == ("houses", 1, 1, None)
    assert [column["name"] for column in body["contract"]["columns"]] == ["a", "b"]
    assert (body["metrics"], body["lineage"]) == ({"loss": 0.1}, {"seed": 0})
    assert body["created_at"] == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [("POST", "/predict", {"rows": [ROW]}), ("POST", "/feedback", {"labels": []}), ("GET", "/model", None)],
)
def test_without_a_model_every_route_is_503_with_a_moment_to_try_again(
    tmp_path: Path, published: Published, method: str, path: str, content: object
) -> None:
    response = Worker(tmp_path, published).ask(method, path, json=content)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "no_model")
    assert response.headers["retry-after"] == "1"
    assert "x-model-version" not in response.headers
    assert is_uuid7(response.headers["x-request-id"])


def test_a_log_that_cannot_be_written_is_503_when_so_configured(tmp_path: Path, published: Published) -> None:
    worker = Worker(tmp_path, published, on_error="reject")
    worker.promote(1)
    worker.log.failing = True
    requests = {
        "/predict": {"rows": [ROW]},
        "/feedback": {"labels": [{"id": uuid7(worker.clock.now() // 1000), "label": "yes"}]},
    }
    for path, content in requests.items():
        response = worker.ask("POST", path, json=content)
        assert (response.status_code, response.json()["error"]["code"]) == (503, "store_unavailable")
        assert response.headers["retry-after"] == "1"
