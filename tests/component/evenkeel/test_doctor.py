"""The doctor finds a healthy project well, names what is broken and what to do, and looks at everything else still."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from evenkeel.doctor import Finding, examine, run_doctor
from lifecycle.feature_log.imports import Imports
from lifecycle.project import Project
from lifecycle.records import Erasure, FoldStatus, LogSchema
from tests.builders import START, batch
from tests.unit.evenkeel.making import answered, project

EVERYTHING = [
    "configuration",
    "contract",
    "ledger",
    "versions",
    "champion",
    "feature log",
    "imports",
    "erasures",
    "disk",
]


@pytest.fixture
def made(tmp_path: Path) -> Project:
    return project(tmp_path)


def unwell(findings: list[Finding]) -> dict[str, str]:
    return {item.what: item.state for item in findings if item.state != "ok"}


def test_a_healthy_project_is_well_in_everything(made: Project) -> None:
    answered(made, 3)
    found = examine(made.path)
    assert [item.what for item in found] == EVERYTHING
    assert unwell(found) == {}
    details = {item.what: item.detail for item in found}
    assert details["contract"] == "2 features, target 'target'"
    assert details["versions"] == "1 version(s), every digest holds"
    assert details["champion"] == "version 1 loads and answers its golden rows"
    assert details["feature log"] == "3 rows"


def remove_contract(made: Project) -> None:
    (made.path / "contract.json").unlink()


def change_model(made: Project) -> None:
    with (made.store.root / "000001" / "model.skops").open("ab") as file:
        file.write(b"x")


def remove_version(made: Project) -> None:
    shutil.rmtree(made.store.root / "000001")


@pytest.mark.parametrize(
    ("breakage", "failed", "words"),
    [
        (remove_contract, ["contract"], "restore the file or run `evenkeel init` again"),
        (change_model, ["versions", "champion"], "fails its SHA-256"),
        (remove_version, ["versions", "champion"], "missing from the model store"),
    ],
)
def test_what_is_broken_is_named_and_the_rest_is_looked_at(
    made: Project, breakage: Callable[[Project], None], failed: list[str], words: str
) -> None:
    breakage(made)
    found = examine(made.path)
    assert [item.what for item in found] == EVERYTHING
    assert unwell(found) == dict.fromkeys(failed, "failed")
    assert words in next(item.detail for item in found if item.state == "failed")


def test_without_a_configuration_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    (only,) = examine(tmp_path)
    assert (only.what, only.state) == ("configuration", "failed")
    assert "evenkeel init" in only.detail


def test_without_a_champion_it_says_how_to_make_one(tmp_path: Path) -> None:
    made = project(tmp_path)
    (tmp_path / "evenkeel.toml").write_text('[model]\nname = "houses"\n[ledger]\nurl = "sqlite:///other.db"\n')
    found = {item.what: item for item in examine(made.path)}
    assert found["champion"].detail == "there is none; `evenkeel promote VERSION` makes one"
    assert found["versions"].state == "warning"
    assert "folders without an entry in the ledger: [1]" in found["versions"].detail


def test_segments_set_aside_are_a_warning(made: Project) -> None:
    made.ledger.save_fold(FoldStatus(START, START, 0, 0, 0, 2, 0))
    assert unwell(examine(made.path)) == {"feature log": "warning"}


def test_it_ends_with_1_only_when_something_failed(made: Project, capsys: pytest.CaptureFixture[str]) -> None:
    made.ledger.save_fold(FoldStatus(START, START, 0, 0, 0, 2, 0))
    assert run_doctor(made.path, as_json=False) == 0
    assert "warning" in capsys.readouterr().out
    remove_contract(made)
    assert run_doctor(made.path, as_json=True) == 1
    states = {item["what"]: item["state"] for item in json.loads(capsys.readouterr().out)}
    assert (states["contract"], states["ledger"]) == ("failed", "ok")


VERIFIED = ["tables", "segments", "quarantine"]


def damage_page(made: Project) -> None:
    flip(made.tables.folder / "predictions" / made.tables.predictions.files()[0].path, 300)


def remove_page(made: Project) -> None:
    (made.tables.folder / "predictions" / made.tables.predictions.files()[0].path).unlink()


def waiting(made: Project) -> Path:
    """A sealed segment that waits to be folded."""
    log = made.writer()
    log.append_predictions(batch(columns={"a": [1.0], "b": [1.0]}), LogSchema.of(1, made.contract()))
    log.append_predictions(batch(columns={"a": [2.0], "b": [1.0]}), LogSchema.of(1, made.contract()))
    log.close()
    (path,) = made.tables.segments.glob("*.seg")
    return path


def damage_segment(made: Project) -> None:
    path = waiting(made)
    flip(path, path.stat().st_size - 10)


def set_aside(made: Project) -> None:
    damage_segment(made)
    made.tables.quarantine.mkdir()
    (path,) = made.tables.segments.glob("*.seg")
    path.rename(made.tables.quarantine / path.name)


def flip(path: Path, place: int) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_verified_a_healthy_project_is_well_in_everything(made: Project) -> None:
    answered(made, 3)
    waiting(made)
    found = examine(made.path, verify=True)
    assert [item.what for item in found] == [*EVERYTHING, *VERIFIED]
    assert unwell(found) == {}
    details = {item.what: item.detail for item in found}
    assert details["tables"] == "every page of 2 file(s) holds its checksum, and no file is missing"
    assert details["segments"] == "1 segment(s) with 2 row(s) and label(s) wait for the next fold"


@pytest.mark.parametrize(
    ("breakage", "what", "state", "words"),
    [
        (damage_page, "tables", "failed", "restore it from a backup"),
        (remove_page, "tables", "failed", "is missing, with 3 rows"),
        (damage_segment, "segments", "warning", "has 1 damaged frame(s) and 1 sound row(s)"),
        (set_aside, "quarantine", "warning", "has 1 damaged frame(s) beside 1 sound row(s)"),
    ],
)
def test_only_verifying_finds_a_changed_bit_and_says_what_to_do(
    made: Project, breakage: Callable[[Project], None], what: str, state: str, words: str
) -> None:
    answered(made, 3)
    breakage(made)
    assert unwell(examine(made.path)) == {}
    found = examine(made.path, verify=True)
    assert unwell(found) == {what: state}
    assert words in next(item.detail for item in found if item.what == what and item.state == state)


def test_an_import_and_an_erasure_that_are_not_finished_are_warnings(made: Project) -> None:
    made.ledger.save_erasure(Erasure("x", "p_0", START, "somebody"))
    area = Imports(made.tables.folder)
    area.staged.mkdir(parents=True)
    (area.staged / "x.json").write_text("{}")
    assert unwell(examine(made.path)) == {"imports": "warning", "erasures": "warning"}
