"""Versions: one loads only when it is, byte for byte and answer for answer, what was registered."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from lifecycle import artefacts, models, versions
from lifecycle.clock import ManualClock
from lifecycle.contract import Columns
from lifecycle.errors import ArtefactRejected, ProjectInvalid
from lifecycle.ledger.sql import SqlLedger
from lifecycle.model_store import LocalModelStore
from lifecycle.models import GOLDEN
from lifecycle.records import ModelVersion
from lifecycle.versions import LABEL, PREDICTION
from tests import builders

COLUMNS: Columns = {"a": [1.0, -1.0], "b": [1.0, -1.0]}
FRAME = pd.DataFrame(COLUMNS)


class NotAPartOfScikitLearn(LogisticRegression):  # type: ignore[misc]
    """A type the safe format does not know."""


@pytest.fixture
def store(tmp_path: Path) -> LocalModelStore:
    return LocalModelStore(tmp_path / "models")


@pytest.fixture(params=["binary", "regression"])
def version(
    request: pytest.FixtureRequest, store: LocalModelStore, ledger: SqlLedger, clock: ManualClock
) -> ModelVersion:
    return builders.registered(store, ledger, clock, request.param)


def _changed(store: LocalModelStore, version: ModelVersion, name: str, content: bytes) -> ModelVersion:
    """`version` published again with one file changed: digests and facts that hold, contents that should not."""
    source = store.open(version.number, version.manifest_digest)
    files = {path.name: path.read_bytes() for path in source.iterdir() if path.name != "manifest.json"}

    def fill(folder: Path) -> Mapping[str, Any]:
        for file, original in files.items():
            (folder / file).write_bytes(content if file == name else original)
        return store.facts(version.number, version.manifest_digest)

    number = store.next_number()
    return replace(version, number=number, manifest_digest=store.publish(number, fill))


def test_a_registered_version_answers_as_the_candidate_did(store: LocalModelStore, version: ModelVersion) -> None:
    model = models.load(version, store)
    task = model.contract.target.task
    labels, probabilities = model.runtime.predict(COLUMNS)
    expected = builders.candidate(task).estimator
    assert labels == [type(labels[0])(value) for value in expected.predict(FRAME)]
    assert set(probabilities) == ({"no", "yes"} if task == "binary" else set())
    if probabilities:
        assert [sum(row) for row in zip(*probabilities.values(), strict=True)] == pytest.approx([1, 1])
    assert model.schema.version == version.number


def test_the_ledger_knows_what_was_registered(store: LocalModelStore, ledger: SqlLedger, version: ModelVersion) -> None:
    assert ledger.versions() == [version]
    assert (version.number, version.status, version.metrics) == (1, "candidate", {"loss": 0.1})
    assert versions.load_contract(version, store).names == ("a", "b")


def test_the_reference_comes_back_with_labels_and_predictions(store: LocalModelStore, version: ModelVersion) -> None:
    reference = versions.load_reference(version, store)
    assert list(reference.columns) == ["a", "b", LABEL, PREDICTION]
    assert len(reference) == 40


@pytest.mark.parametrize("version", ["binary"], indirect=True)
def test_one_flipped_byte_in_any_file_is_refused(store: LocalModelStore, version: ModelVersion) -> None:
    for path in store.open(version.number, version.manifest_digest).iterdir():
        whole = path.read_bytes()
        path.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
        with pytest.raises(ArtefactRejected):
            models.load(version, store)
        path.write_bytes(whole)
    models.load(version, store)


def test_digests_of_another_version_are_refused(
    store: LocalModelStore, ledger: SqlLedger, clock: ManualClock, version: ModelVersion
) -> None:
    other = builders.registered(store, ledger, clock)
    with pytest.raises(ArtefactRejected, match="not the one that was registered"):
        models.load(replace(version, manifest_digest=other.manifest_digest), store)


def test_a_manifest_rewritten_to_fit_a_changed_file_is_refused(store: LocalModelStore, version: ModelVersion) -> None:
    forged = _changed(store, version, "trainer.py", b"something else")
    with pytest.raises(ArtefactRejected, match="not the one that was registered"):
        models.load(replace(forged, manifest_digest=version.manifest_digest), store)


def test_a_version_that_answers_its_golden_rows_otherwise_is_refused(
    store: LocalModelStore, version: ModelVersion
) -> None:
    golden: dict[str, Any] = json.loads((store.open(1, version.manifest_digest) / GOLDEN).read_text())
    first = golden["predictions"][0]
    golden["predictions"][0] = first + 0.01 if isinstance(first, float) else {"no": "yes", "yes": "no"}[first]
    with pytest.raises(ArtefactRejected, match="golden rows"):
        models.load(_changed(store, version, GOLDEN, json.dumps(golden).encode()), store)


@pytest.mark.parametrize("version", ["binary"], indirect=True)
def test_golden_probabilities_count_too(store: LocalModelStore, version: ModelVersion) -> None:
    golden: dict[str, Any] = json.loads((store.open(1, version.manifest_digest) / GOLDEN).read_text())
    golden["probabilities"]["yes"][0] += 1e-4
    with pytest.raises(ArtefactRejected, match="golden rows"):
        models.load(_changed(store, version, GOLDEN, json.dumps(golden).encode()), store)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.onnx", b"not a graph"),
        ("compiled.json", b"{}"),
        ("contract.json", b"{}"),
        ("golden.json", b"[]"),
        ("golden.json", b""),
    ],
)
def test_whatever_cannot_be_read_is_refused_with_the_reason(
    store: LocalModelStore, version: ModelVersion, name: str, content: bytes
) -> None:
    damaged = _changed(store, version, name, content)
    with pytest.raises(ArtefactRejected, match=f"version {damaged.number} cannot be loaded"):
        models.load(damaged, store)


def test_an_estimator_that_cannot_be_read_is_refused_where_scikit_learn_serves(
    store: LocalModelStore, ledger: SqlLedger, clock: ManualClock
) -> None:
    version = versions.register(builders.candidate(), store, ledger, clock, "skops", "sklearn")
    damaged = _changed(store, version, "model.skops", b"not an archive")
    with pytest.raises(ArtefactRejected, match="version 2 cannot be loaded"):
        models.load(damaged, store)


def test_a_folder_without_an_estimator_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(ArtefactRejected, match="no fitted estimator"):
        artefacts.find(tmp_path)


def test_the_safe_format_refuses_types_it_does_not_know(tmp_path: Path) -> None:
    estimator = NotAPartOfScikitLearn().fit(FRAME, ["no", "yes"])
    with pytest.raises(ProjectInvalid, match=r'NotAPartOfScikitLearn.*artefact = "joblib"'):
        artefacts.save(estimator, tmp_path, "skops")
    with pytest.raises(ArtefactRejected, match="types that are not allowed"):
        artefacts.load(tmp_path / "model.skops")


def test_joblib_holds_any_type_when_asked_to(tmp_path: Path) -> None:
    name = artefacts.save(NotAPartOfScikitLearn().fit(FRAME, ["no", "yes"]), tmp_path, "joblib")
    assert artefacts.load(tmp_path / name, pickles=True).predict(FRAME).tolist() == ["no", "yes"]
