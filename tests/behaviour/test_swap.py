"""The swap under load: nobody notices, and answer, record and numbers are always of one version."""

import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lifecycle import promotion
from lifecycle.errors import ArtefactRejected
from tests.behaviour.project import RunningProject, eventually
from tests.behaviour.swapping import (
    CALLERS,
    SETTINGS,
    WORKERS,
    contradictions,
    promote,
    records,
    register_constant,
    steady,
    wait_for_workers,
)

PROMOTIONS = 200
WORKER = ("-m", "_bentoml_impl.worker.service")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProject]:
    with RunningProject(tmp_path_factory.mktemp("swap"), SETTINGS) as project:
        register_constant(project)
        wait_for_workers(project)
        yield project


def test_nobody_notices_two_hundred_promotions(running: RunningProject) -> None:
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
