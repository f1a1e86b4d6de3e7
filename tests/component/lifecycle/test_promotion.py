"""Promotion: the champion moves only when every live worker can follow, and they all do."""

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lifecycle.clock import ManualClock
from lifecycle.errors import ArtefactRejected, Conflict, ProjectInvalid
from lifecycle.ledger.sql import SqlLedger
from lifecycle.model_store import LocalModelStore
from lifecycle.promotion import alive, promote, rollback
from lifecycle.records import ModelVersion, Pointer, Worker
from tests import builders


class Workers(ManualClock):
    """A clock whose waiting lets every worker look at the ledger once, and lasts at least `stride` seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Callable[[], None]] = []
        self.stride = 0.0

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        for step in self.steps:
            step()
        return super().wait(stop, max(seconds, self.stride))


@dataclass
class FakeWorker:
    """Follows the pointer as a serving process does; `problem` makes it refuse, `mute` makes it only report itself."""

    id: str
    ledger: SqlLedger
    clock: ManualClock
    problem: str | None = None
    mute: bool = False
    generation: int = 0
    version: int | None = None
    swapped_at: int | None = None
    staged_before_flip: list[int] = field(default_factory=list)

    def step(self) -> None:
        pointer = self.ledger.pointer()
        if not self.mute:
            self._follow(pointer)
        self.ledger.report(Worker(self.id, 1, self.clock.now(), self.version, self.generation, self.swapped_at))

    def _follow(self, pointer: Pointer) -> None:
        if pointer.staged is not None:
            self.staged_before_flip.append(pointer.staged)
            self.ledger.acknowledge(self.id, pointer.staged, self.problem, self.clock.now())
        if pointer.generation > self.generation:
            self.generation, self.version, self.swapped_at = pointer.generation, pointer.version, self.clock.now()


class House:
    """A ledger, a store with registered versions 1 to 3, and workers."""

    def __init__(self, folder: Path, published: Path, registered: list[ModelVersion]) -> None:
        shutil.copytree(published, folder / "models")
        self.ledger = SqlLedger("sqlite://", folder)
        self.store = LocalModelStore(folder / "models")
        self.clock = Workers()
        for version in registered:
            self.ledger.register(version)

    def worker(self, name: str, *, problem: str | None = None, mute: bool = False) -> FakeWorker:
        worker = FakeWorker(name, self.ledger, self.clock, problem, mute)
        worker.step()
        self.clock.steps.append(worker.step)
        return worker

    def promote(self, number: int) -> object:
        return promote(self.ledger, self.store, self.clock, number, actor="ann", reason="better")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ModelVersion]]:
    root = tmp_path_factory.mktemp("published")
    ledger, store = SqlLedger("sqlite://", root), LocalModelStore(root)
    return root, [builders.registered(store, ledger, ManualClock()) for _ in range(3)]


@pytest.fixture
def house(tmp_path: Path, published: tuple[Path, list[ModelVersion]]) -> House:
    return House(tmp_path, *published)


def test_without_workers_the_pointer_moves_at_once(house: House) -> None:
    promotion = promote(house.ledger, house.store, house.clock, 1, actor="ann", reason="first")
    assert (promotion.version, promotion.generation, promotion.workers, promotion.seconds) == (1, 1, 0, None)
    assert house.ledger.pointer().version == 1
    version = house.ledger.version(1)
    assert version
    assert version.status == "promoted"


def test_every_worker_stages_before_the_flip_and_follows_after_it(house: House) -> None:
    workers = [house.worker("w1"), house.worker("w2")]
    promotion = promote(house.ledger, house.store, house.clock, 2, actor="ann", reason="better")
    assert all(worker.staged_before_flip for worker in workers)
    assert [(worker.version, worker.generation) for worker in workers] == [(2, 1), (2, 1)]
    assert promotion.workers == 2
    assert promotion.seconds is not None
    assert 0 <= promotion.seconds < 1


def test_the_move_is_in_the_audit_trail(house: House) -> None:
    house.promote(2)
    (line,) = house.ledger.audit_trail()
    assert (line["actor"], line["action"], line["detail"]["version"]) == ("ann", "promote", 2)


def test_one_worker_that_refuses_keeps_the_champion_everywhere(house: House) -> None:
    house.promote(1)
    workers = [house.worker("w1"), house.worker("w2", problem="digest differs")]
    with pytest.raises(ArtefactRejected, match="refused version 2, so the champion stays: digest differs"):
        house.promote(2)
    assert (house.ledger.pointer().version, house.ledger.pointer().staged) == (1, None)
    assert {worker.version for worker in workers} == {1}


def test_a_live_worker_that_does_not_answer_stops_the_promotion(house: House) -> None:
    house.promote(1)
    house.worker("w1")
    house.worker("w2", mute=True)
    house.clock.stride = 1.0
    began = house.clock.now()
    with pytest.raises(Conflict, match=r"1 worker\(s\) did not confirm within 30 s"):
        house.promote(2)
    assert house.clock.now() - began >= 30_000_000
    assert (house.ledger.pointer().version, house.ledger.pointer().staged) == (1, None)


def test_a_dead_worker_is_not_waited_for(house: House) -> None:
    house.ledger.report(Worker("dead", 1, house.clock.now(), None, 0, None))
    house.clock.advance(10)
    house.worker("w1")
    assert [worker.id for worker in alive(house.ledger, house.clock)] == ["w1"]
    assert promote(house.ledger, house.store, house.clock, 2, actor="ann", reason="better").workers == 1


def test_a_worker_that_does_not_swap_in_time_is_reported_not_hidden(house: House) -> None:
    slow = house.worker("slow")

    def goes_silent_after_the_flip() -> None:
        slow.mute = house.ledger.pointer().generation > 0

    house.clock.steps.insert(0, goes_silent_after_the_flip)
    house.clock.stride = 1.0
    promotion = promote(house.ledger, house.store, house.clock, 2, actor="ann", reason="better")
    assert (promotion.workers, promotion.seconds) == (0, None)


def test_a_pointer_that_moved_meanwhile_is_a_conflict(house: House) -> None:
    house.promote(1)
    house.worker("w1")

    def somebody_else() -> None:
        if house.ledger.pointer().generation == 1:
            house.ledger.flip(3, 1, "bob", "first come", house.clock.now())

    house.clock.steps.append(somebody_else)
    with pytest.raises(Conflict, match="moved to generation 2 meanwhile"):
        house.promote(2)
    assert house.ledger.pointer().version == 3


def test_a_version_that_cannot_be_loaded_is_not_even_staged(house: House) -> None:
    worker = house.worker("w1")
    artefact = house.store.root / "000002" / "model.skops"
    artefact.write_bytes(artefact.read_bytes()[:-1])
    with pytest.raises(ArtefactRejected, match="SHA-256"):
        house.promote(2)
    assert worker.staged_before_flip == []


def test_an_unknown_version_gets_a_sentence(house: House) -> None:
    with pytest.raises(ProjectInvalid, match="there is no version 9; `evenkeel models` lists"):
        house.promote(9)


def test_rollback_moves_the_pointer_back_by_the_same_path(house: House) -> None:
    worker = house.worker("w1")
    house.promote(1)
    house.promote(2)
    promotion = rollback(house.ledger, house.store, house.clock, actor="bob")
    assert (promotion.version, promotion.generation, worker.version) == (1, 3, 1)
    assert house.ledger.moves()[0].reason == "rollback from version 2"


def test_there_is_nothing_to_roll_back_to_at_first(house: House) -> None:
    house.promote(1)
    with pytest.raises(ProjectInvalid, match="no earlier champion"):
        rollback(house.ledger, house.store, house.clock, actor="bob")
