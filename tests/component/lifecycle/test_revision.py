"""A version that rows are taken out of: it loads before, during and after, and what was taken out is nowhere in it."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from lifecycle import models, versions
from lifecycle.clock import ManualClock
from lifecycle.errors import ArtefactRejected, Conflict
from lifecycle.ledger.sql import SqlLedger
from lifecycle.model_store import LocalModelStore
from lifecycle.models import GOLDEN
from lifecycle.ports import Runtime
from lifecycle.records import ModelVersion
from lifecycle.versions import REFERENCE, SUBJECT
from tests import builders

ANNA, BERT = "p_" + "a" * 32, "p_" + "b" * 32


@pytest.fixture
def store(tmp_path: Path) -> LocalModelStore:
    return LocalModelStore(tmp_path / "models")


def _registered(
    store: LocalModelStore, ledger: SqlLedger, clock: ManualClock, subjects: list[str | None], task: str = "binary"
) -> ModelVersion:
    candidate = builders.candidate(task)
    candidate.reference[SUBJECT] = subjects
    return versions.register(candidate, store, ledger, clock, "skops")


def _mostly(*first: str | None) -> list[str | None]:
    return [*first, *[BERT] * (40 - len(first))]


def _revised(store: LocalModelStore, version: ModelVersion, subject: str = ANNA) -> str:
    def runtime() -> Runtime:
        return models.load(version, store).runtime

    return store.revise(
        version.number, version.manifest_digest, lambda folder: versions.forget_subject(folder, subject, runtime)
    )


def test_rows_about_a_subject_leave_the_reference_and_the_golden_rows(
    store: LocalModelStore, ledger: SqlLedger, clock: ManualClock
) -> None:
    version = _registered(store, ledger, clock, _mostly(BERT, ANNA, None, ANNA))
    before = versions.load_reference(version, store)
    assert versions.rows_about(store.open(1, version.manifest_digest), ANNA) == 2
    digest = _revised(store, version)
    ledger.replace_manifest(1, version.manifest_digest, digest)
    revised = ledger.version(1)
    assert revised is not None
    models.load(revised, store)
    after = versions.load_reference(revised, store)
    pd.testing.assert_frame_equal(after, before.drop(index=[1, 3]).reset_index(drop=True))
    folder = store.open(1, digest)
    assert versions.rows_about(folder, ANNA) == 0
    golden = json.loads((folder / GOLDEN).read_text())
    assert golden["columns"]["a"] == before["a"].iloc[[0, 2, 4]].tolist()
    assert ANNA.encode() not in b"".join(path.read_bytes() for path in folder.iterdir())


def test_both_digests_open_until_one_is_kept(store: LocalModelStore, ledger: SqlLedger, clock: ManualClock) -> None:
    version = _registered(store, ledger, clock, _mostly(ANNA))
    digest = _revised(store, version)
    assert digest == _revised(store, version), "done again after a kill, it is the same"
    assert store.open(1, version.manifest_digest) != store.open(1, digest)
    store.keep_only(1, digest)
    store.open(1, digest)
    with pytest.raises(ArtefactRejected, match="missing from the model store"):
        store.open(1, version.manifest_digest)
    assert (store.numbers(), store.next_number()) == ([1], 2)
    with pytest.raises(Conflict, match="take the next number"):
        store.publish(1, lambda _: None)


def test_a_revised_version_can_be_revised_again(store: LocalModelStore, ledger: SqlLedger, clock: ManualClock) -> None:
    version = _registered(store, ledger, clock, _mostly(ANNA, "p_" + "c" * 32))
    for subject in (ANNA, "p_" + "c" * 32):
        digest = _revised(store, version, subject)
        ledger.replace_manifest(1, version.manifest_digest, digest)
        store.keep_only(1, digest)
        version = ledger.versions()[0]
        models.load(version, store)
    assert len(store.folders(1)) == 1
    assert len(versions.load_reference(version, store)) == 38


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("rows", [5, 40])
def test_a_version_whose_golden_rows_are_all_gone_has_new_ones(
    store: LocalModelStore, ledger: SqlLedger, clock: ManualClock, task: str, rows: int
) -> None:
    version = _registered(store, ledger, clock, _mostly(*[ANNA] * rows), task)
    digest = _revised(store, version)
    ledger.replace_manifest(1, version.manifest_digest, digest)
    store.keep_only(1, digest)
    models.load(ledger.versions()[0], store)
    golden = json.loads((store.open(1, digest) / GOLDEN).read_text())
    assert len(golden["predictions"]) == (5 if rows == 5 else 1)
    assert len(versions.load_reference(ledger.versions()[0], store)) == 40 - rows


def test_a_version_that_does_not_know_its_subjects_holds_none(
    store: LocalModelStore, ledger: SqlLedger, clock: ManualClock
) -> None:
    version = builders.registered(store, ledger, clock)
    assert versions.rows_about(store.open(1, version.manifest_digest), ANNA) == 0


def test_a_reference_without_any_subject_keeps_the_column_as_text(
    store: LocalModelStore, ledger: SqlLedger, clock: ManualClock
) -> None:
    version = _registered(store, ledger, clock, [None] * 40)
    folder = store.open(1, version.manifest_digest)
    assert versions.rows_about(folder, ANNA) == 0
    assert pd.read_parquet(folder / REFERENCE)[SUBJECT].isna().all()


def test_the_ledger_changes_a_digest_only_from_the_expected_one(
    store: LocalModelStore, ledger: SqlLedger, clock: ManualClock
) -> None:
    version = _registered(store, ledger, clock, _mostly(ANNA))
    with pytest.raises(Conflict, match="revised by somebody else"):
        ledger.replace_manifest(1, "0" * 64, "1" * 64)
    assert ledger.version(1) == version


def test_a_damaged_version_is_neither_revised_nor_are_its_other_folders_deleted(
    store: LocalModelStore, ledger: SqlLedger, clock: ManualClock
) -> None:
    version = _registered(store, ledger, clock, _mostly(ANNA))
    digest = _revised(store, version)
    (store.open(1, digest) / "trainer.py").write_text("changed")
    with pytest.raises(ArtefactRejected, match="fails its SHA-256"):
        store.keep_only(1, digest)
    with pytest.raises(ArtefactRejected, match="fails its SHA-256"):
        _revised(store, replace(version, manifest_digest=digest))
    models.load(version, store)


def test_what_was_never_published_is_swept_away(store: LocalModelStore, ledger: SqlLedger, clock: ManualClock) -> None:
    version = _registered(store, ledger, clock, _mostly(ANNA))
    (store.root / ".staging-2-1").mkdir()
    (store.root / ".staging-2-1" / REFERENCE).write_bytes(ANNA.encode())
    store.sweep()
    assert [path.name for path in store.root.iterdir()] == ["000001"]
    models.load(version, store)


def test_rows_about_a_subject_leave_the_hold_out_too(
    store: LocalModelStore, ledger: SqlLedger, clock: ManualClock
) -> None:
    candidate = builders.candidate()
    candidate.reference[SUBJECT] = _mostly(BERT, ANNA)
    held = candidate.reference.copy()
    held[SUBJECT] = _mostly(ANNA, None, ANNA)
    version = versions.register(replace(candidate, holdout=held), store, ledger, clock, "skops")
    assert versions.rows_about(store.open(1, version.manifest_digest), ANNA) == 3
    digest = _revised(store, version)
    ledger.replace_manifest(1, version.manifest_digest, digest)
    revised = ledger.version(1)
    assert revised is not None
    left = versions.load_holdout(revised, store)
    assert left is not None
    assert len(left) == 38
    assert versions.rows_about(store.open(1, digest), ANNA) == 0
