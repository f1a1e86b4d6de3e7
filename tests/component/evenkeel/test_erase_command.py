"""`evenkeel erase` proves nothing under a wrong key or a blank name, and says when there was nothing to erase."""

from pathlib import Path

import pytest

from evenkeel.erase_command import run_erase
from lifecycle.contract import SetAside
from lifecycle.errors import InputRejected, ProjectInvalid
from lifecycle.project import Project
from lifecycle.pseudonyms import Pseudonyms
from tests import builders
from tests.unit.evenkeel.making import project

WAIT_SECONDS = 30.0


@pytest.fixture
def made(tmp_path: Path) -> Project:
    """A project whose rows are about persons, with two rows about anna."""
    found = project(tmp_path)
    pseudonyms = Pseudonyms.ensure(key(found))
    contract = builders.numeric_contract().model_copy(
        update={
            "set_aside": (SetAside(name="person", reason="says whom it is about"),),
            "privacy": {"person": "subject"},
            "key_check": pseudonyms.check,
        }
    )
    (found.path / "contract.json").write_text(contract.model_dump_json())
    writer = builders.writer(found.tables.segments, found.clock)
    batch = builders.batch(2, at=found.clock.now(), subjects=[pseudonyms.subject("anna")] * 2)
    writer.append_predictions(batch, builders.schema())
    writer.close()
    return found


def key(made: Project) -> Path:
    return made.path / made.config.feature_log.pseudonym_key


def erase(made: Project, subject: str) -> int:
    return run_erase(made.path, subject, WAIT_SECONDS, as_json=False)


def test_another_key_is_refused_and_proves_nothing_and_its_copy_finds_the_rows(
    made: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = key(made).rename(made.path / "copy.key")
    Pseudonyms.ensure(key(made))
    with pytest.raises(ProjectInvalid, match="is not the one that the contract was made with"):
        erase(made, "anna")
    assert made.ledger.erasures() == []
    assert capsys.readouterr().out == ""
    copy.replace(key(made))
    assert erase(made, "anna") == 0
    said = capsys.readouterr().out
    assert "0 findings" in said
    assert "nothing was recorded" not in said
    assert made.tables.row_count() == 0


@pytest.mark.parametrize("subject", ["", " ", "\t\n"])
def test_a_blank_subject_is_refused(made: Project, subject: str) -> None:
    with pytest.raises(InputRejected, match="the subject is blank, which names nobody"):
        erase(made, subject)
    assert made.ledger.erasures() == []


def test_a_name_under_which_nothing_was_recorded_is_said_so_plainly(
    made: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert erase(made, "Anna") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "nothing was recorded under this value before the request; check its spelling" in said
    assert "Anna" not in said
    assert made.tables.row_count() == 2
