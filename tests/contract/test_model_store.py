"""ModelStore: versions are whole, immutable and verified."""

from pathlib import Path
from typing import Any

import pytest

from lifecycle.errors import ArtefactRejected, Conflict
from lifecycle.model_store import LocalModelStore
from lifecycle.ports import ModelStore


@pytest.fixture(params=[LocalModelStore])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    made: ModelStore = request.param(tmp_path / "models")
    return made


def _fill(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"weights")
    (folder / "notes.txt").write_text("notes")


def test_a_published_version_opens_with_what_was_filled_in(store: ModelStore) -> None:
    digest = store.publish(1, _fill)
    assert (store.open(1, digest) / "model.bin").read_bytes() == b"weights"


def test_what_the_filling_says_is_kept_with_the_version(store: ModelStore) -> None:
    def told(folder: Path) -> dict[str, Any]:
        _fill(folder)
        return {"runtime": {"name": "onnx", "tolerance": 1e-9}}

    digest = store.publish(1, told)
    assert store.facts(1, digest) == {"runtime": {"name": "onnx", "tolerance": 1e-9}}
    assert store.facts(2, store.publish(2, _fill)) == {}
    with pytest.raises(ArtefactRejected, match="not the one that was registered"):
        store.facts(2, digest)
    with pytest.raises(ArtefactRejected, match="missing from the model store"):
        store.facts(3, digest)


def test_numbers_grow(store: ModelStore) -> None:
    assert store.next_number() == 1
    store.publish(1, _fill)
    store.publish(7, _fill)
    assert store.next_number() == 8


def test_a_taken_number_is_refused_and_the_first_stays(store: ModelStore) -> None:
    digest = store.publish(1, _fill)
    with pytest.raises(Conflict, match="take the next number"):
        store.publish(1, _fill)
    assert (store.open(1, digest) / "notes.txt").read_text() == "notes"


def test_a_version_whose_filling_fails_does_not_exist(store: ModelStore) -> None:
    def half(folder: Path) -> None:
        _fill(folder)
        raise OSError(28, "no space left")

    with pytest.raises(OSError, match="no space left"):
        store.publish(1, half)
    assert store.next_number() == 1
    with pytest.raises(ArtefactRejected, match="missing from the model store"):
        store.open(1, "0" * 64)


@pytest.mark.parametrize("name", ["model.bin", "notes.txt", "manifest.json"])
def test_any_changed_byte_is_refused(store: ModelStore, name: str) -> None:
    digest = store.publish(1, _fill)
    path = store.open(1, digest) / name
    whole = path.read_bytes()
    for index in range(len(whole)):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        with pytest.raises(ArtefactRejected):
            store.open(1, digest)
    path.write_bytes(whole)
    store.open(1, digest)


def test_a_missing_or_linked_file_is_refused(store: ModelStore, tmp_path: Path) -> None:
    digest = store.publish(1, _fill)
    path = store.open(1, digest) / "model.bin"
    path.rename(tmp_path / "elsewhere")
    with pytest.raises(ArtefactRejected, match="missing or not a plain file"):
        store.open(1, digest)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtefactRejected, match="missing or not a plain file"):
        store.open(1, digest)


def test_a_version_does_not_open_as_another(store: ModelStore) -> None:
    first = store.publish(1, _fill)
    second = store.publish(2, _fill)
    for number, digest in ((1, second), (2, first)):
        with pytest.raises(ArtefactRejected, match="not the one that was registered"):
            store.open(number, digest)
