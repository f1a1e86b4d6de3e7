"""The service as its callers meet it: real workers, real HTTP, a real feature log behind it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from lifecycle.ids import is_uuid7, uuid7
from tests.behaviour.project import RunningProject, eventually, rows

BODY_LIMIT = 40_000
ROWS_LIMIT = 50
SETTINGS = {
    "EVENKEEL_SERVICE__BODY_LIMIT_BYTES": str(BODY_LIMIT),
    "EVENKEEL_SERVICE__ROWS_LIMIT": str(ROWS_LIMIT),
    "EVENKEEL_FEATURE_LOG__SEAL_SECONDS": "0.2",
    "EVENKEEL_FEATURE_LOG__FOLD_SECONDS": "0.2",
    "EVENKEEL_MONITORING__WINDOW_MINUTES": "0.05",
    "EVENKEEL_MONITORING__MINIMUM_ROWS": "10",
}
JSON = {"content-type": "application/json"}
ROW = rows(1)[0]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProject]:
    with RunningProject(tmp_path_factory.mktemp("service"), SETTINGS) as project:
        yield project


@pytest.fixture(scope="module")
def http(running: RunningProject) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.service_url, timeout=30) as client:
        yield client


def predict(http: httpx.Client, *asked: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = http.post("/predict", json={"rows": list(asked)}).raise_for_status().json()
    return answer


def assert_headers(response: httpx.Response) -> None:
    assert response.headers["x-request-id"]
    assert response.headers["x-model-version"] == "1"
    assert "server" not in response.headers
    assert not [name for name in response.headers if "bentoml" in name]


def assert_refused(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["error"]["code"]) == (status, code), response.text
    body = response.json()
    assert set(body) == {"error", "request_id"}
    assert set(body["error"]) == {"code", "message", "details"}
    assert body["request_id"] == response.headers["x-request-id"]
    assert_headers(response)


def body(**changes: Any) -> bytes:
    return json.dumps({"rows": [ROW | changes]}).encode()


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "status", "code"),
    [
        ("POST", "/predict", b"", JSON, 400, "malformed_json"),
        ("POST", "/predict", b"{", JSON, 400, "malformed_json"),
        ("POST", "/predict", b"\x00\xff", JSON, 400, "malformed_json"),
        ("POST", "/predict", body(size=float("nan")), JSON, 422, "contract_violated"),
        ("POST", "/predict", body(size=1).replace(b"1", b"1e999"), JSON, 422, "contract_violated"),
        ("POST", "/predict", b'{"rows": [], "rows": []}', JSON, 422, "contract_violated"),
        ("POST", "/predict", b'{"rows": ' + b"[" * 30_000, JSON, 422, "contract_violated"),
        ("POST", "/predict", b"null", JSON, 422, "contract_violated"),
        ("POST", "/predict", b'{"rows": []}', JSON, 422, "contract_violated"),
        ("POST", "/predict", b'{"rows": [null]}', JSON, 422, "contract_violated"),
        ("POST", "/predict", b'{"rows": [{}]}', JSON, 422, "contract_violated"),
        ("POST", "/predict", b'{"rows": [' + b"[" * 200 + b"]" * 200 + b"]}", JSON, 422, "contract_violated"),
        ("POST", "/predict", body(size="big"), JSON, 422, "contract_violated"),
        ("POST", "/predict", body(size=None, rooms=None), JSON, 422, "contract_violated"),
        ("POST", "/predict", body(rooms=1.5), JSON, 422, "contract_violated"),
        ("POST", "/predict", body(rooms=2**64), JSON, 422, "contract_violated"),
        ("POST", "/predict", body(town=["Ghent"]), JSON, 422, "contract_violated"),
        ("POST", "/predict", body(town="x" * 2_000), JSON, 422, "contract_violated"),
        ("POST", "/predict", body(built="soon"), JSON, 422, "contract_violated"),
        ("POST", "/predict", body(colour="red"), JSON, 422, "contract_violated"),
        ("POST", "/predict", b'{"rows": [' + b" " * BODY_LIMIT + b"]}", JSON, 413, "too_large"),
        ("POST", "/predict", json.dumps({"rows": [{}] * (ROWS_LIMIT + 1)}).encode(), JSON, 413, "too_large"),
        ("POST", "/predict", body(), {"content-type": "text/plain"}, 415, "unsupported_media_type"),
        ("POST", "/predict", body(), {}, 415, "unsupported_media_type"),
        (
            "POST",
            "/predict",
            b"--x",
            {"content-type": "multipart/form-data; boundary=x"},
            415,
            "unsupported_media_type",
        ),
        ("POST", "/predict", b"x", {"content-type": "application/vnd.bentoml+pickle"}, 415, "unsupported_media_type"),
        ("POST", "/feedback", b"{", JSON, 400, "malformed_json"),
        ("POST", "/feedback", b'{"labels": {}}', JSON, 422, "contract_violated"),
        ("POST", "/feedback", b"{}", {}, 415, "unsupported_media_type"),
        ("GET", "/predict", None, {}, 405, "method_not_allowed"),
        ("PUT", "/predict", body(), JSON, 405, "method_not_allowed"),
        ("GET", "/feedback", None, {}, 405, "method_not_allowed"),
        ("POST", "/model", b"{}", JSON, 405, "method_not_allowed"),
        ("DELETE", "/metrics", None, {}, 405, "method_not_allowed"),
        ("GET", "/nothing", None, {}, 404, "not_found"),
        ("POST", "/nothing", body(), JSON, 404, "not_found"),
        ("GET", "/%0aevent=forged", None, {}, 404, "not_found"),
        ("GET", "/..%2f..%2fetc/passwd", None, {}, 404, "not_found"),
    ],
)
def test_whatever_is_sent_is_refused_in_one_shape(
    http: httpx.Client,
    method: str,
    path: str,
    content: bytes | None,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    assert_refused(http.request(method, path, content=content, headers=headers), status, code)


def test_a_body_without_a_length_is_cut_off_at_the_limit(http: httpx.Client) -> None:
    chunks = (b" " * 1_000 for _ in range(BODY_LIMIT // 1_000 + 2))
    assert_refused(http.post("/predict", content=chunks, headers=JSON), 413, "too_large")


def test_feedback_takes_what_it_can_and_names_the_rest(http: httpx.Client) -> None:
    known = predict(http, ROW)["predictions"][0]["id"]
    labels: list[object] = [
        {"id": known, "label": "yes"},
        {"id": known, "label": "no"},
        {"id": known, "label": "perhaps"},
        {"id": known},
        {"id": known, "label": "yes", "observed_at": "0000"},
        {"id": "ffffffff-ffff-7fff-bfff-ffffffffffff", "label": "yes"},
        {"id": "\n", "label": "yes"},
        [],
        None,
    ]
    response = http.post("/feedback", json={"labels": labels})
    assert response.status_code == 202
    assert response.json()["accepted"] == 2
    assert [item["id"] for item in response.json()["rejected"]] == [known, known, known, None, None, None, None]
    assert_headers(response)


def test_the_request_id_of_the_caller_is_kept_when_harmless(http: httpx.Client) -> None:
    assert http.get("/model", headers={"X-Request-ID": "order-17"}).headers["x-request-id"] == "order-17"
    assert is_uuid7(http.get("/model", headers={"X-Request-ID": "a b"}).headers["x-request-id"])


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/docs.json", "/schema.json", "/model", "/metrics"])
def test_what_is_there_answers_with_the_same_headers(http: httpx.Client, path: str) -> None:
    response = http.get(path)
    assert response.status_code == 200
    assert_headers(response)


def described(page: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The properties of `schema`, or of the component it refers to."""
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = (page["components"]["schemas"][name] if name else schema)["properties"]
    return found


def test_the_description_tells_what_predict_takes_and_gives(http: httpx.Client) -> None:
    page = http.get("/docs.json").json()
    operation = page["paths"]["/predict"]["post"]
    taken = operation["requestBody"]["content"]["application/json"]["schema"]
    given = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(described(page, taken)) == {"rows"}
    assert set(described(page, given)) == {"request_id", "model", "version", "predictions"}


def test_model_tells_contract_and_lineage(http: httpx.Client) -> None:
    model = http.get("/model").json()
    assert (model["name"], model["version"], model["generation"], model["parent"]) == ("houses", 1, 1, None)
    assert {column["name"] for column in model["contract"]["columns"]} == {"size", "rooms", "garden", "town", "built"}
    assert model["metrics"]["loss"] < model["metrics"]["trivial_loss"]
    assert {"trainer_digest", "snapshot", "seed"} <= set(model["lineage"])


def counted(http: httpx.Client) -> dict[str, float]:
    """Every sample of /metrics by its name and labels."""
    lines = (line.rpartition(" ") for line in http.get("/metrics").text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def in_the_log(running: RunningProject) -> dict[str, dict[str, Any]]:
    """Every folded record by id. Fails when one is there twice."""
    now = running.project.clock.now()
    records = running.project.tables.rows(now - 3_600_000_000, now, labels=True).to_pylist()
    found = {record["id"]: record for record in records}
    assert len(found) == len(records)
    return found


def test_every_answer_is_in_the_log_exactly_once_as_it_was_sent(running: RunningProject, http: httpx.Client) -> None:
    """Several callers at once; afterwards responses, counters of all workers and the table hold the same rows."""
    asked = [rows(1 + index % 7, seed=index) for index in range(60)]

    def send(batch: list[dict[str, Any]]) -> dict[str, Any]:
        with httpx.Client(base_url=running.service_url, timeout=30) as caller:
            return predict(caller, *batch)

    before = counted(http)
    with ThreadPoolExecutor(4) as callers:
        answers = list(callers.map(send, asked))
    after = counted(http)
    sent = sum(map(len, asked))
    for name in ('evenkeel_predictions_total{version="1"}', 'evenkeel_log_rows_total{outcome="appended"}'):
        assert after[name] - before.get(name, 0) == sent
    answered = 'evenkeel_requests_total{protocol="native",status_class="2xx"}'
    assert after[answered] - before.get(answered, 0) == len(asked)
    total = int(after['evenkeel_predictions_total{version="1"}'])
    eventually(lambda: running.project.tables.row_count() == total, "every answered row is folded", 20)
    records = in_the_log(running)
    assert len(records) == total
    for batch, answer in zip(asked, answers, strict=True):
        for row, prediction in zip(batch, answer["predictions"], strict=True):
            record = records[prediction["id"]]
            assert record["request_id"] == answer["request_id"]
            assert record["version"] == answer["version"] == 1
            assert record["prediction"] == prediction["prediction"]
            assert {name: record[f"probability_{name}"] for name in ("no", "yes")} == prediction["probabilities"]
            assert (record["feature_size"], record["feature_town"]) == (row["size"], row["town"])


def test_no_worker_counts_for_another(running: RunningProject, http: httpx.Client) -> None:
    """Both workers answer, and whichever is asked for its metrics tells the same sums."""
    name = 'evenkeel_predictions_total{version="1"}'
    predict(http, ROW)
    assert len({counted(http)[name] for _ in range(10)}) == 1
    samples = eventually(
        lambda: counted(http) if counted(http)["evenkeel_served_version_lowest"] == 1 else None, "every worker serves"
    )
    assert samples["evenkeel_served_version_highest"] == 1


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1969-12-31"])
def test_moments_at_the_ends_of_the_calendar_are_folded_and_explained(
    running: RunningProject, http: httpx.Client, moment: str
) -> None:
    known = predict(http, ROW | {"built": moment})["predictions"][0]["id"]
    assert http.post("/feedback", json={"labels": [{"id": known, "label": "yes"}]}).json()["accepted"] == 1
    eventually(lambda: running.cli("why", known).returncode == 0, f"`evenkeel why` shows {moment}", 20)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_moments_beyond_the_calendar_break_the_contract(http: httpx.Client, moment: str) -> None:
    response = http.post("/predict", json={"rows": [ROW | {"built": moment}]})
    assert_refused(response, 422, "contract_violated")


def test_a_label_for_a_row_nobody_asked_about_harms_nothing(running: RunningProject, http: httpx.Client) -> None:
    stranger = uuid7()
    assert http.post("/feedback", json={"labels": [{"id": stranger, "label": "yes"}]}).json()["accepted"] == 1
    known = predict(http, ROW)["predictions"][0]["id"]
    http.post("/feedback", json={"labels": [{"id": known, "label": "no"}, {"id": known, "label": "yes"}]})
    eventually(lambda: in_the_log(running).get(known, {}).get("label") == "yes", "the latest label is joined", 20)
    assert stranger not in in_the_log(running)


def test_promtool_finds_nothing_to_say_about_the_metrics(http: httpx.Client) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; scripts/system-packages.sh installs it")
    predict(http, ROW)
    page = http.get("/metrics").content
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


CLIENT = """
import json, sys
import bentoml
with bentoml.SyncHTTPClient(sys.argv[1]) as client:
    answer = client.predict(rows=json.loads(sys.argv[2]))
print(json.dumps(answer if isinstance(answer, dict) else answer.model_dump()))
"""


def test_bentomls_own_client_works_unchanged(running: RunningProject) -> None:
    command = [sys.executable, "-c", CLIENT, running.service_url, json.dumps(rows(3))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["version"] == 1
    assert len(answer["predictions"]) == 3
    assert {row["prediction"] for row in answer["predictions"]} <= {"no", "yes"}


def test_a_moment_far_away_does_not_keep_the_monitor_from_judging(running: RunningProject, http: httpx.Client) -> None:
    sent = running.project.clock.now()
    predict(http, ROW | {"built": "9999-12-31"}, *rows(20))
    eventually(
        lambda: [item for item in running.project.ledger.latest(5) if item.start <= sent < item.end], "a verdict", 15
    )


def test_the_front_page_is_ours_and_loads_nothing_from_elsewhere(http: httpx.Client) -> None:
    answer = http.get("/")
    assert (answer.status_code, answer.json()["routes"]) == (200, "/docs.json")


def test_a_worker_that_serves_a_compiled_model_is_light(running: RunningProject, http: httpx.Client) -> None:
    """Seen from outside: its memory, and the compiled libraries that are mapped into it."""
    http.post("/predict", json={"rows": rows(ROWS_LIMIT)}).raise_for_status()
    workers = running.running("-m", "_bentoml_impl.worker.service")
    assert len(workers) == 2
    for worker in workers:
        mapped = {region.path for region in worker.memory_maps()}
        assert [path for path in mapped if "/onnxruntime/" in path], "it serves the compiled form"
        heavy = ("/sklearn/", "/scipy/", "/pandas/", "/pyarrow/", "/matplotlib/", "/plotly/", "/evidently/")
        assert [path for path in mapped if any(name in path for name in heavy)] == []
        assert worker.memory_info().rss <= 200 * 2**20
