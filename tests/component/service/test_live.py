"""The follower: what is live is always a version that loaded whole, and is the champion as soon as that is possible."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lifecycle import artefacts, models, versions
from lifecycle.clock import SystemClock
from lifecycle.contract import Contract
from lifecycle.errors import ArtefactRejected, StoreUnavailable
from lifecycle.records import ModelVersion
from lifecycle.runtimes.estimator import EstimatorRuntime
from service.live import RETRY_SECONDS, Follower
from tests.component.service.making import ROW, Published, Worker, count, request


def reported(worker: Worker) -> tuple[int | None, int]:
    (found,) = worker.ledger.workers(0)
    return found.version, found.generation


def test_before_the_first_promotion_nothing_is_live_but_the_worker_is_known(
    tmp_path: Path, published: Published
) -> None:
    worker = Worker(tmp_path, published)
    worker.follower.follow()
    worker.follower.beat()
    assert worker.follower.live is None
    assert reported(worker) == (None, 0)


def test_a_worker_that_starts_serves_the_pointer(tmp_path: Path, published: Published) -> None:
    worker = Worker(tmp_path, published)
    worker.flip(1)
    worker.flip(2)
    worker.follower.follow()
    assert worker.version() == 2
    assert reported(worker) == (2, 2)
    assert count(worker.metrics.swaps) == 0


def test_a_swap_replaces_the_version_and_is_counted_and_reported(worker: Worker) -> None:
    before = worker.plane.live(request())
    worker.clock.advance(5)
    worker.promote(2)
    assert (before.version, worker.version()) == (1, 2)
    assert reported(worker) == (2, 2)
    assert worker.ledger.workers(0)[0].swapped_at == worker.clock.now()
    assert count(worker.metrics.swaps) == 1


def test_a_promotion_of_what_is_live_takes_the_new_generation(worker: Worker) -> None:
    worker.promote(1)
    assert (worker.version(), worker.plane.live(request()).generation) == (1, 2)


def test_a_staged_version_is_loaded_and_acknowledged_while_the_champion_answers(worker: Worker) -> None:
    worker.ledger.stage(2)
    worker.follower.follow()
    assert dict(worker.ledger.acknowledgements(2)) == {worker.follower.worker: None}
    assert worker.version() == 1


def test_the_staged_version_is_what_goes_live_without_another_load(worker: Worker) -> None:
    worker.ledger.stage(2)
    worker.follower.follow()
    worker.damage(2)
    worker.promote(2)
    assert worker.version() == 2
    assert worker.predict(ROW).version == 2


def test_a_version_that_is_no_longer_staged_is_forgotten(worker: Worker) -> None:
    worker.ledger.stage(2)
    worker.follower.follow()
    worker.ledger.stage(None)
    worker.follower.follow()
    worker.damage(2)
    worker.promote(2)
    assert worker.version() == 1, "the damaged version had to be loaded again, and was refused"


def test_a_staged_version_that_is_damaged_is_refused_and_the_champion_answers(worker: Worker) -> None:
    worker.damage(2)
    worker.ledger.stage(2)
    worker.follower.follow()
    assert "SHA-256" in str(worker.ledger.acknowledgements(2)[worker.follower.worker])
    assert worker.predict(ROW).version == 1


def test_a_staged_version_that_nobody_registered_is_refused(worker: Worker) -> None:
    worker.ledger.stage(9)
    worker.follower.follow()
    assert "not in the ledger" in str(worker.ledger.acknowledgements(9)[worker.follower.worker])


def test_an_acknowledgement_is_repeated_with_every_heartbeat(worker: Worker) -> None:
    """A promotion that begins again forgets earlier acknowledgements."""
    worker.ledger.stage(2)
    worker.follower.follow()
    worker.ledger.stage(2)
    worker.follower.follow()
    worker.clock.advance(1)
    worker.follower.beat()
    assert worker.follower.worker in worker.ledger.acknowledgements(2)


class Trusting(Follower):
    """Broken: opens an artefact without comparing it with what was registered."""

    def _load(self, number: int) -> models.Model:
        folder = self._store.open(1, self._registered(1).manifest_digest).parent / f"{number:06d}"
        contract = Contract.model_validate_json((folder / models.CONTRACT).read_bytes())
        return models.Model(number, contract, EstimatorRuntime(contract, artefacts.load(folder / "model.skops")))

    def _registered(self, number: int) -> ModelVersion:
        found = self._ledger.version(number)
        assert found is not None
        return found


def a_changed_version_is_never_live(worker: Worker) -> None:
    """The artefact of version 2 is exchanged for another that opens well."""
    worker.promote(1)
    folder = worker.store.root
    (folder / "000002" / "model.skops").write_bytes((folder / "000001" / "model.skops").read_bytes() + b"\0")
    worker.promote(2)
    assert worker.version() == 1
    assert worker.predict(ROW).version == 1
    assert reported(worker) == (1, 1)


def test_a_changed_champion_is_never_live(tmp_path: Path, published: Published) -> None:
    a_changed_version_is_never_live(Worker(tmp_path, published))


def test_the_check_sees_a_follower_that_trusts_the_folder(tmp_path: Path, published: Published) -> None:
    with pytest.raises(AssertionError):
        a_changed_version_is_never_live(Worker(tmp_path, published, follower=Trusting))


def test_a_damaged_champion_is_tried_again_and_served_once_restored(worker: Worker) -> None:
    artefact = worker.store.root / "000002" / "model.skops"
    sound = artefact.read_bytes()
    worker.damage(2)
    worker.promote(2)
    artefact.write_bytes(sound)
    worker.follower.follow()
    assert worker.version() == 1, "it is not read again at every look"
    worker.clock.advance(RETRY_SECONDS)
    worker.follower.follow()
    assert worker.version() == 2


def test_a_damaged_first_champion_leaves_the_worker_without_a_model(tmp_path: Path, published: Published) -> None:
    worker = Worker(tmp_path, published)
    worker.damage(1)
    worker.promote(1)
    worker.follower.beat()
    assert worker.follower.live is None
    assert reported(worker) == (None, 0)


def test_a_version_that_answers_its_golden_rows_differently_is_refused(worker: Worker) -> None:
    """The same digest, other libraries: simulated by a version whose golden rows were written for another model."""
    live = worker.plane.live(request())
    candidate = versions.Candidate(
        contract=live.model.contract,
        estimator=artefacts.load(worker.store.root / "000001" / "model.skops"),
        reference=versions.load_reference(live.registered, worker.store).drop(columns="__prediction__"),
        trainer_source="",
        metrics={},
        lineage={},
        parent=1,
    )
    version = versions.register(candidate, worker.store, worker.ledger, worker.clock, "skops")
    folder = worker.store.root / f"{version.number:06d}"
    golden = (folder / models.GOLDEN).read_text().replace('"yes"', '"maybe"').replace('"no"', '"yes"')
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}
    files[models.GOLDEN] = golden.replace('"maybe"', '"no"').encode()

    def fill(place: Path) -> None:
        for name, content in files.items():
            (place / name).write_bytes(content)

    digest = worker.store.publish(version.number + 1, fill)
    worker.ledger.register(replace(version, number=version.number + 1, manifest_digest=digest))
    with pytest.raises(ArtefactRejected, match="golden rows"):
        models.load(replace(version, number=version.number + 1, manifest_digest=digest), worker.store)
    worker.promote(version.number + 1)
    assert worker.version() == 1


def test_a_worker_reports_itself_once_a_heartbeat(worker: Worker) -> None:
    began = worker.clock.now()
    worker.clock.advance(0.5)
    worker.follower.beat()
    assert worker.ledger.workers(0)[0].heartbeat_at == began
    worker.clock.advance(0.5)
    worker.follower.beat()
    assert worker.ledger.workers(0)[0].heartbeat_at == worker.clock.now()


def test_an_unreadable_ledger_keeps_the_champion_serving(worker: Worker) -> None:
    worker.ledger.broken = True
    with pytest.raises(StoreUnavailable):
        worker.follower.follow()
    assert worker.predict(ROW).version == 1


@pytest.fixture
def threaded(tmp_path: Path, published: Published) -> Iterator[Worker]:
    """Its follower runs in its thread, on the machine's clock; its ledger is a file, which threads may share."""
    worker = Worker(tmp_path, published, ledger="sqlite:///ledger.db")
    worker.promote(1)
    worker.follower = Follower(worker.ledger, worker.store, worker.log, SystemClock(), worker.metrics, 0.005)
    worker.follower.start()
    yield worker
    worker.follower.stop()


def soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def test_the_thread_outlives_an_outage_of_the_ledger(threaded: Worker) -> None:
    assert soon(lambda: threaded.version() == 1)
    threaded.ledger.broken = True
    looks = threaded.ledger.looks
    assert soon(lambda: threaded.ledger.looks > looks + 2)
    assert threaded.version() == 1
    threaded.ledger.broken = False
    threaded.flip(2)
    assert soon(lambda: threaded.version() == 2)


def test_a_worker_has_its_model_when_start_returns(worker: Worker) -> None:
    """It is started before the first connection is accepted."""
    fresh = Follower(worker.ledger, worker.store, worker.log, SystemClock(), worker.metrics, 60)
    fresh.start()
    assert fresh.live is not None
    fresh.stop()


def test_a_worker_that_cannot_read_the_ledger_yet_starts_all_the_same(worker: Worker) -> None:
    worker.ledger.broken = True
    fresh = Follower(worker.ledger, worker.store, worker.log, SystemClock(), worker.metrics, 60)
    fresh.start()
    assert fresh.live is None
    fresh.stop()


class Slow(Follower):
    """Takes until `loaded` is set to load a version."""

    loaded = threading.Event()

    def _load(self, number: int) -> models.Model:
        assert self.loaded.wait(10)
        return super()._load(number)


def test_a_worker_that_is_loading_shows_that_it_lives(threaded: Worker) -> None:
    """Otherwise a promotion would take it for dead, and go on without it."""
    looks: list[int] = []
    slow = Slow(
        threaded.ledger, threaded.store, threaded.log, SystemClock(), threaded.metrics, 0.005, refresh=looks.append
    )
    slow.live = threaded.follower.live
    for thread in slow._threads:
        thread.start()
    threaded.ledger.stage(2)
    began = SystemClock().now()
    assert soon(
        lambda: any(item.id == slow.worker and item.heartbeat_at > began for item in threaded.ledger.workers(0))
    )
    assert slow.worker not in threaded.ledger.acknowledgements(2)
    slow.loaded.set()
    assert soon(lambda: slow.worker in threaded.ledger.acknowledgements(2))
    slow.stop()


def test_stopping_ends_the_thread(threaded: Worker) -> None:
    threaded.follower.stop()
    assert not any(thread.is_alive() for thread in threaded.follower._threads)
