"""`evenkeel erase`: a customer asks to be forgotten, and is, while the product runs, without it, and after a kill."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from lifecycle.clock import MICROSECONDS
from lifecycle.feature_log.traces import search
from lifecycle.pseudonyms import Pseudonyms
from tests.behaviour.project import RunningProject, eventually
from tests.unit.evenkeel.tables import table, write

CUSTOMERS = ["anna", "bert", "carl", "dora", "emil"]
OPTIONS = ("--target", "sold", "--drop", "price", "--id", "order", "--subject", "customer")
EVER = 2**62
SETTINGS = {
    "EVENKEEL_SERVICE__WORKERS": "1",
    "EVENKEEL_RETRAIN__MODE": "off",
    "EVENKEEL_FEATURE_LOG__SEAL_SECONDS": "0.2",
    "EVENKEEL_FEATURE_LOG__FOLD_SECONDS": "0.2",
    "EVENKEEL_MONITORING__WINDOW_MINUTES": "0.1",
    "EVENKEEL_MONITORING__MINIMUM_ROWS": "20",
}
SENT = 100


def orders(rows: int, seed: int = 0) -> pd.DataFrame:
    """Sales, each an order of one of five customers in turn."""
    return table(rows, seed=seed).assign(
        order=[f"{seed}-{index:04d}" for index in range(rows)],
        customer=np.resize(CUSTOMERS, rows),
    )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProject]:
    folder = tmp_path_factory.mktemp("erase")
    with RunningProject(folder, SETTINGS, source=write(folder, orders(600)), options=OPTIONS) as project:
        send(project)
        yield project


def send(running: RunningProject) -> None:
    """A hundred orders and their labels, by the order's number; returns once all is in the tables."""
    tables = running.project.tables
    before = tables.predictions.row_count(), tables.labels.row_count()
    rows = [{str(name): value for name, value in row.items()} for row in orders(SENT, seed=7).to_dict("records")]
    labels = [{"external_id": row["order"], "label": row["sold"]} for row in rows]
    with httpx.Client(base_url=running.service_url, timeout=30) as http:
        http.post("/predict", json={"rows": rows}).raise_for_status()
        assert http.post("/feedback", json={"labels": labels}).json() == {"accepted": SENT, "rejected": []}
    eventually(lambda: tables.predictions.row_count() >= before[0] + SENT, "the rows are folded", 60)
    eventually(lambda: tables.labels.row_count() >= before[1] + SENT, "the labels are folded", 60)


def token(running: RunningProject, customer: str) -> str:
    return Pseudonyms.read(running.path / ".evenkeel" / "pseudonym.key").subject(customer)


def traces(running: RunningProject, customer: str) -> tuple[str, ...]:
    return search([running.path], token(running, customer), until=EVER).found


def recorded(running: RunningProject) -> dict[str, int]:
    """Rows of each customer in the table of predictions."""
    rows = running.project.tables.rows(0, 4_000_000_000 * MICROSECONDS, ["subject"], labels=True)
    subjects = rows["subject"].to_pylist()
    return {name: subjects.count(token(running, name)) for name in CUSTOMERS}


def labels(running: RunningProject) -> int:
    return running.project.tables.labels.row_count()


def assert_well(running: RunningProject) -> None:
    """Every version loads, every digest holds, and nothing is left to be erased."""
    states = {item["what"]: item["state"] for item in running.facts("doctor")}
    assert (states["versions"], states["champion"], states["feature log"]) == ("ok", "ok", "ok")
    assert all(item.token == "" for item in running.project.ledger.erasures())


def erasing(running: RunningProject, customer: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "evenkeel",
        "erase",
        "--subject",
        customer,
        "--project",
        str(running.path),
        "--json",
    ]
    return subprocess.Popen(command, env=running.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_while_all_runs_one_customer_goes_and_the_others_stay(running: RunningProject) -> None:
    kinds = {Path(name).parts[-2] for name in traces(running, "anna")}
    assert any(kind.startswith("day=") for kind in kinds)
    assert "000001" in kinds, "the reference holds her rows too"
    before, known = recorded(running), labels(running)
    facts: dict[str, Any] = running.facts("erase", "--subject", "anna")
    assert facts["searched"]["found"] == facts["searched"]["unreadable"] == []
    assert facts["searched"]["files"] > 10
    assert facts["removed"]["predictions"] == facts["removed"]["labels"] == before["anna"] == SENT // 5
    assert facts["removed"]["reference_rows"] > 50
    assert traces(running, "anna") == ()
    assert recorded(running) == before | {"anna": 0}
    assert labels(running) == known - SENT // 5
    assert traces(running, "bert")
    assert_well(running)
    assert running.get("/model")["version"] == 1


def test_it_tells_people_what_is_gone_and_never_whom(running: RunningProject) -> None:
    done = running.cli("erase", "--subject", "nobody in particular")
    assert done.returncode == 0, done.stderr
    assert "0 findings" in done.stdout
    said = done.stdout + done.stderr + running.log.read_text() + json.dumps(running.project.ledger.audit_trail())
    for name in ("nobody in particular", "anna"):
        assert name not in said
        assert token(running, name) not in said


def test_a_folder_that_does_not_come_to_it_in_time_is_told_in_a_sentence(running: RunningProject) -> None:
    (folder,) = running.running("-m", "lifecycle.feature_log")
    folder.suspend()
    try:
        done = running.cli("erase", "--subject", "bert", "--wait", 1)
    finally:
        folder.resume()
    assert (done.returncode, done.stdout) == (2, "")
    assert "was not finished within 1 s" in done.stderr
    eventually(lambda: all(item.finished_at for item in running.project.ledger.erasures()), "the folder does it", 60)
    assert traces(running, "bert") == ()
    assert_well(running)


def test_killed_again_and_again_it_is_finished_by_the_next(running: RunningProject) -> None:
    running.end()
    others = recorded(running) | {"carl": 0}
    killed = 0
    for seconds in (1.5, 3, 6.5, 8):  # a killed folder's lease lasts five seconds
        process = erasing(running, "carl")
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.communicate()
    assert killed > 1
    process = erasing(running, "carl")
    said, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint
    assert json.loads(said)["searched"]["found"] == []
    assert traces(running, "carl") == ()
    assert recorded(running) == others
    assert traces(running, "dora")
    running.start()
    assert_well(running)


def test_a_project_that_knows_no_subjects_says_so(tmp_path: Path) -> None:
    project = RunningProject(tmp_path)
    try:
        project.make()
        done = project.cli("erase", "--subject", "anna")
    finally:
        project.leave()
    assert (done.returncode, done.stdout) == (2, "")
    assert "marks no column as the subject" in done.stderr
