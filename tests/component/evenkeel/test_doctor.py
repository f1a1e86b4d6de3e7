"""The doctor finds a healthy project well, names what is broken and what to do, and looks at everything else still."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from evenkeel.doctor import Finding, examine, run_doctor
from lifecycle.contract import Contract
from lifecycle.feature_log.imports import Imports
from lifecycle.project import Project
from lifecycle.pseudonyms import Pseudonyms
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
    "fold",
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


def test_a_damaged_list_of_an_import_is_told_until_somebody_decided(made: Project) -> None:
    area = Imports(made.tables.folder)
    area.staged.mkdir(parents=True)
    (area.staged / "x.json").write_text("{}")
    area.settle(made.ledger)
    (found,) = (item for item in examine(made.path) if item.what == "imports")
    assert found.state == "warning"
    assert "import-x.json: move the segments in" in found.detail
    for path in area.set_aside():
        path.unlink()
    assert unwell(examine(made.path)) == {}


def test_what_no_import_put_among_the_staged_files_is_named(made: Project) -> None:
    area = Imports(made.tables.folder)
    (area.staged / "x.json").mkdir(parents=True)
    (found,) = (item for item in examine(made.path) if item.state != "ok")
    assert (found.what, found.state) == ("imports", "warning")
    assert "x.json: put there by no import" in found.detail


def damage_ledger(path: Path, table: str) -> None:
    """Write zeros over the first page of `table`."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table]).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))


@pytest.mark.parametrize("table", ["audit", "keys", "versions"])
@pytest.mark.parametrize("verify", [False, True])
def test_a_ledger_that_sqlite_finds_malformed_has_failed(made: Project, table: str, *, verify: bool) -> None:
    made.ledger.close()
    damage_ledger(made.path / ".evenkeel" / "ledger.db", table)
    found = {item.what: item for item in examine(made.path, verify=verify)}
    assert found["ledger"].state == "failed"
    assert "from a backup" in found["ledger"].detail


SUBJECT = {"set_aside": [{"name": "person", "reason": "says whom it is about"}], "privacy": {"person": "subject"}}


def change_key(path: Path) -> None:
    flip(path, 0)


@pytest.mark.parametrize(
    ("breakage", "words"), [(Path.unlink, "there is no key of pseudonyms"), (change_key, "does not hold a key")]
)
def test_a_key_of_pseudonyms_that_the_contract_needs_and_cannot_be_read_has_failed(
    made: Project, breakage: Callable[[Path], None], words: str
) -> None:
    contract = json.dumps(made.contract().model_dump(mode="json") | SUBJECT)
    (made.path / "contract.json").write_text(Contract.model_validate_json(contract).model_dump_json())
    key = made.path / made.config.feature_log.pseudonym_key
    Pseudonyms.ensure(key)
    assert unwell(examine(made.path)) == {}
    breakage(key)
    found = examine(made.path)
    assert unwell(found) == {"contract": "failed"}
    assert words in next(item.detail for item in found if item.state == "failed")


def test_what_is_no_segment_among_the_segments_is_named(made: Project) -> None:
    made.tables.segments.mkdir(parents=True)
    (made.tables.segments / "notes.txt").write_text("")
    (made.tables.segments / "writer.0000000001.seg").mkdir()
    (found,) = (item for item in examine(made.path) if item.state != "ok")
    assert (found.what, found.state) == ("feature log", "warning")
    assert "notes.txt, writer.0000000001.seg" in found.detail
    assert "never folded" in found.detail


def test_a_fold_that_holds_its_lease_and_reports_nothing_is_a_warning(made: Project) -> None:
    now = made.clock.now()
    made.ledger.acquire("fold", "a", now, 60)
    made.ledger.save_fold(FoldStatus(now, now, 0, 0, 0, 0, 0))
    assert unwell(examine(made.path)) == {}
    made.ledger.save_fold(FoldStatus(now, now - 600_000_000, 0, 0, 0, 0, 0))
    assert unwell(examine(made.path)) == {"fold": "warning"}
    made.ledger.release("fold", "a")
    assert unwell(examine(made.path)) == {}


def test_what_the_last_round_of_the_fold_could_not_do_is_a_warning(made: Project) -> None:
    now = made.clock.now()
    made.ledger.acquire("fold", "a", now, 60)
    made.ledger.save_fold(FoldStatus(now, now, 0, 0, 0, 0, 0, problem="tidy: the disk is full"))
    (found,) = (item for item in examine(made.path) if item.state != "ok")
    assert (found.what, found.detail) == ("fold", "the last round had problems: tidy: the disk is full")
