"""Pseudonyms: the same for the same value under one key, of one form, and a key that is never replaced silently."""

from pathlib import Path

import pytest

from lifecycle.errors import ProjectInvalid
from lifecycle.pseudonyms import FORM, Pseudonyms

ONE, OTHER = Pseudonyms(bytes(range(32))), Pseudonyms(bytes(32))
VALUES = ["", "A-17", "a-17", "Zo\u00eb", "\ud800", "x" * 10_000, "0"]


def test_a_value_has_one_pseudonym_under_a_key_and_another_under_another() -> None:
    assert ONE.of("A-17") == Pseudonyms(bytes(range(32))).of("A-17")
    assert ONE.of("A-17") != OTHER.of("A-17")


def test_a_pseudonym_stays_what_it_is_in_every_release() -> None:
    assert ONE.of("A-17") == "p_bcf5fa44893290e01089ec35c5d842cf"
    assert ONE.subject("A-17") == "p_deca3c4f3faac2403f1c7511c4a6965f"
    assert ONE.check == "18a9bfebae144620e21e683919f56900"


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_every_text_has_a_pseudonym_of_one_form(value: str) -> None:
    assert FORM.fullmatch(ONE.of(value))
    assert FORM.fullmatch(ONE.subject(value))


def test_different_texts_have_different_pseudonyms_of_either_kind() -> None:
    assert len({make(value) for value in VALUES for make in (ONE.of, ONE.subject)}) == 2 * len(VALUES)


def test_an_accent_in_one_character_or_two_is_one_value() -> None:
    assert ONE.of("Zo\u00eb") == ONE.of("Zoe\u0308")


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "pseudonym.key"
    made = Pseudonyms.ensure(path)
    content = path.read_text()
    assert Pseudonyms.ensure(path).of("A-17") == made.of("A-17") == Pseudonyms.read(path).of("A-17")
    assert path.read_text() == content
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_two_projects_have_different_keys(tmp_path: Path) -> None:
    assert Pseudonyms.ensure(tmp_path / "one").of("A-17") != Pseudonyms.ensure(tmp_path / "other").of("A-17")


def test_a_key_is_read_as_the_one_that_was_meant_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "pseudonym.key"
    check = Pseudonyms.ensure(path).check
    assert Pseudonyms.read(path, check).check == Pseudonyms.read(path).check == check
    path.unlink()
    assert Pseudonyms.ensure(path).check != check
    with pytest.raises(ProjectInvalid, match="is not the one that the contract was made with.* from its copy"):
        Pseudonyms.read(path, check)


def test_what_tells_a_key_from_others_is_the_pseudonym_of_no_value() -> None:
    assert ONE.check not in ONE.of("") + ONE.subject("")
    assert ONE.check != OTHER.check


def test_a_missing_key_is_missed_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(ProjectInvalid, match="there is no key of pseudonyms at .*; restore the file from its copy"):
        Pseudonyms.read(tmp_path / "pseudonym.key")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"secret", b"0" * 63, b"0" * 65, b"g" * 64, b"\xff" * 64, b"00\n" * 32])
def test_a_damaged_key_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pseudonym.key"
    path.write_bytes(content)
    for read in (Pseudonyms.read, Pseudonyms.ensure):
        with pytest.raises(ProjectInvalid, match="restore it from its copy"):
            read(path)
    assert path.read_bytes() == content


def test_a_key_that_is_a_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ProjectInvalid, match="cannot be read"):
        Pseudonyms.read(tmp_path)
