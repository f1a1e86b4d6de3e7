"""Corrupted versions: none is activated, nothing of them runs, and the champion goes on answering."""

import hashlib
import os
import pickle
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from lifecycle import models, promotion
from lifecycle.errors import ArtefactRejected
from lifecycle.model_store import LocalModelStore
from lifecycle.records import ModelVersion
from service.live import RETRY_SECONDS, Follower
from tests.behaviour.corrupting import Corruption, Place, corruptions, forge, objections, sound_copy
from tests.behaviour.crafting import crafted, kinds
from tests.behaviour.project import RunningProject, eventually
from tests.behaviour.swapping import SETTINGS, promote, register_constant, steady, wait_for_workers
from tests.component.service.making import ROW, Published, Worker, publish

CORRUPTED = 500
SEED = 20_260
LEAST_RANDOM = 300
ALL = list(corruptions(CORRUPTED, SEED, crafted()))
Load = Callable[[ModelVersion, LocalModelStore], object]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish(tmp_path_factory.mktemp("published"))


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "marker"


def not_refused(
    published: Published, store: LocalModelStore, marker: Path, found: Sequence[Corruption], load: Load = models.load
) -> list[str]:
    """What is wrong with how `load` treats each of `found`; every one is forged from the second version."""
    said = []
    for number, corruption in enumerate(found, 3):
        version = forge(store, published.versions[1], published.versions[0], number, corruption, marker)
        problems = objections(lambda forged: load(forged, store), version, marker)
        said += [f"{corruption.kind}, {corruption.signed} signed: {problem}" for problem in problems]
    return said


def copied(published: Published, folder: Path, *, pickles: bool = False) -> LocalModelStore:
    """A store of the published versions, to be written into."""
    return LocalModelStore(shutil.copytree(published.root, folder / "models"), pickles=pickles)


def test_five_hundred_corrupted_versions_are_refused_soon_and_run_nothing(
    published: Published, tmp_path: Path, marker: Path
) -> None:
    assert len(ALL) == CORRUPTED
    assert sum(":" not in corruption.kind for corruption in ALL) >= LEAST_RANDOM
    assert not_refused(published, copied(published, tmp_path), marker, ALL) == []


def test_a_copy_without_a_corruption_loads(published: Published, tmp_path: Path, marker: Path) -> None:
    (said,) = not_refused(published, copied(published, tmp_path), marker, [sound_copy()])
    assert said.endswith("it was loaded")


def believing(version: ModelVersion, store: LocalModelStore) -> models.Model:
    """Broken: takes the manifest's word for what the ledger says."""
    manifest = (store.root / f"{version.number:06d}" / "manifest.json").read_bytes()
    digest = hashlib.sha256(manifest).hexdigest()
    return models.load(replace(version, manifest_digest=digest), store)


def unpickling(version: ModelVersion, store: LocalModelStore) -> object:
    """Broken: opens the estimator as a pickle where it is nothing else."""
    try:
        return models.load(version, store)
    except ArtefactRejected:
        return pickle.loads((store.root / f"{version.number:06d}" / "model.skops").read_bytes())


@pytest.mark.parametrize(
    ("load", "pickles", "kind", "said"),
    [
        (believing, False, "flipped", "it was loaded"),
        (unpickling, False, "estimator: a pickle by the name of the safe format", "its code ran"),
        (models.load, True, "estimator: a pickle", "its code ran"),
    ],
    ids=["believes the manifest", "unpickles", "accepts pickles"],
)
def test_the_check_sees_a_loader_that_trusts(
    published: Published, tmp_path: Path, marker: Path, load: Load, pickles: bool, kind: str, said: str
) -> None:
    store = copied(published, tmp_path, pickles=pickles)
    found = [corruption for corruption in ALL if corruption.kind == kind]
    assert [problem for problem in not_refused(published, store, marker, found, load) if problem.endswith(said)]


class Waiting(LocalModelStore):
    """Broken: reads whatever has the right name, and so waits at a pipe."""

    def open(self, number: int, manifest_digest: str) -> Path:
        for path in (self.root / f"{number:06d}").iterdir():
            path.read_bytes()
        return super().open(number, manifest_digest)


def test_the_check_sees_a_loader_that_waits(published: Published, tmp_path: Path, marker: Path) -> None:
    store = Waiting(copied(published, tmp_path).root)
    held = store.root / "000003" / "trainer.py"

    def piped(_: Place) -> None:
        held.unlink()
        os.mkfifo(held)

    pipe = Corruption("pipe", "nothing", piped)
    one, two = published.versions
    version = forge(LocalModelStore(store.root), two, one, 3, pipe, marker)
    said = objections(lambda forged: models.load(forged, store), version, marker, slowest_seconds=0.5)
    assert said == ["it was not done in time"]
    held.open("wb").close()  # let the thread go


def activated(worker: Worker, published: Published, marker: Path, found: Sequence[Corruption]) -> list[str]:
    """Which of `found` a worker took up, staged or as champion, or ran; the first version must go on answering."""
    worker.promote(1)
    before = worker.predict(ROW)
    said = []
    for number, corruption in enumerate(found, 3):
        forged = forge(worker.store, published.versions[1], published.versions[0], number, corruption, marker)
        worker.ledger.register(forged)
        worker.ledger.stage(number)
        worker.follower.follow()
        if worker.ledger.acknowledgements(number).get(worker.follower.worker) is None:
            said.append(f"{corruption.kind} was not refused")
        worker.promote(number)
        after = worker.predict(ROW)
        if (after.version, after.labels, after.probabilities) != (1, before.labels, before.probabilities):
            said.append(f"{corruption.kind}: version {after.version} answers")
        if marker.exists():
            marker.rmdir()
            said.append(f"{corruption.kind}: its code ran")
        worker.clock.advance(RETRY_SECONDS)
    return said


def test_no_corrupted_version_goes_live_in_a_worker(published: Published, tmp_path: Path, marker: Path) -> None:
    assert activated(Worker(tmp_path, published), published, marker, ALL) == []


class Trusting(Follower):
    """Broken: opens a version under the digest that its folder has now."""

    def _load(self, number: int) -> models.Model:
        registered = self._ledger.version(number)
        assert registered is not None
        assert isinstance(self._store, LocalModelStore)
        return believing(registered, self._store)


def test_the_check_sees_a_worker_that_trusts(published: Published, tmp_path: Path, marker: Path) -> None:
    exchanged = [corruption for corruption in ALL if corruption.kind == "of_another_version"]
    worker = Worker(tmp_path, published, follower=Trusting)
    assert activated(worker, published, marker, exchanged) != []


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProject]:
    with RunningProject(
        tmp_path_factory.mktemp("corrupted"), SETTINGS | {"EVENKEEL_SERVICE__POLL_SECONDS": "0.02"}
    ) as project:
        register_constant(project)
        wait_for_workers(project)
        yield project


def test_the_running_workers_refuse_one_of_each_kind_themselves_and_callers_notice_nothing(
    running: RunningProject, marker: Path
) -> None:
    """The promoter's own check is passed by: the versions are staged in the ledger, as the last step of a promotion does.

    They are made of version 1, because version 2 answers all rows alike, whatever is exchanged in its contract.
    """
    project = running.project
    one, two = (version for number in (1, 2) if (version := project.ledger.version(number)))
    workers = {worker.id for worker in promotion.alive(project.ledger, project.clock)}
    before = project.ledger.pointer()
    said: list[str] = []
    with steady(running) as traffic:
        for number, corruption in enumerate(kinds(ALL), 3):
            project.ledger.register(forge(project.store, one, two, number, corruption, marker))
            project.ledger.stage(number)
            answers = eventually(partial(_all_answered, running, number, workers), corruption.kind, 10)
            said += [f"{corruption.kind} was accepted" for problem in answers.values() if problem is None]
        project.ledger.stage(None)
        eventually(lambda: traffic.answers, "somebody was answered", 10)
    assert said == []
    assert not marker.exists()
    assert traffic.failures == []
    assert {version for version, _ in traffic.answers.values()} == {1}
    assert {worker.id for worker in promotion.alive(project.ledger, project.clock)} == workers, "nobody ended"
    assert project.ledger.pointer() == before


def _all_answered(running: RunningProject, number: int, workers: set[str]) -> dict[str, str | None] | None:
    answers = dict(running.project.ledger.acknowledgements(number))
    return answers if set(answers) >= workers else None


def test_a_promotion_of_any_kind_is_refused_and_the_pointer_stays(running: RunningProject, marker: Path) -> None:
    project = running.project
    before = project.ledger.pointer()
    registered = [version for version in project.ledger.versions() if version.number > 2]
    assert registered, "the test before has registered one of each kind"
    with steady(running) as traffic:
        said = [
            f"version {version.number}: {problem}"
            for version in registered
            for problem in objections(lambda forged: promote(running, forged.number), version, marker)
        ]
        eventually(lambda: traffic.answers, "somebody was answered", 10)
    assert said == []
    assert (traffic.failures, project.ledger.pointer()) == ([], before)


def test_a_sound_version_is_promoted_afterwards(running: RunningProject) -> None:
    assert [promote(running, number).version for number in (2, 1)] == [2, 1]
