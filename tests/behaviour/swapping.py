"""What the tests and the torture of the swap share: two versions that cannot be confused, traffic, and who contradicts.

Version 2 gives every row the same probabilities, which version 1 gives to none.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from lifecycle import promotion, versions
from lifecycle.contract import Contract
from lifecycle.versions import PREDICTION
from retrain.trainer import FileTrainer
from retrain.training import fit
from tests.behaviour.project import RunningProject, eventually, rows

CALLERS = 3
PACE_SECONDS = 0.01
WORKERS = 2
SETTINGS = {"EVENKEEL_RETRAIN__MODE": "off", "EVENKEEL_FEATURE_LOG__SEAL_SECONDS": "0.2"}


class Unsplit:
    """The project's trainer, with leaves so large that no tree splits: it answers every row alike, and compiles."""

    def __init__(self, running: RunningProject) -> None:
        self._trainer = FileTrainer(running.path / "trainer.py")

    def make_model(self, contract: Contract) -> Any:
        model: Any = self._trainer.make_model(contract)
        name = next(name for name in model.get_params() if name.endswith("min_samples_leaf"))
        return model.set_params(**{name: 10**9})

    def source_digest(self) -> str:
        return self._trainer.source_digest()


def register_constant(running: RunningProject) -> None:
    """Register version 2, which answers every row alike."""
    project = running.project
    champion = project.ledger.version(1)
    assert champion is not None
    reference = versions.load_reference(champion, project.store).drop(columns=PREDICTION)
    contract = versions.load_contract(champion, project.store)
    estimator = fit(contract, Unsplit(running), reference, seed=0)
    candidate = versions.Candidate(contract, estimator, reference, "", {"loss": 0.5}, {}, 1)
    assert versions.register(candidate, project.store, project.ledger, project.clock, "skops").number == 2


def wait_for_workers(running: RunningProject) -> None:
    """Return once both workers report themselves: readiness asks for one, and a promotion counts those it finds."""
    project = running.project
    eventually(lambda: len(promotion.alive(project.ledger, project.clock)) == WORKERS, "both workers serve", 40)


def promote(running: RunningProject, number: int) -> promotion.Promotion:
    project = running.project
    return promotion.promote(
        project.ledger, project.store, project.clock, number, actor="test", reason="back and forth"
    )


@dataclass
class Traffic:
    """What callers got: the answers by id (version, probabilities), the seconds each took, every failure in words."""

    answers: dict[str, tuple[int, dict[str, float]]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
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
    began = time.perf_counter()
    try:
        response = http.post("/predict", json={"rows": [row]})
    except httpx.TransportError as error:
        traffic.failures.append(repr(error))
        return
    if not response.is_success:
        traffic.failures.append(response.text)
        return
    traffic.seconds.append(time.perf_counter() - began)
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


def records(running: RunningProject, count: int, since: int | None = None) -> list[dict[str, Any]]:
    """All records of the last hour, or since a moment in microseconds, once there are `count`."""
    project = running.project
    found: list[dict[str, Any]] = []

    def folded() -> bool:
        now = project.clock.now()
        start = now - 3_600_000_000 if since is None else since
        found[:] = project.tables.rows(start, now + 1_000_000).to_pylist()
        return len(found) >= count

    eventually(folded, f"{count} rows are folded", 60)
    return found
