"""Other ecosystems' clients, unchanged, against the running product: MLflow's own, pyarrow, and curl for the rest."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import ipc

from tests.behaviour.project import RunningProject, eventually, rows

FEATURES = ["size", "rooms", "garden", "town", "built"]
SETTINGS = {"EVENKEEL_FEATURE_LOG__SEAL_SECONDS": "0.2", "EVENKEEL_FEATURE_LOG__FOLD_SECONDS": "0.2"}
ROWS = [{name: row[name] for name in FEATURES} for row in rows(6, seed=5)]
FRAME = pd.DataFrame(ROWS)
ARRAYS = FRAME.to_dict("split")["data"]
SPLIT = {"columns": FEATURES, "index": list(range(len(ROWS))), "data": ARRAYS}
COLUMNS = FRAME.to_dict("list")
ARROW = "application/vnd.apache.arrow.stream"
JSON, CSV = "application/json", "text/csv"
PROTOCOLS = {"native", "arrow", "tensorflow", "vertex", "mlflow", "sagemaker", "torchserve", "azure"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProject]:
    with RunningProject(tmp_path_factory.mktemp("protocols"), SETTINGS) as project:
        yield project


@pytest.fixture(scope="module")
def expected(running: RunningProject) -> list[dict[str, Any]]:
    """What the native protocol answers."""
    answer = httpx.post(f"{running.service_url}/predict", json={"rows": ROWS}, timeout=30).raise_for_status()
    return list(answer.json()["predictions"])


@pytest.fixture(scope="module")
def labels(expected: list[dict[str, Any]]) -> list[str]:
    found = [row["prediction"] for row in expected]
    assert set(found) == {"no", "yes"}
    return found


@pytest.fixture(scope="module")
def shares(expected: list[dict[str, Any]]) -> list[list[float]]:
    return [list(row["probabilities"].values()) for row in expected]


MLFLOW = """
import json, sys
import numpy as np, pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

client = ScoringServerClient("127.0.0.1", int(sys.argv[1]))
rows = json.loads(sys.argv[2])
frame = pd.DataFrame(rows)
client.wait_server_ready()
client.ping()
found = {"version": client.get_version()}
forms = {
    "frame": frame,
    "frame with times": frame.assign(built=pd.to_datetime(frame["built"])),
    "frame with another index": frame.set_index(pd.Index(range(70, 70 + len(frame)))),
    "columns in another order": frame[frame.columns[::-1]],
    "array": frame.to_numpy(dtype=object),
    "list of lists": frame.values.tolist(),
    "list of objects": rows,
    "text of records": json.dumps({"dataframe_records": rows}),
    "text of columns": json.dumps({"inputs": frame.to_dict("list")}),
}
for name, form in forms.items():
    found[name] = client.invoke(form).get_predictions()[0].tolist()
found["probabilities"] = client.invoke(frame, params={"probabilities": True}).get_predictions("ndarray").tolist()
try:
    client.invoke(frame.assign(size=[float("nan"), *frame["size"][1:]]))
except Exception as error:
    found["refusal"] = str(error)
print(json.dumps(found))
"""


def test_mlflow_s_own_client_is_answered_in_every_form_that_it_writes(
    running: RunningProject, labels: list[str], shares: list[list[float]]
) -> None:
    command = [sys.executable, "-c", MLFLOW, str(running.service_port), json.dumps(ROWS)]
    quiet = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90, env=quiet)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("version")
    assert found.pop("probabilities") == shares
    refusal = found.pop("refusal")
    assert "error code 400" in refusal
    assert "row 0, field 'size' must not be null" in refusal
    assert found == dict.fromkeys(found, labels)
    assert len(found) == 9


def test_a_data_frame_goes_through_arrow_and_comes_back(
    running: RunningProject, expected: list[dict[str, Any]]
) -> None:
    typed = FRAME.assign(town=FRAME["town"].astype("category"), built=pd.to_datetime(FRAME["built"]))
    table = pa.Table.from_pandas(typed.set_index(pd.Index(range(70, 70 + len(typed)))))
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema, options=ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table, max_chunksize=4)
    headers = {"content-type": ARROW, "accept": ARROW}
    answer = httpx.post(f"{running.service_url}/predict", content=sink.getvalue(), headers=headers, timeout=30)
    assert (answer.status_code, answer.headers["content-type"]) == (200, ARROW), answer.text
    back = ipc.open_stream(answer.content).read_all()
    assert back["prediction"].to_pylist() == [row["prediction"] for row in expected]
    for name in ("no", "yes"):
        assert back[f"probability_{name}"].to_pylist() == [row["probabilities"][name] for row in expected]
    assert back.schema.metadata[b"request_id"].decode() == answer.headers["x-request-id"]


class Curl:
    """curl, as the documents' examples call it."""

    def __init__(self, program: str, url: str) -> None:
        self._program, self._url = program, url

    def __call__(
        self, path: str, body: object = None, *, kind: str = JSON, accept: str = "*/*"
    ) -> tuple[int, str, str]:
        """Status, content type and body of the answer."""
        command = [self._program, "-sS", "-H", f"Accept: {accept}", "-w", "\n%{http_code} %{content_type}"]
        content = body if isinstance(body, str) else json.dumps(body)
        if body is not None:
            command += ["-H", f"Content-Type: {kind}", "--data-binary", "@-"]
        done = subprocess.run(
            [*command, self._url + path], input=content, capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, done.stderr
        answer, _, facts = done.stdout.rpartition("\n")
        status, _, content_type = facts.partition(" ")
        return int(status), content_type, answer

    def json(self, path: str, body: object = None, *, kind: str = JSON, accept: str = "*/*") -> Any:
        """The answer as JSON, which a 200 has to be."""
        status, content_type, answer = self(path, body, kind=kind, accept=accept)
        assert (status, content_type) == (200, JSON), answer
        return json.loads(answer)


@pytest.fixture
def curl(running: RunningProject) -> Curl:
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed; scripts/system-packages.sh installs it")
    return Curl(program, running.service_url)


def test_tensorflow_serving_s_requests(curl: Curl, labels: list[str], shares: list[list[float]]) -> None:
    for place in ("", "/versions/1", "/labels/champion"):
        path = f"/v1/models/houses{place}"
        assert curl.json(f"{path}:predict", {"instances": ARRAYS}) == {"predictions": labels}
        assert curl.json(f"{path}:predict", {"instances": ROWS}) == {"predictions": labels}
        assert curl.json(f"{path}:predict", {"inputs": COLUMNS}) == {"outputs": labels}
        assert curl.json(path)["model_version_status"][0]["state"] == "AVAILABLE"
        assert curl.json(f"{path}/metadata")["model_spec"]["version"] == "1"
    asked = {"signature_name": "probabilities", "instances": ROWS}
    assert curl.json("/v1/models/houses:predict", asked) == {"predictions": shares}
    status, _, answer = curl("/v1/models/houses/versions/9:predict", {"instances": ARRAYS})
    assert (status, json.loads(answer)) == (404, {"error": "that version is not live; version 1 is"})


def test_kserve_s_first_version(curl: Curl) -> None:
    assert curl.json("/v1/models") == {"models": ["houses"]}
    assert curl.json("/v1/models/houses")["ready"] is True


def test_sagemaker_s_requests(curl: Curl, labels: list[str]) -> None:
    lines = FRAME.to_csv(header=False, index=False)
    assert curl("/ping") == (200, "text/plain; charset=utf-8", "")
    assert curl.json("/invocations", lines, kind=CSV) == {"predictions": labels}
    assert curl("/invocations", lines, kind=CSV, accept=CSV) == (200, CSV, "".join(f"{label}\n" for label in labels))
    assert curl.json("/execution-parameters")["BatchStrategy"] == "MULTI_RECORD"


def test_csv_with_a_header_is_mlflow_s(curl: Curl, labels: list[str]) -> None:
    for text in (FRAME.to_csv(index=False), FRAME.to_csv(), FRAME[FEATURES[::-1]].to_csv(index=False)):
        assert curl.json("/invocations", text, kind=CSV) == {"predictions": labels}


def test_vertex_s_requests(curl: Curl, labels: list[str]) -> None:
    assert curl.json("/vertex/health")["status"] == "ready"
    assert curl.json("/vertex/predict", {"instances": ROWS, "parameters": {}}) == {"predictions": labels}


def test_torchserve_s_requests(curl: Curl, expected: list[dict[str, Any]]) -> None:
    def told(row: dict[str, Any]) -> dict[str, Any]:
        return {name: row[name] for name in ("prediction", "probabilities")}

    assert curl.json("/ping", accept=JSON) == {"status": "Healthy"}
    assert told(curl.json("/predictions/houses", ROWS[0])) == told(expected[0])
    assert [told(row) for row in curl.json("/predictions/houses/1.0", ROWS)] == [told(row) for row in expected]
    assert curl("/explanations/houses", ROWS)[0] == 404


def test_azure_s_requests(curl: Curl, labels: list[str]) -> None:
    assert curl.json("/score", {"input_data": SPLIT}) == labels
    assert curl("/")[0] == 200


DOCUMENT = Path(__file__).parents[2] / "docs" / "protocols.md"
SHARED = "## The JSON and CSV protocols"
EXAMPLES = re.findall(r"```\n(curl .*?)```", DOCUMENT.read_text().partition(SHARED)[2], flags=re.DOTALL)


def test_each_protocol_has_an_example() -> None:
    assert len(EXAMPLES) == len(re.findall(r"^## ", DOCUMENT.read_text().partition(SHARED)[2], flags=re.MULTILINE))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.split()[1].rpartition("3000/")[2])
def test_the_document_s_example_is_answered(running: RunningProject, curl: Curl, tmp_path: Path, example: str) -> None:
    table = pa.Table.from_pandas(FRAME)
    with ipc.new_stream(str(tmp_path / "rows.arrows"), table.schema) as writer:
        writer.write_table(table)
    command = example.strip().replace("http://127.0.0.1:3000", running.service_url)
    done = subprocess.run(["bash", "-c", f"{command} -sS --fail-with-body"], cwd=tmp_path, capture_output=True, text=True,
                          check=False, timeout=30)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "yes" in done.stdout or "no" in done.stdout


def test_an_answer_s_id_takes_feedback(running: RunningProject) -> None:
    answer = httpx.post(f"{running.service_url}/invocations", json={"instances": ROWS}, timeout=30)
    delivered = [{"id": identifier, "label": "yes"} for identifier in answer.headers["x-prediction-ids"].split(",")]
    taken = httpx.post(f"{running.service_url}/feedback", json={"labels": delivered}, timeout=30)
    assert taken.json() == {"accepted": len(ROWS), "rejected": []}


def test_every_row_is_recorded_once_under_its_protocol(running: RunningProject) -> None:
    def ask(path: str, content: bytes, kind: str) -> int:
        headers = {"content-type": kind}
        answer = httpx.post(running.service_url + path, content=content, headers=headers, timeout=30)
        return answer.raise_for_status().status_code

    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    requests = {
        "native": ("/predict", {"rows": ROWS}),
        "arrow": ("/predict", sink.getvalue()),
        "tensorflow": ("/v1/models/houses:predict", {"inputs": COLUMNS}),
        "vertex": ("/vertex/predict", {"instances": ARRAYS}),
        "mlflow": ("/invocations", {"dataframe_split": SPLIT}),
        "sagemaker": ("/invocations", FRAME.to_csv(header=False, index=False)),
        "torchserve": ("/predictions/houses", ROWS),
        "azure": ("/score", {"input_data": SPLIT}),
    }
    begin = running.project.clock.now()
    for path, body in requests.values():
        if isinstance(body, bytes):
            ask(path, body, ARROW)
        elif isinstance(body, str):
            ask(path, body.encode(), CSV)
        else:
            ask(path, json.dumps(body).encode(), JSON)

    def recorded() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = running.project.tables.rows(
            begin, running.project.clock.now() + 1, labels=False
        ).to_pylist()
        return found if len(found) >= len(requests) * len(ROWS) else None

    records = eventually(recorded, "every row is in the table", 20)
    assert len(records) == len({record["id"] for record in records}) == len(requests) * len(ROWS)
    facts = [name for name in records[0] if name.startswith(("feature_", "probability_", "prediction"))]
    by_protocol = {
        protocol: sorted(
            (tuple(record[name] for name in facts) for record in records if record["protocol"] == protocol), key=str
        )
        for protocol in PROTOCOLS
    }
    assert by_protocol == dict.fromkeys(PROTOCOLS, by_protocol["native"])
    assert len(by_protocol["native"]) == len(ROWS)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name="),
        ("application/vnd.bentoml+pickle", b"\x80\x05cos\nsystem\n(S'true'\ntR."),
        ("application/octet-stream", b"\x00" * 100),
        (JSON, b"{"),
        (JSON, b"\xff\xfe"),
        (JSON, b"[" * 5_000),
        (JSON, b"null"),
        (JSON, b'{"instances": [[1e999]], "inputs": NaN}'),
        (CSV, b'"'),
        (CSV, b"\x00,\xff"),
        (ARROW, b"\xff\xff\xff\xff\x00\x01\x00\x00"),
    ],
    ids=["multipart", "pickle", "octets", "open", "utf-16", "deep", "null", "not numbers", "quote", "nul", "arrow"],
)
def test_nothing_that_is_sent_anywhere_is_a_server_error(running: RunningProject, kind: str, body: bytes) -> None:
    for path, operations in running.get("/docs.json")["paths"].items():
        if "post" in operations:
            asked = path.replace("{model}", "houses").replace("{version}", "1").replace("{label}", "champion")
            answer = httpx.post(running.service_url + asked, content=body, headers={"content-type": kind}, timeout=30)
            assert 400 <= answer.status_code < 500, (path, answer.status_code, answer.text)
            assert answer.headers["content-type"] == JSON
