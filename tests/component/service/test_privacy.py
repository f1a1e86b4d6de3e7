"""Privacy in the data plane: what is marked is replaced before the model sees it, or not kept; ids and subjects are recorded."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc

from lifecycle.contract import Column, Treatment
from lifecycle.errors import InputRejected, ModelUnavailable
from lifecycle.pseudonyms import FORM, Pseudonyms
from lifecycle.records import PredictionBatch
from tests.component.service.making import KEY, ROW, Published, SeesOnly, Worker, count, request

TOWN = Column(name="town", kind="categorical", nullable=True)
MARKS: dict[str, Treatment] = {"key": "pseudonymise", "who": "subject", "town": "pseudonymise", "b": "drop"}
PSEUDONYMS = Pseudonyms(KEY)


def marked(folder: Path, published: Published, privacy: dict[str, Treatment], **options: Any) -> Worker:
    worker = Worker(folder, published, privacy=privacy, columns=(TOWN,), **options)
    worker.promote(1)
    return worker


@pytest.fixture
def hiding(tmp_path: Path, published: Published) -> Worker:
    """Everything is marked."""
    return marked(tmp_path, published, MARKS)


@pytest.fixture
def naming(tmp_path: Path, published: Published) -> Worker:
    """There is an id column and nothing is marked."""
    return marked(tmp_path, published, {})


def recorded(worker: Worker) -> PredictionBatch:
    (batch,) = worker.log.predictions
    return batch


def seen(worker: Worker) -> list[Any]:
    """The towns that the model was given."""
    live = worker.follower.live
    assert live is not None
    assert isinstance(live.model.runtime, SeesOnly)
    return [town for given in live.model.runtime.given for town in given["town"]]


def test_a_pseudonymised_feature_is_replaced_before_the_model_sees_it(hiding: Worker) -> None:
    hiding.predict({**ROW, "town": "Ghent"}, {**ROW, "town": None}, {**ROW, "town": 10115})
    towns = [PSEUDONYMS.of("Ghent"), None, PSEUDONYMS.of("10115")]
    assert seen(hiding) == recorded(hiding).columns["town"] == towns


def test_a_subject_and_a_pseudonymised_id_are_recorded_as_pseudonyms_of_two_kinds(hiding: Worker) -> None:
    hiding.predict({**ROW, "key": "A-17", "who": "A-17"}, {**ROW, "key": 17, "who": None}, ROW)
    batch = recorded(hiding)
    assert batch.external_ids == [PSEUDONYMS.of("A-17"), PSEUDONYMS.of("17"), None]
    assert batch.subjects == [PSEUDONYMS.subject("A-17"), None, None]
    assert batch.subjects[0] != batch.external_ids[0]


def test_what_is_dropped_reaches_the_model_and_not_the_log(hiding: Worker) -> None:
    with_b, without_b = hiding.predict({"a": 0.5, "b": 3.0}), hiding.predict({"a": 0.5, "b": -3.0})
    assert with_b.labels != without_b.labels
    assert [batch.columns["b"] for batch in hiding.log.predictions] == [[None], [None]]
    assert [batch.columns["a"] for batch in hiding.log.predictions] == [[0.5], [0.5]]


def test_without_marks_ids_are_recorded_as_they_are_sent(naming: Worker) -> None:
    naming.predict({**ROW, "key": "A-17", "town": "Ghent"}, {**ROW, "key": 18.0}, {**ROW, "key": ""})
    batch = recorded(naming)
    assert (batch.external_ids, batch.subjects) == (["A-17", "18", None], None)
    assert batch.columns["town"] == ["Ghent", None, None]


def test_without_an_id_column_nothing_is_recorded_beside_the_features(worker: Worker) -> None:
    worker.predict({**ROW, "key": "A-17"})
    assert (recorded(worker).external_ids, recorded(worker).subjects) == (None, None)


def arrow(columns: dict[str, Any]) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table(columns)
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


JSON_TYPE = "application/json"
COLUMNS: dict[str, list[Any]] = {"a": [1.0, 2.0], "b": [0.5, 0.5], "town": ["Ghent", "Turin"], "key": ["A-17", "18"]}
RECORDS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
TENSORS = [
    {"name": name, "shape": [2], "datatype": "BYTES" if isinstance(values[0], str) else "FP64", "data": values}
    for name, values in COLUMNS.items()
]
SPLIT = {"columns": list(COLUMNS), "data": [list(row.values()) for row in RECORDS]}
CSV = "key,a,b,town\nA-17,1.0,0.5,Ghent\n18,2.0,0.5,Turin\n"
FORMS: dict[str, tuple[str, str, Any]] = {
    "native": ("/predict", JSON_TYPE, {"rows": RECORDS}),
    "arrow": ("/predict", "application/vnd.apache.arrow.stream", arrow(COLUMNS)),
    "v2": ("/v2/models/houses/infer", JSON_TYPE, {"inputs": TENSORS}),
    "tensorflow_rows": ("/v1/models/houses:predict", JSON_TYPE, {"instances": RECORDS}),
    "tensorflow_columns": ("/v1/models/houses:predict", JSON_TYPE, {"inputs": COLUMNS}),
    "mlflow_split": ("/invocations", JSON_TYPE, {"dataframe_split": SPLIT}),
    "mlflow_csv": ("/invocations", "text/csv", CSV.encode()),
    "vertex": ("/vertex/predict", JSON_TYPE, {"instances": RECORDS}),
    "torchserve": ("/predictions/houses", JSON_TYPE, RECORDS),
    "azure": ("/score", JSON_TYPE, {"input_data": SPLIT}),
}


@pytest.mark.parametrize("form", FORMS)
def test_ids_and_pseudonyms_are_the_same_by_every_protocol(hiding: Worker, form: str) -> None:
    path, media_type, content = FORMS[form]
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    response = hiding.ask("POST", path, content=body, headers={"content-type": media_type})
    assert response.status_code == 200, response.text
    batch = recorded(hiding)
    assert batch.external_ids == [PSEUDONYMS.of("A-17"), PSEUDONYMS.of("18")]
    assert batch.columns["town"] == [PSEUDONYMS.of("Ghent"), PSEUDONYMS.of("Turin")]


def test_many_rows_as_arrays_are_treated_as_few_are(hiding: Worker) -> None:
    columns = {"a": np.ones(3), "b": np.ones(3), "town": np.array([1, 2, 3]), "key": np.array([1.0, np.nan, 2.5])}
    asyncio.run(hiding.plane.predict_columns(columns, 3, request()))
    batch = recorded(hiding)
    assert batch.external_ids == [PSEUDONYMS.of("1"), None, PSEUDONYMS.of("2.5")]
    assert batch.columns["town"] == [PSEUDONYMS.of(town) for town in "123"]
    assert batch.columns["b"] == [None] * 3


HOSTILE: list[Any] = ["x" * 10**6, "a\0b", "a\nb", True, ["A-17"], {"id": "A-17"}, 1e300, 10**30]


@pytest.mark.parametrize("column", ["key", "who"])
@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_an_id_that_cannot_be_kept_is_refused_and_its_row_named(hiding: Worker, column: str, value: object) -> None:
    with pytest.raises(InputRejected) as caught:
        hiding.predict(ROW, {**ROW, column: value})
    (problem,) = caught.value.problems
    assert (problem.row, problem.field) == (1, column)
    assert len(problem.problem) < 200
    assert (hiding.log.predictions, count(hiding.metrics.rejected_rows)) == ([], 1)


@pytest.mark.parametrize("value", ["x" * 10**6, True, ["Ghent"], 1e300], ids=["long", "flag", "list", "huge"])
def test_a_feature_that_cannot_become_a_pseudonym_is_refused(hiding: Worker, value: object) -> None:
    with pytest.raises(
        InputRejected, match="row 0, field 'town' must be a text of at most 1000 characters, or a number"
    ):
        hiding.predict({**ROW, "town": value})


def test_a_column_of_ids_of_another_length_is_refused(naming: Worker) -> None:
    columns = {"a": [1.0], "b": [1.0], "key": ["A", "B"]}
    with pytest.raises(InputRejected, match="field 'key' has 2 values where there are 1 rows"):
        asyncio.run(naming.plane.predict_columns(columns, 1, request()))


def test_without_its_key_a_marked_model_is_not_ready_and_says_why(tmp_path: Path, published: Published) -> None:
    worker = marked(tmp_path, published, MARKS, key=None)
    with pytest.raises(ModelUnavailable, match="contract asks for pseudonyms, but there is no key"):
        worker.predict(ROW)
    assert worker.ask("POST", "/predict", json={"rows": [ROW]}).status_code == 503
    ready = worker.ask("GET", "/readyz")
    assert (ready.status_code, ready.json()["error"]["code"]) == (503, "no_model")
    assert worker.log.predictions == []


@pytest.mark.parametrize(
    ("check", "status"), [(PSEUDONYMS.check, 200), (None, 200), (Pseudonyms(bytes(32)).check, 503)]
)
def test_a_key_that_is_not_the_one_of_the_model_s_contract_leaves_the_service_unready(
    hiding: Worker, check: str | None, status: int
) -> None:
    live = hiding.follower.live
    assert live is not None
    contract = live.model.contract.model_copy(update={"key_check": check})
    hiding.follower.live = replace(live, model=replace(live.model, contract=contract))
    ready = hiding.ask("GET", "/readyz")
    assert ready.status_code == status
    assert ("is not the one that the contract was made with" in ready.text) == (status == 503)


# labels by the caller's own id


def feedback(worker: Worker, *labels: object) -> tuple[int, list[dict[str, Any]]]:
    response = worker.ask("POST", "/feedback", json={"labels": labels})
    assert response.status_code == 202, response.text
    return response.json()["accepted"], response.json()["rejected"]


def test_a_label_may_name_its_prediction_by_the_caller_s_own_id(naming: Worker) -> None:
    assert feedback(naming, {"external_id": "A-17", "label": "yes"}, {"external_id": 18, "label": "no"}) == (2, [])
    assert [(label.id, label.external_id, label.label) for label in naming.log.labels] == [
        (None, "A-17", "yes"),
        (None, "18", "no"),
    ]


def test_the_id_in_a_label_becomes_the_pseudonym_that_the_prediction_has(hiding: Worker) -> None:
    hiding.predict({**ROW, "key": "A-17"})
    feedback(hiding, {"external_id": "A-17", "label": "yes"})
    assert [hiding.log.labels[0].external_id] == recorded(hiding).external_ids
    assert FORM.fullmatch(str(hiding.log.labels[0].external_id))


def test_without_an_id_column_a_label_by_external_id_is_rejected_with_a_reason(worker: Worker) -> None:
    accepted, (rejected,) = feedback(worker, {"external_id": "A-17", "label": "yes"})
    assert accepted == 0
    assert rejected == {
        "place": 0,
        "id": None,
        "reason": "the model's contract names no id column, so a label needs the id of its prediction",
    }


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"id": "x", "external_id": "A-17", "label": "yes"}, "has both id and external_id"),
        ({"label": "yes"}, "has neither id nor external_id"),
        ({"id": None, "external_id": None, "label": "yes"}, "has neither id nor external_id"),
        ({"external_id": "", "label": "yes"}, "a number that is exact, not an empty one"),
        ({"external_id": "x" * 1_500, "label": "yes"}, "a number that is exact, not one of 1500 characters"),
        ({"external_id": "a\0b", "label": "yes"}, "a number that is exact, not one with control characters"),
        ({"external_id": True, "label": "yes"}, "a number that is exact, not a boolean"),
        ({"external_id": ["A"], "label": "yes"}, "a number that is exact, not a list"),
        ({"external_id": 1e300, "label": "yes"}, "a number that is exact, not a number"),
    ],
    ids=range(9),
)
def test_a_label_that_names_no_prediction_is_rejected_and_not_repeated(
    naming: Worker, item: dict[str, Any], reason: str
) -> None:
    accepted, (rejected,) = feedback(naming, item)
    assert (accepted, set(rejected)) == (0, {"place", "id", "reason"})
    assert reason in rejected["reason"]
    assert naming.log.labels == []


def test_a_number_beyond_all_numbers_is_no_id_and_no_failure(naming: Worker) -> None:
    body = b'{"labels": [{"external_id": 1e400, "label": "yes"}]}'
    assert naming.ask("POST", "/feedback", content=body, headers={"content-type": JSON_TYPE}).status_code == 422


def test_a_label_out_of_its_domain_is_rejected_by_the_caller_s_own_id(naming: Worker) -> None:
    _, (rejected,) = feedback(naming, {"external_id": "A-17", "label": "perhaps"})
    reason = "the label is not one of the model's 2 classes"
    assert rejected == {"place": 0, "id": None, "external_id": "A-17", "reason": reason}
