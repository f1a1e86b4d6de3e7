"""The Open Inference Protocol V2 as Triton's own client speaks it, unchanged, beside callers of the native protocol."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from lifecycle import promotion, versions
from lifecycle.ids import is_uuid7
from lifecycle.versions import LABEL, PREDICTION
from tests.behaviour.project import RunningProject, eventually, rows

SETTINGS = {
    "EVENKEEL_RETRAIN__MODE": "off",
    "EVENKEEL_FEATURE_LOG__SEAL_SECONDS": "0.2",
    "EVENKEEL_FEATURE_LOG__FOLD_SECONDS": "0.2",
}
MODEL = "houses"
DATATYPES = {"size": "FP64", "rooms": "INT64", "garden": "BOOL", "town": "BYTES", "built": "BYTES"}
CLASSES = ("no", "yes")
CALLERS = 8
REQUESTS = 40
ROWS = rows(12)
_NUMPY: Mapping[str, Any] = {"FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_, "BYTES": np.object_}
Row = Mapping[str, Any]


class Told(NamedTuple):
    """What a caller is told of one row."""

    id: str
    prediction: str
    probabilities: tuple[float, ...]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProject]:
    with RunningProject(tmp_path_factory.mktemp("v2"), SETTINGS) as project:
        yield project


@pytest.fixture
def client(running: RunningProject) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{running.service_port}") as opened:
        yield opened


def inputs(asked: Sequence[Row], *, binary: bool = True) -> list[triton.InferInput]:
    """One tensor per feature."""
    made = []
    for name, datatype in DATATYPES.items():
        values = np.array([row[name] for row in asked], dtype=_NUMPY[datatype])
        made.append(triton.InferInput(name, list(values.shape), datatype).set_data_from_numpy(values, binary))
    return made


def told(result: triton.InferResult) -> list[Told]:
    identifiers, labels = (
        [str(item.decode() if isinstance(item, bytes) else item) for item in result.as_numpy(name)]
        for name in ("id", "prediction")
    )
    scores = map(tuple, result.as_numpy("probabilities").tolist())
    return list(map(Told, identifiers, labels, scores))


def natively(http: httpx.Client, asked: Sequence[Row]) -> list[Told]:
    found = http.post("/predict", json={"rows": list(asked)}).raise_for_status().json()["predictions"]
    return [Told(row["id"], row["prediction"], tuple(row["probabilities"][name] for name in CLASSES)) for row in found]


def answers(found: Sequence[Told]) -> list[tuple[str, tuple[float, ...]]]:
    """What was told, without the ids, which no two answers share."""
    return [(item.prediction, item.probabilities) for item in found]


def test_server_and_model_are_live_and_ready(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready(MODEL, "2")
    assert not client.is_model_ready("barns")


def test_metadata_describes_features_and_answers(client: triton.InferenceServerClient) -> None:
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    for version in ("", "1"):
        metadata = client.get_model_metadata(MODEL, version)
        assert (metadata["name"], metadata["versions"]) == (MODEL, ["1"])
        assert {item["name"]: item["datatype"] for item in metadata["inputs"]} == DATATYPES
        outputs = {item["name"]: (item["datatype"], item["shape"]) for item in metadata["outputs"]}
        assert outputs == {"prediction": ("BYTES", [-1]), "probabilities": ("FP64", [-1, 2]), "id": ("BYTES", [-1])}


@pytest.mark.parametrize("binary_outputs", [None, True, False], ids=["all outputs", "as bytes", "as json"])
@pytest.mark.parametrize("binary", [True, False], ids=["bytes", "json"])
def test_the_client_gets_the_very_numbers_that_native_callers_get(
    running: RunningProject, client: triton.InferenceServerClient, binary: bool, binary_outputs: bool | None
) -> None:
    names = ("id", "probabilities", "prediction")
    outputs = None
    if binary_outputs is not None:
        outputs = [triton.InferRequestedOutput(name, binary_data=binary_outputs) for name in names]
    result = client.infer(MODEL, inputs(ROWS, binary=binary), outputs=outputs, request_id="order-17")
    with httpx.Client(base_url=running.service_url, timeout=30) as http:
        expected = natively(http, ROWS)
    found = told(result)
    assert answers(found) == answers(expected)
    assert all(is_uuid7(item.id) for item in found)
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("order-17", MODEL, "1")
    if outputs:
        assert [item["name"] for item in response["outputs"]] == list(names)


def refusal(ask: Callable[[], object]) -> tuple[str | None, str]:
    """Status and sentence of the exception that the client raises."""
    with pytest.raises(InferenceServerException) as raised:
        ask()
    return raised.value.status(), str(raised.value.message())


def test_the_clients_exception_carries_our_sentence(client: triton.InferenceServerClient) -> None:
    def sending(**changes: object) -> Callable[[], object]:
        return lambda: client.infer(MODEL, inputs([*ROWS[:2], ROWS[2] | changes]))

    head = "1 problem(s) in 3 row(s); the first: row 2, field"
    assert refusal(sending(built="soon")) == ("422", f"{head} 'built' must be a date and time in ISO 8601, not a text")
    assert refusal(sending(size=np.nan)) == ("422", f"{head} 'size' must not be null")
    outputs = [triton.InferRequestedOutput("logits")]
    assert refusal(lambda: client.infer(MODEL, inputs(ROWS), outputs=outputs)) == (
        "400",
        "each of outputs must name another of prediction, probabilities, id, not 'logits'",
    )
    assert refusal(lambda: client.infer(MODEL, inputs(ROWS)[1:]))[1].endswith("row 0, field 'size' is missing")


def test_versions_that_are_not_live_are_404_with_the_one_that_is(client: triton.InferenceServerClient) -> None:
    for ask in (
        lambda: client.infer(MODEL, inputs(ROWS), model_version="7"),
        lambda: client.get_model_metadata(MODEL, "7"),
    ):
        assert refusal(ask) == ("404", "version '7' of model 'houses' is not live; version 1 is")
    status, sentence = refusal(lambda: client.infer("barns", inputs(ROWS)))
    assert (status, sentence) == ("404", "there is no model 'barns' here; this service's is 'houses'")


def promote_telling(running: RunningProject) -> None:
    """Make a version live that tells rows apart: each size has its own probability, as steps of a tree have not."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    project = running.project
    champion = project.ledger.version(1)
    assert champion is not None
    reference = versions.load_reference(champion, project.store).drop(columns=PREDICTION)
    features = reference.drop(columns=LABEL)
    telling = make_pipeline(make_column_transformer((StandardScaler(), ["size"])), LogisticRegression())
    telling.fit(features, reference[LABEL].to_numpy(dtype=str))
    contract = versions.load_contract(champion, project.store)
    candidate = versions.Candidate(contract, telling, reference, "", {"loss": 0.5}, {}, 1)
    number = versions.register(candidate, project.store, project.ledger, project.clock, "skops").number
    promotion.promote(project.ledger, project.store, project.clock, number, actor="test", reason="it tells rows apart")
    eventually(
        lambda: {worker.version for worker in promotion.alive(project.ledger, project.clock)} == {number},
        "every worker serves the version that tells rows apart",
        20,
    )


def batches() -> list[list[list[dict[str, Any]]]]:
    """For each caller its requests, of 1 to 7 rows; no two rows of all have the same size."""
    sizes = count(20)
    return [
        [
            [row | {"size": next(sizes) / 13} for row in rows(1 + (caller + turn) % 7, seed=turn)]
            for turn in range(REQUESTS)
        ]
        for caller in range(CALLERS)
    ]


def call(running: RunningProject, caller: int, requests: Sequence[Sequence[Row]]) -> list[list[Told]]:
    """What `caller` is told: every second one speaks V2, with bytes and JSON in turn."""
    if caller % 2:
        with httpx.Client(base_url=running.service_url, timeout=30) as http:
            return [natively(http, asked) for asked in requests]
    with triton.InferenceServerClient(f"127.0.0.1:{running.service_port}", network_timeout=30) as client:
        return [told(client.infer(MODEL, inputs(asked, binary=turn % 2 == 0))) for turn, asked in enumerate(requests)]


def strangers(found: Sequence[Sequence[Told]], expected: Sequence[Sequence[Told]]) -> list[int]:
    """Which requests of a caller were not answered as they were when nobody else asked."""
    pairs = zip(found, expected, strict=True)
    return [turn for turn, (one, other) in enumerate(pairs) if answers(one) != answers(other)]


def test_many_callers_at_once_are_each_told_of_their_own_rows(running: RunningProject) -> None:
    """Callers of two protocols that send rows nobody else sends get what they got when they asked alone; and the log
    holds, under the ids they were told, the very rows they sent."""
    promote_telling(running)
    asked = batches()
    with httpx.Client(base_url=running.service_url, timeout=30) as http:
        alone = [[natively(http, request) for request in requests] for requests in asked]
    told_alone = [item.probabilities for requests in alone for request in requests for item in request]
    assert len(set(told_alone)) == len(told_alone), "every row has an answer of its own"
    with ThreadPoolExecutor(CALLERS) as callers:
        together = list(callers.map(lambda item: call(running, *item), enumerate(asked)))
    assert [strangers(*pair) for pair in zip(together, alone, strict=True)] == [[]] * CALLERS
    assert strangers([*together[0][1:], together[0][0]], alone[0]) != [], "answers that are swapped are seen"

    total = 2 * len(told_alone)
    eventually(lambda: len(records(running)) >= total, "every answered row is folded", 30)
    recorded = records(running)
    assert len(recorded) == total
    for caller, (requests, results) in enumerate(zip(asked, together, strict=True)):
        for sent, answered in zip(requests, results, strict=True):
            for row, item in zip(sent, answered, strict=True):
                record = recorded[item.id]
                assert {name: record[f"feature_{name}"] for name in ("size", "rooms", "garden", "town")} == {
                    name: row[name] for name in ("size", "rooms", "garden", "town")
                }
                assert record["prediction"] == item.prediction
                assert tuple(record[f"probability_{name}"] for name in CLASSES) == item.probabilities
                assert record["protocol"] == ("native" if caller % 2 else "v2")


def records(running: RunningProject) -> dict[str, dict[str, Any]]:
    """What is folded of the version that tells rows apart, by id."""
    now = running.project.clock.now()
    found = running.project.tables.rows(now - 3_600_000_000, now).to_pylist()
    found = [record for record in found if record["version"] == 2]
    by_id = {record["id"]: record for record in found}
    assert len(by_id) == len(found), "every record is there once"
    return by_id
