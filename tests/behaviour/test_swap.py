"""The swap under load: nobody notices, and answer, record and numbers are always of one version."""

import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from lifecycle import promotion, versions
from lifecycle.errors import ArtefactRejected
from lifecycle.versions import LABEL, PREDICTION
from tests.behaviour.project import RunningProject, eventually, rows

PROMOTIONS = 24
WORKERS = 2
CALLERS = 3
PACE_SECONDS = 0.01
SETTINGS = {"EVENKEEL_RETRAIN__MODE": "off", "EVENKEEL_FEATURE_LOG__SEAL_SECONDS": "0.2"}
WORKER = ("-m", "_bentoml_impl.worker.service")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProject]:
    with RunningProject(tmp_path_factory.mktemp("swap"), SETTINGS) as project:
        register_constant(project)
        _wait_for_workers(project)
        yield project


def _wait_for_workers(running: RunningProject) -> None:
    """Return once both workers report themselves: readiness asks for one, and these tests count on two."""
    project = running.project
    eventually(lambda: len(promotion.alive(project.ledger, project.clock)) == WORKERS, "both workers serve", 40)


def register_constant(running: RunningProject) -> None:
    """Version 2: gives every row the same probabilities, which version 1 gives to none."""
    from sklearn.dummy import DummyClassifier

    project = running.project
    champion = project.ledger.version(1)
    assert champion is not None
    reference = versions.load_reference(champion, project.store).drop(columns=PREDICTION)
    constant = DummyClassifier(strategy="prior").fit([[0]] * len(reference), reference[LABEL].to_numpy(dtype=str))
    contract = versions.load_contract(champion, project.store)
    candidate = versions.Candidate(contract, constant, reference, "", {"loss": 0.5}, {}, 1)
    assert versions.register(candidate, project.store, project.ledger, project.clock, "skops").number == 2


def promote(running: RunningProject, number: int) -> promotion.Promotion:
    project = running.project
    return promotion.promote(
        project.ledger, project.store, project.clock, number, actor="test", reason="back and forth"
    )


@dataclass
class Traffic:
    """What callers got: the answers by id (version, probabilities), and every failure in words."""

    answers: dict[str, tuple[int, dict[str, float]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


@contextmanager
def steady(running: RunningProject) -> Iterator[Traffic]:
    """Callers that each send one row after another until the block ends."""
    traffic, stop, asked = Traffic(), threading.Event(), rows(50)

    def call(caller: int) -> None:
        with httpx.Client(base_url=running.service_url, timeout=30) as http:
            turn = caller
            while not stop.wait(PACE_SECONDS):
                turn += 1
                _ask(http, asked[turn % len(asked)], traffic)

    threads = [threading.Thread(target=call, args=(index,)) for index in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield traffic
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _ask(http: httpx.Client, row: dict[str, Any], traffic: Traffic) -> None:
    try:
        response = http.post("/predict", json={"rows": [row]})
    except httpx.TransportError as error:
        traffic.failures.append(repr(error))
        return
    if not response.is_success:
        traffic.failures.append(response.text)
        return
    answer = response.json()
    if response.headers["x-model-version"] != str(answer["version"]):
        traffic.failures.append(f"the header says version {response.headers['x-model-version']}: {response.text}")
    (prediction,) = answer["predictions"]
    traffic.answers[prediction["id"]] = (answer["version"], prediction["probabilities"])


def contradictions(
    answers: Mapping[str, tuple[int, dict[str, float]]], records: Sequence[Mapping[str, Any]], constant: float
) -> list[str]:
    """Answers that are not recorded exactly once, or whose version, record and numbers are not of one version."""
    found = {record["id"]: record for record in records}
    said = [f"{len(records) - len(found)} records are there twice"] if len(found) != len(records) else []
    for identifier, (version, probabilities) in answers.items():
        record = found.get(identifier)
        if record is None:
            said.append(f"{identifier} is not recorded")
        elif record["version"] != version:
            said.append(f"{identifier} was answered by {version} and is recorded as by {record['version']}")
        elif record["probability_yes"] != probabilities["yes"]:
            said.append(f"{identifier} is recorded with another probability")
        elif (probabilities["yes"] == constant) != (version == 2):
            said.append(f"{identifier} says version {version}, and its numbers are another's")
    return said


def records(running: RunningProject, count: int) -> list[dict[str, Any]]:
    """All records, once there are `count`."""
    tables = running.project.tables
    eventually(lambda: tables.row_count() >= count, f"{count} rows are folded", 30)
    now = running.project.clock.now()
    found: list[dict[str, Any]] = tables.window(now - 3_600_000_000, now).to_pylist()
    return found


def test_nobody_notices_two_dozen_promotions(running: RunningProject) -> None:
    with steady(running) as traffic:
        moves = [promote(running, 2 - turn % 2) for turn in range(PROMOTIONS)]
        eventually(lambda: traffic.answers, "somebody was answered", 10)
    assert traffic.failures == []
    assert [move.workers for move in moves] == [WORKERS] * PROMOTIONS
    slowest = max(move.seconds if move.seconds is not None else 99.0 for move in moves)
    assert slowest < 1.0
    constant = next(scores["yes"] for version, scores in traffic.answers.values() if version == 2)
    assert {version for version, _ in traffic.answers.values()} == {1, 2}
    assert contradictions(traffic.answers, records(running, len(traffic.answers)), constant) == []


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"id": "b", "version": 1, "probability_yes": 0.5}, "not recorded"),
        ({"id": "a", "version": 1, "probability_yes": 0.5}, "recorded as by 1"),
        ({"id": "a", "version": 2, "probability_yes": 0.4}, "another probability"),
    ],
)
def test_the_check_sees_a_record_that_contradicts_the_answer(record: dict[str, Any], said: str) -> None:
    assert said in contradictions({"a": (2, {"yes": 0.5})}, [record], 0.5)[0]


def test_the_check_sees_numbers_of_another_version_and_records_written_twice() -> None:
    record = {"id": "a", "version": 2, "probability_yes": 0.4}
    said = contradictions({"a": (2, {"yes": 0.4})}, [record, record], 0.5)
    assert [words.partition(" ")[0] for words in said] == ["1", "a"]


def test_rollback_returns_to_the_version_before(running: RunningProject) -> None:
    promote(running, 1)
    promote(running, 2)
    moved = running.facts("rollback")
    assert (moved["version"], moved["workers"]) == (1, 2)
    assert moved["seconds"] < 1.0
    assert running.get("/model")["version"] == 1


def test_a_damaged_version_is_refused_and_the_champion_keeps_serving(running: RunningProject) -> None:
    promote(running, 1)
    folder = running.project.store.root / "000002"
    shutil.copytree(folder, folder.with_name("sound"))
    artefact = next(folder.glob("model.*"))
    try:
        artefact.write_bytes(artefact.read_bytes()[:-1])
        with steady(running) as traffic:
            with pytest.raises(ArtefactRejected, match="SHA-256"):
                promote(running, 2)
            done = running.cli("promote", 2)
            eventually(lambda: len(traffic.answers) > 10, "callers are answered", 10)
    finally:
        shutil.rmtree(folder)
        folder.with_name("sound").rename(folder)
    assert (done.returncode, "SHA-256" in done.stderr) == (2, True)
    assert traffic.failures == []
    assert {version for version, _ in traffic.answers.values()} == {1}
    pointer = running.project.ledger.pointer()
    assert (pointer.version, pointer.staged) == (1, None)
    assert promote(running, 2).version == 2, "restored, it can be promoted"


def test_a_killed_worker_comes_back_on_the_current_pointer(running: RunningProject) -> None:
    promote(running, 1)
    first, second = running.running(*WORKER)
    with steady(running) as traffic:
        first.kill()
        moved = promote(running, 2)
        _wait_replaced(running, {first.pid, second.pid}, moved)
    assert moved.workers in (1, 2)
    assert [failure for failure in traffic.failures if "Error" not in failure] == [], "only connections were cut"
    assert len(traffic.failures) <= CALLERS
    assert {httpx.get(running.service_url + "/model").json()["version"] for _ in range(20)} == {2}
    assert len(running.running(*WORKER)) == 2


def _wait_replaced(running: RunningProject, before: set[int], moved: promotion.Promotion) -> None:
    """Return once a worker that was not there `before` serves what was promoted."""

    def replaced() -> bool:
        alive = promotion.alive(running.project.ledger, running.project.clock)
        newer = [worker for worker in alive if worker.pid not in before]
        return [(worker.version, worker.generation) for worker in newer] == [(moved.version, moved.generation)]

    eventually(replaced, "a new worker serves what was promoted", 40)
