"""API keys on a running service: who is let in, how often, until when, and that nothing listens unguarded by accident."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lifecycle.clock import to_text
from lifecycle.ledger.connect import HEAD, open_engine, schema_version, upgrade
from tests.behaviour.project import RunningProject, eventually, rows

SETTINGS = {
    "EVENKEEL_SERVICE__KEYS": "required",
    "EVENKEEL_FEATURE_LOG__SEAL_SECONDS": "0.2",
    "EVENKEEL_FEATURE_LOG__FOLD_SECONDS": "0.2",
}
REVOKED_SECONDS = 2.0
CONNECTIONS = 20
UNUSED_TLS = False
"""Plain HTTP has no certificates; reading the usual ones for each connection would take longer than the request."""
ROWS = {"rows": rows(1)}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProject]:
    with RunningProject(tmp_path_factory.mktemp("keys"), SETTINGS) as project:
        yield project


def in_every_worker(look: Callable[[], bool], what: str, seconds: float) -> None:
    """Return once `look` is true for as many connections in a row as no single worker gets."""
    row = 0

    def settled() -> bool:
        nonlocal row
        row = row + 1 if look() else 0
        return row >= CONNECTIONS

    eventually(settled, what, seconds)


def create(running: RunningProject, scope: str, *options: object) -> dict[str, Any]:
    """A new key, once every worker has read it, and all keys made before it."""
    made: dict[str, Any] = running.facts("keys", "create", "--scope", scope, *options)
    in_every_worker(lambda: ask(running, "GET", "/model", made["key"]).is_success, "the key is known", 10)
    return made


def ask(
    running: RunningProject, method: str, path: str, key: str | None = None, content: object = None
) -> httpx.Response:
    """One request on a connection of its own, so that any worker may take it."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    url = running.service_url + path
    return httpx.request(method, url, headers=headers, json=content, timeout=10, verify=UNUSED_TLS)


def predict(running: RunningProject, key: str | None) -> httpx.Response:
    return ask(running, "POST", "/predict", key, ROWS)


def assert_refused(response: httpx.Response, status: int) -> None:
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error", "request_id"}
    assert set(body["error"]) == {"code", "message", "details"}


@pytest.mark.parametrize("key", [None, "ek_AAAAAAAAAAAA.secret", "nonsense"], ids=["none", "unknown", "odd"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/predict"), ("POST", "/feedback"), ("GET", "/model")])
def test_without_a_valid_key_nothing_is_answered(
    running: RunningProject, method: str, path: str, key: str | None
) -> None:
    response = ask(running, method, path, key, ROWS if method == "POST" else None)
    assert_refused(response, 401)
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics"])
def test_probes_and_scrapers_need_no_key(running: RunningProject, path: str) -> None:
    assert ask(running, "GET", path).status_code == 200


def test_a_predict_key_predicts_and_its_id_is_on_the_record(running: RunningProject) -> None:
    key = create(running, "predict", "--name", "web")
    response = predict(running, key["key"]).raise_for_status()
    (prediction,) = response.json()["predictions"]
    eventually(lambda: running.cli("why", prediction["id"]).returncode == 0, "the record is folded", 20)
    assert running.facts("why", prediction["id"])["record"]["key_id"] == key["id"]


def test_the_key_may_be_in_a_header_of_its_own(running: RunningProject) -> None:
    key = create(running, "predict")["key"]
    response = httpx.post(running.service_url + "/predict", headers={"X-API-Key": key}, json=ROWS, timeout=10)
    assert response.status_code == 200


def test_a_key_opens_its_scope_alone_and_admin_everything(running: RunningProject) -> None:
    keys = {scope: create(running, scope)["key"] for scope in ("predict", "feedback", "admin")}
    (prediction,) = predict(running, keys["predict"]).raise_for_status().json()["predictions"]
    labels = {"labels": [{"id": prediction["id"], "label": "yes"}]}
    assert_refused(ask(running, "POST", "/feedback", keys["predict"], labels), 403)
    assert_refused(predict(running, keys["feedback"]), 403)
    for scope in ("feedback", "admin"):
        assert ask(running, "POST", "/feedback", keys[scope], labels).json()["accepted"] == 1
    assert predict(running, keys["admin"]).status_code == 200
    assert all(ask(running, "GET", "/model", key).status_code == 200 for key in keys.values())


def test_the_key_of_feedback_is_on_the_label(running: RunningProject) -> None:
    key = create(running, "admin")
    (prediction,) = predict(running, key["key"]).raise_for_status().json()["predictions"]
    labels = {"labels": [{"id": prediction["id"], "label": "yes"}]}
    ask(running, "POST", "/feedback", key["key"], labels).raise_for_status()

    def found() -> list[str | None]:
        labels = running.project.tables.labels
        kept = [row for batch in labels.scan(labels.files(), ["id", "key_id"]) for row in batch.to_pylist()]
        return [label["key_id"] for label in kept if label["id"] == prediction["id"]]

    assert eventually(found, "the label is folded", 20) == [key["id"]]


def test_a_revoked_key_stops_in_every_worker_without_a_restart(running: RunningProject) -> None:
    key = create(running, "predict")
    pids = sorted(process.pid for process in running.processes())
    assert running.facts("keys", "revoke", key["id"])["state"] == "revoked"
    revoked_at = last_let_in = time.monotonic()

    def stopped() -> bool:
        nonlocal last_let_in
        asked_at = time.monotonic()
        refused = predict(running, key["key"]).status_code == 401
        last_let_in = last_let_in if refused else asked_at
        return refused

    in_every_worker(stopped, "the key has stopped", 20)
    assert last_let_in - revoked_at < REVOKED_SECONDS
    assert sorted(process.pid for process in running.processes()) == pids


def test_a_key_beyond_its_rate_is_told_when_to_come_back(running: RunningProject) -> None:
    limited = running.facts("keys", "create", "--scope", "predict", "--rate-per-minute", 6)
    other = create(running, "predict")
    answers = [predict(running, limited["key"]) for _ in range(20)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(answers) - len(refused) <= 3, "each of two workers lets one through, and another each 20 s"
    for answer in refused:
        assert_refused(answer, 429)
        assert 1 <= int(answer.headers["retry-after"]) <= 20
    assert predict(running, other["key"]).status_code == 200, "each key has a rate of its own"


def test_no_secret_is_in_any_file_or_log_line(running: RunningProject) -> None:
    key = create(running, "predict")
    predict(running, key["key"]).raise_for_status()
    secret = key["key"].partition(".")[2].encode()
    files = [path for path in running.path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in [running.log, *files] if path.exists() and secret in path.read_bytes()]


def test_the_list_shows_what_was_made(running: RunningProject) -> None:
    key = create(running, "feedback", "--name", "labels", "--expires-days", 30)
    listed = {item["id"]: item for item in running.facts("keys", "list")}
    assert (listed[key["id"]]["scope"], listed[key["id"]]["name"]) == ("feedback", "labels")
    assert listed[key["id"]]["expires_at"] > to_text(running.project.clock.now())
    done = running.cli("keys", "list")
    assert key["id"] in done.stdout


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> RunningProject:
    """A project that is not up, whose service is to listen on every address."""
    project = RunningProject(tmp_path_factory.mktemp("exposed"), {"EVENKEEL_SERVICE__HOST": "0.0.0.0"})
    project.make()
    return project


@pytest.mark.parametrize("command", ["serve", "up"])
def test_another_address_without_a_key_is_refused_before_anything_starts(exposed: RunningProject, command: str) -> None:
    done = exposed.cli(command)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    sentence = " ".join(done.stderr.split())
    for words in ("'0.0.0.0'", "no usable API key", "`evenkeel keys create --scope predict`", "--insecure"):
        assert words in sentence
    exposed.wait_gone()


@pytest.mark.parametrize("state", ["revoked", "insecure"])
def test_only_a_usable_key_or_the_flag_lets_it_listen(exposed: RunningProject, state: str) -> None:
    """The port is held, so that what is let in ends with that, and this machine is never open to others."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", exposed.service_port))
        held.listen()
        if state == "insecure":
            done = exposed.cli("up", "--insecure")
            assert "anybody who reaches '0.0.0.0' can call the service" in " ".join(done.stderr.split())
        else:
            key = exposed.facts("keys", "create", "--scope", "predict")
            assert "in use" in " ".join(exposed.cli("up").stderr.split())
            exposed.facts("keys", "revoke", key["id"])
            done = exposed.cli("up")
            assert "no usable API key" in " ".join(done.stderr.split())
        assert done.returncode == 2
        assert ("in use" in " ".join(done.stderr.split())) is (state == "insecure")
    exposed.wait_gone()


def test_a_loopback_address_asks_for_no_key_by_default(tmp_path: Path) -> None:
    with RunningProject(tmp_path) as open_project:
        open_project.facts("keys", "create", "--scope", "predict")
        assert predict(open_project, None).status_code == 200


OPEN_LEDGER = """
import sys
from pathlib import Path
from lifecycle.ledger.sql import SqlLedger
print("ready", flush=True)
sys.stdin.readline()
SqlLedger("sqlite:///ledger.db", Path(sys.argv[1])).close()
"""


def test_a_ledger_from_before_keys_is_opened_by_several_processes_at_once(tmp_path: Path) -> None:
    """As when `up` starts its parts after an update."""
    engine = open_engine("sqlite:///ledger.db", tmp_path)
    upgrade(engine, "0001")
    engine.dispose()
    command = [sys.executable, "-c", OPEN_LEDGER, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(3)]  # type: ignore[call-overload]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert schema_version(engine) == HEAD
    engine.dispose()
