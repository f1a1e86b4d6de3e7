"""Erasure: one subject goes from everything that was recorded, everybody else stays, wherever it was cut short."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from lifecycle import models, versions
from lifecycle.clock import ManualClock
from lifecycle.errors import ArtefactRejected, Conflict
from lifecycle.feature_log.erasure import Eraser, unfinished
from lifecycle.feature_log.table import LogTables
from lifecycle.feature_log.traces import search
from lifecycle.ids import uuid7
from lifecycle.ledger.sql import SqlLedger
from lifecycle.model_store import LocalModelStore
from lifecycle.records import Erasure, Label, ModelVersion, Verdict
from lifecycle.versions import SUBJECT
from tests import builders
from tests.builders import START
from tests.component.lifecycle.filling import fill, write
from tests.faults import FaultyFiles, Steps, faulty_tables, outcomes

ANNA, BERT = "p_" + "a" * 32, "p_" + "b" * 32
DAY = 86_400_000_000
WINDOW = 3_600_000_000


class Stepped:
    """`kept`, but that there is a step before each of its methods in `names`."""

    def __init__(self, kept: Any, steps: Steps, names: Sequence[str]) -> None:
        self._kept, self._steps, self._names = kept, steps, names

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._kept, name)
        if name not in self._names:
            return found

        def stepped(*arguments: Any, **named: Any) -> Any:
            self._steps.step(name)
            return found(*arguments, **named)

        return stepped


@dataclass
class House:
    """A project's stores, with rows about Anna and others in all of them. Each `eraser` is a new process."""

    path: Path
    clock: ManualClock
    steps: Steps = field(default_factory=Steps)

    days: int = 3
    made: bool = True

    def __post_init__(self) -> None:
        self.ledger = SqlLedger("sqlite:///ledger.db", self.path)
        self.store = LocalModelStore(self.path / "models")
        self.reports = self.path / "reports"
        self.others: set[str] = set()
        if self.made:
            self._make()
        else:
            self._find()

    @classmethod
    def found(cls, path: Path, steps: Steps) -> "House":
        """One of one day that is there, whose clock has gone on."""
        return cls(path, ManualClock(START + 3 * DAY + 10_000_000), steps, 1, made=False)

    def _find(self) -> None:
        """Everybody else's rows are those that do not say they are hers."""
        table = self.tables.predictions
        others = table.scan(
            table.files(), ["id", "subject"], pc.field("subject").is_null() | (pc.field("subject") != ANNA)
        )
        self.others = {value for batch in others for value in batch["id"].to_pylist()}
        (self.requested,) = self.ledger.erasures()

    def _make(self) -> None:
        for day in range(self.days):
            self._day(START + day * DAY)
        self._put_aside()
        self._registered()
        self._judged()
        self.clock.at = START + 3 * DAY
        self.requested = Erasure(uuid7(), ANNA, self.clock.now(), "a test")
        self.ledger.save_erasure(self.requested)
        self.clock.advance(10)

    @property
    def tables(self) -> LogTables:
        return LogTables(self.path / "log")

    def eraser(self, *, of: type[Eraser] = Eraser) -> Eraser:
        store: Any = Stepped(self.store, self.steps, ("revise", "keep_only", "sweep", "discard"))
        noting = ("save_erasure", "replace_manifest", "withdraw_report", "audit")
        ledger: Any = Stepped(self.ledger, self.steps, noting)
        tables = faulty_tables(self.path / "log", self.steps)
        return of(tables, store, ledger, self.reports, self.clock, files=FaultyFiles(self.steps))

    def rows(self) -> list[str]:
        return self._ids(self.tables.predictions)

    def labels(self) -> list[str]:
        return self._ids(self.tables.labels)

    def waiting(self) -> list[str]:
        return sorted(
            value
            for batch in self.tables.parked.scan(self.tables.parked.files())
            for value in batch["external_id"].to_pylist()
        )

    def traces(self, token: str = ANNA) -> tuple[str, ...]:
        return search([self.path], token, until=2**62).found

    def _ids(self, table: Any) -> list[str]:
        return sorted(value for batch in table.scan(table.files()) for value in batch["id"].to_pylist())

    def _day(self, at: int) -> None:
        mixed = builders.batch(3, at=at, subjects=[BERT, ANNA, None], external_ids=["b-1", "a-1", None])
        hers = builders.batch(2, at=at + WINDOW, subjects=[ANNA, ANNA], external_ids=["a-2", None])
        other = builders.batch(2, at=at + 2 * WINDOW)
        self.others |= {mixed.ids[0], mixed.ids[2], *other.ids}
        labels = [builders.label(identifier, received_at=at) for identifier in (*mixed.ids, *hers.ids, *other.ids)]
        parked = [Label(None, "yes", at, at, external_id=name) for name in ("a-1", "b-1", "c-1")]
        fill(self.tables, mixed, hers, other, labels=[*labels, *parked])

    def _put_aside(self) -> None:
        write(self.tables, builders.batch(2, subjects=[ANNA, BERT]), builders.batch())
        (path,) = self.tables.segments.iterdir()
        self.tables.quarantine.mkdir()
        path.rename(self.tables.quarantine / path.name)

    def _registered(self) -> None:
        for subjects in ([BERT, ANNA, *[None] * 38], [ANNA] * 6 + [None] * 34, [BERT] * 40):
            candidate = builders.candidate()
            candidate.reference[SUBJECT] = subjects
            versions.register(candidate, self.store, self.ledger, self.clock, "skops")
        killed = builders.candidate()
        killed.reference[SUBJECT] = ANNA
        other = SqlLedger("sqlite://", self.path)
        versions.register(killed, self.store, other, self.clock, "skops")  # a run that died before it told the ledger

    def _judged(self) -> None:
        """Six windows: two with her rows, two with others', two of a version that has seen hers."""
        self.reports.mkdir()
        for day, version in ((0, 3), *([(1, 3)] if self.days > 1 else []), (5, 1)):
            for window in (1, 2):
                start = START + day * DAY + window * WINDOW
                name = f"{start}.html"
                self.ledger.save(Verdict(start, start + WINDOW, 5, "ok", version, report=name, scored_at=START))
                (self.reports / name).write_text("a page")

    @property
    def kept_reports(self) -> list[int]:
        named = sorted(verdict.start for verdict in self.ledger.reported())
        assert sorted(f"{start}.html" for start in named) == sorted(path.name for path in self.reports.iterdir())
        return named


@pytest.fixture
def house(tmp_path: Path, clock: ManualClock) -> Iterator[House]:
    made = House(tmp_path, clock)
    yield made
    made.ledger.close()


def assert_erased(house: House) -> None:
    """She is nowhere, everybody else is where they were, every version loads, and the ledger says it is done."""
    assert house.traces() == ()
    assert set(house.rows()) == house.others
    assert len(house.rows()) == len(house.others)
    assert set(house.labels()) == house.others
    assert house.waiting() == ["b-1"] * house.days + ["c-1"] * house.days
    assert house.traces(BERT) != ()
    for version in house.ledger.versions():
        models.load(version, house.store)
        assert len(house.store.folders(version.number)) == 1
    assert house.store.numbers() == [1, 2, 3]
    assert house.kept_reports == [START + day * DAY + 2 * WINDOW for day in range(min(house.days, 2))]
    (finished,) = house.ledger.erasures()
    assert finished.token == ""
    assert finished.finished_at is not None
    assert [line["action"] for line in house.ledger.audit_trail()] == ["erased"]
    assert all(table.unnamed() == [] for table in house.tables.all)
    assert house.tables.verify() == []


def test_one_subject_goes_and_everybody_else_stays(house: House) -> None:
    assert len(house.traces()) > 5
    finished = house.eraser().erase(house.requested)
    assert_erased(house)
    assert finished == house.ledger.erasures()[0]
    searched = finished.proof.pop("searched")
    assert finished.proof == {
        "removed": {
            "predictions": 9,
            "labels": 9,
            "parked_labels": 3,
            "quarantined_rows": 1,
            "quarantined_labels": 0,
            "quarantined_damage": 0,
            "reference_rows": 7,
            "reports": 4,
        }
    }
    assert searched["found"] == 0
    assert searched["files"] > 20
    assert ANNA not in str(house.ledger.audit_trail())


def test_erasing_what_was_never_recorded_finds_nothing_and_changes_nothing(house: House) -> None:
    before = house.rows(), house.labels(), house.kept_reports, house.ledger.versions()
    nobody = Erasure(uuid7(), "p_" + "c" * 32, house.clock.now(), "a test")
    house.ledger.save_erasure(nobody)
    finished = house.eraser().erase(nobody)
    assert set(finished.proof["removed"].values()) == {0}
    assert (house.rows(), house.labels(), house.kept_reports, house.ledger.versions()) == before


def test_an_empty_project_can_erase(tmp_path: Path, ledger: SqlLedger, clock: ManualClock) -> None:
    eraser = Eraser(LogTables(tmp_path / "log"), LocalModelStore(tmp_path / "models"), ledger, tmp_path / "r", clock)
    finished = eraser.erase(Erasure(uuid7(), ANNA, clock.now(), "a test"))
    assert finished.proof["searched"]["files"] == 0


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A house of one day, to be copied."""
    made = House(tmp_path_factory.mktemp("template"), ManualClock(), days=1)
    made.ledger.close()
    return made.path


def _outcomes(template: Path, folder: Path, of: type[Eraser]) -> Iterator[tuple[str, House]]:
    """Each step at which an erasure can be ended, and the house as it was left behind."""
    path = folder / "house"

    def work(steps: Steps) -> None:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(template, path)
        house = House.found(path, steps)
        try:
            house.eraser(of=of).erase(house.requested)
        finally:
            house.ledger.close()

    for name in outcomes(work):
        left = House.found(path, Steps())
        yield name, left
        left.ledger.close()


def assert_unharmed(house: House) -> None:
    """Every version loads, and nobody else lost a row."""
    for version in house.ledger.versions():
        models.load(version, house.store)
    assert house.others <= set(house.rows())


def test_killed_at_any_step_it_converges(template: Path, tmp_path: Path) -> None:
    reached = set()
    for name, house in _outcomes(template, tmp_path, Eraser):
        assert_unharmed(house)
        house.eraser().step(house.clock.now())
        assert_erased(house)
        reached.add(name)
    assert {"commit to predictions", "commit to labels", "commit to parked", "remove .parquet", "write .seg"} <= reached
    assert {"revise", "replace_manifest", "keep_only", "remove .html", "withdraw_report", "save_erasure"} <= reached


class DeletesBeforeItTells(Eraser):
    """Deletes the folder of a version before the ledger says that another one is the version now."""

    def _revise(self, version: ModelVersion, erasure: Erasure) -> None:
        def forget(folder: Path) -> None:
            versions.forget_subject(folder, erasure.token, lambda: self._runtime(version))

        digest = self._store.revise(version.number, version.manifest_digest, forget)
        self._store.keep_only(version.number, digest)
        self._ledger.replace_manifest(version.number, version.manifest_digest, digest)


def test_the_check_sees_an_eraser_that_a_kill_can_harm(template: Path, tmp_path: Path) -> None:
    def check() -> None:
        for _, house in _outcomes(template, tmp_path, DeletesBeforeItTells):
            assert_unharmed(house)

    with pytest.raises(ArtefactRejected, match="missing from the model store"):
        check()


class SkipsVacuum(Eraser):
    """Takes rows out of the tables, and leaves the files that held them on disk."""

    def _rows(self, erasure: Erasure) -> Erasure:
        for table in self._tables.all:
            table.remove_now = _nothing  # type: ignore[method-assign]
            table.remove_unreferenced = lambda: None  # type: ignore[method-assign]
        return super()._rows(erasure)


class ForgetsVersions(Eraser):
    """Leaves the rows that versions were trained on."""

    def _versions(self, erasure: Erasure) -> Erasure:
        return erasure


class ForgetsWhatWasPutAside(Eraser):
    """Looks at the tables alone."""

    def _rows(self, erasure: Erasure) -> Erasure:
        self._tables.quarantine = self._tables.quarantine / "elsewhere"
        return super()._rows(erasure)


def _nothing(paths: Iterable[str]) -> None:
    """Delete nothing."""


@pytest.mark.parametrize(
    ("broken", "where"),
    [(SkipsVacuum, "day="), (ForgetsVersions, "reference.parquet"), (ForgetsWhatWasPutAside, ".seg")],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_an_eraser_that_leaves_something_is_not_done(house: House, broken: type[Eraser], where: str) -> None:
    with pytest.raises(Conflict, match=f"still hold it, such as .*{where}"):
        house.eraser(of=broken).erase(house.requested)
    (left,) = unfinished(house.ledger)
    assert left.token == ANNA


@pytest.mark.parametrize("name", ["log/segments/x.tmp", "reports/note.txt", "models/x"])
def test_a_copy_that_is_not_the_products_own_is_found_and_named(house: House, name: str) -> None:
    (house.path / name).write_text(f"a copy with {ANNA} in it")
    with pytest.raises(Conflict, match=rf"1 file\(s\) still hold it, such as .*{name}"):
        house.eraser().erase(house.requested)
    (house.path / name).unlink()
    house.eraser().step(house.clock.now())
    assert_erased(house)


def test_what_a_killed_commit_left_among_a_tables_files_goes_too(house: House) -> None:
    (file,) = (house.tables.predictions.storage.paths())[:1]
    path = house.path / "log" / "predictions" / file
    (path.with_name("of-no-commit.parquet")).write_bytes(path.read_bytes())
    (path.with_name(".half.parquet.new")).write_bytes(path.read_bytes()[:-9])
    house.eraser().erase(house.requested)
    assert_erased(house)


def test_rows_of_hers_recorded_after_the_request_are_no_obstacle(house: House) -> None:
    later = builders.batch(2, at=house.requested.requested_at + 1, subjects=[ANNA, BERT])
    write(house.tables, later)
    finished = house.eraser().erase(house.requested)
    assert finished.finished_at is not None
    assert len(house.traces()) == 1


def test_it_waits_until_all_from_before_the_request_is_folded(house: House) -> None:
    house.eraser().step(house.requested.requested_at)
    assert unfinished(house.ledger) == [house.requested]
    house.eraser().step(house.requested.requested_at + 1)
    assert_erased(house)


def test_it_waits_for_a_retrain_that_may_have_read_the_rows(house: House) -> None:
    house.ledger.acquire("retrain", "a run", house.clock.now(), 60)
    eraser = house.eraser()
    with pytest.raises(Conflict, match="a retrain is at work"):
        eraser.erase(house.requested)
    assert len(unfinished(house.ledger)) == 1
    house.ledger.release("retrain", "a run")
    eraser.step(house.clock.now())
    assert_erased(house)


def test_what_cannot_be_done_is_tried_again_some_seconds_later(house: House) -> None:
    house.ledger.acquire("retrain", "a run", house.clock.now(), 3)
    eraser = house.eraser()
    eraser.step(house.clock.now())
    house.clock.advance(4)
    eraser.step(house.clock.now())
    assert len(unfinished(house.ledger)) == 1
    house.clock.advance(1)
    eraser.step(house.clock.now())
    assert_erased(house)


def test_a_damaged_version_is_named(house: House) -> None:
    (house.store.root / "000001" / "trainer.py").write_text("changed")
    with pytest.raises(ArtefactRejected, match="file 'trainer.py' of version 1 fails its SHA-256"):
        house.eraser().erase(house.requested)


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_the_ledgers_files_forget_the_token(house: House, journal: str) -> None:
    connection = house.ledger._engine.raw_connection()
    (mode,) = connection.cursor().execute(f"PRAGMA journal_mode={journal}").fetchone()
    connection.close()
    assert mode == journal
    house.ledger.save_erasure(house.requested)
    assert any(ANNA.encode() in path.read_bytes() for path in house.path.glob("ledger.db*"))
    house.eraser().erase(house.requested)
    assert (house.path / "ledger.db-wal").exists() == (journal == "wal")
    assert all(ANNA.encode() not in path.read_bytes() for path in house.path.glob("ledger.db*"))


def test_done_again_it_says_the_same(house: House) -> None:
    finished = house.eraser().erase(house.requested)
    assert house.eraser().erase(finished) == finished
    assert len(house.ledger.audit_trail()) == 1


def test_two_subjects_are_erased_one_after_the_other(house: House) -> None:
    house.ledger.save_erasure(replace(house.requested, id=uuid7(), token=BERT))
    house.eraser().step(house.clock.now())
    assert unfinished(house.ledger) == []
    assert house.traces() == house.traces(BERT) == ()
