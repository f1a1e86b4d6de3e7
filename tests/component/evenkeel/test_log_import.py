"""History comes into the log as the service would have recorded it: checked, whole, once, and without what is private."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from evenkeel.__main__ import app
from evenkeel.log_import import ImportOptions, ImportResult, bring_in
from lifecycle.contract import Column, Contract, SetAside
from lifecycle.errors import Conflict, InputRejected, ProjectInvalid, StoreUnavailable
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.imports import Imports, imported
from lifecycle.ids import milliseconds_of
from lifecycle.project import Project
from lifecycle.pseudonyms import Pseudonyms
from tests.builders import numeric_contract
from tests.faults import FaultyFiles, Killed, Steps
from tests.unit.evenkeel.making import project
from tests.unit.evenkeel.tables import write

ROWS = 50
FIRST = pd.Timestamp("2024-03-01T10:00:00", tz="UTC")


@pytest.fixture
def made(tmp_path: Path) -> Project:
    return project(tmp_path)


def history(rows: int = ROWS, **changes: Any) -> pd.DataFrame:
    """Rows of `numeric_contract`, one a minute, of which every second one has a label."""
    index = np.arange(rows)
    frame = pd.DataFrame(
        {
            "a": index + 0.5,
            "b": 1.0,
            "at": FIRST + pd.to_timedelta(index, unit="min"),
            "prediction": np.where(index % 3, "yes", "no"),
            "target": ["yes" if row % 2 else None for row in index],
        }
    )
    return frame.assign(**changes)


def rows_of(made: Project) -> pd.DataFrame:
    """What is in the tables after a fold, with labels."""
    Folder(made.tables, made.clock).fold()
    found: pd.DataFrame = made.tables.rows(0, 10**17, labels=True).to_pandas()
    return found.sort_values("at").reset_index(drop=True)


def take(made: Project, frame: pd.DataFrame, name: str = "history.csv", **options: Any) -> ImportResult:
    return bring_in(made, write(made.path, frame, name), ImportOptions(**options))


@pytest.mark.parametrize("name", ["history.csv", "history.parquet"])
def test_every_row_is_recorded_at_its_own_time_with_its_answer_and_its_label(made: Project, name: str) -> None:
    frame = history()
    result = take(made, frame, name)
    assert (result.rows, result.labels, result.skipped) == (ROWS, ROWS // 2, 0)
    found = rows_of(made)
    assert found["feature_a"].tolist() == frame["a"].tolist()
    assert found["at"].tolist() == frame["at"].tolist()
    assert found["prediction"].tolist() == frame["prediction"].tolist()
    assert found["label"].fillna("-").tolist() == frame["target"].fillna("-").tolist()
    assert set(found["protocol"]) == {"import"}
    assert set(found["version"]) == {0}
    assert [milliseconds_of(name) for name in found["id"]] == [int(at.timestamp() * 1000) for at in frame["at"]]


def test_rows_of_one_moment_stay_rows_of_their_own(made: Project) -> None:
    take(made, history(at=FIRST))
    found = rows_of(made)
    assert sorted(found["feature_a"]) == history()["a"].tolist()
    assert found["id"].is_unique


def test_columns_of_other_names_and_probabilities_and_the_version_are_taken_as_they_are_said(made: Project) -> None:
    frame = history().rename(columns={"at": "when", "prediction": "answer", "target": "truth"})
    frame = frame.assign(probability_no=0.25, probability_yes=0.75)
    take(made, frame, time="when", prediction="answer", label="truth", version=1)
    found = rows_of(made)
    assert set(found["version"]) == {1}
    assert set(found["probability_yes"]) == {0.75}
    assert found["label"].notna().sum() == ROWS // 2


def test_one_refused_row_refuses_the_file_and_names_what_is_wrong(made: Project) -> None:
    frame = history().astype({"a": object, "at": object})
    frame.loc[3, "a"] = "many"
    frame.loc[5, "at"] = "2999-01-01"
    frame.loc[7, "prediction"] = "maybe"
    frame.loc[9, "at"] = None
    with pytest.raises(InputRejected, match=f"4 of {ROWS} rows are refused, so nothing was imported") as raised:
        take(made, frame)
    for words in (
        "row 4, a: must be a finite number",
        "row 6, at: is in the future",
        "row 8, prediction: is not one of",
    ):
        assert words in str(raised.value)
    assert made.tables.segments.exists()
    Folder(made.tables, made.clock).fold()
    assert made.tables.row_count() == 0
    assert imported(made.ledger) == []
    result = take(made, frame, skip_bad=True)
    assert (result.rows, result.skipped) == (ROWS - 4, 4)
    assert len(rows_of(made)) == ROWS - 4


BAD_CELLS = {
    "iso": ("at", "soon", FIRST.strftime("%Y-%m-%dT%H:%M:%S"), "row 2, at: cannot be read as a time .*'soon'"),
    "days first": ("at", "31.31.2024", "15.03.2024 10:00", "row 2, at: cannot be read as a time .*'31.31.2024'"),
    "a label": ("target", "3", "yes", "row 2, label: is not one of"),
}


@pytest.mark.parametrize(("column", "bad", "good", "words"), BAD_CELLS.values(), ids=BAD_CELLS.keys())
def test_a_cell_that_cannot_be_read_is_the_problem_of_its_own_row(
    made: Project, column: str, bad: str, good: str, words: str
) -> None:
    frame = history().assign(**{column: good})
    frame.loc[1, column] = bad
    with pytest.raises(InputRejected, match=f"1 of {ROWS} rows are refused.*{words}"):
        take(made, frame)
    assert (take(made, frame, skip_bad=True).rows, len(rows_of(made))) == (ROWS - 1, ROWS - 1)


UNFIT = {
    "no answers": (lambda frame: frame.drop(columns="prediction"), "no column 'prediction', the answers"),
    "no times": (lambda frame: frame.drop(columns="at"), "no column 'at', when each was answered; name it with --time"),
    "no feature": (lambda frame: frame.drop(columns="a"), "the file lacks 'a'"),
    "no times at all": (lambda frame: frame.assign(at="soon"), "cannot be read as dates in one notation"),
    "numbers for times": (lambda frame: frame.assign(at=range(len(frame))), "the time column 'at' holds numbers"),
}


@pytest.mark.parametrize(("change", "words"), UNFIT.values(), ids=UNFIT.keys())
def test_a_file_that_cannot_be_taken_is_refused_in_a_sentence(made: Project, change: Any, words: str) -> None:
    with pytest.raises((ProjectInvalid, InputRejected), match=words):
        take(made, change(history()))


def test_a_version_that_does_not_exist_is_refused(made: Project) -> None:
    with pytest.raises(ProjectInvalid, match="there is no version 9 in this project"):
        take(made, history(), version=9)
    with pytest.raises(InputRejected, match="version: is not a version of this project"):
        take(made, history(version=9))


def test_the_same_file_is_imported_once_unless_it_is_said_again(made: Project) -> None:
    take(made, history())
    with pytest.raises(Conflict, match=f"was imported already, as history.csv with {ROWS} rows"):
        take(made, history(), "renamed.csv")
    assert len(rows_of(made)) == ROWS
    take(made, history(), again=True)
    assert len(rows_of(made)) == 2 * ROWS


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # a thread may be what is killed
def test_an_import_that_is_killed_at_any_step_has_happened_or_can_be_done(tmp_path: Path) -> None:
    made = project(tmp_path)
    file = write(tmp_path, history(2))
    counted = Steps()
    bring_in(made, file, ImportOptions(), files=FaultyFiles(counted))
    done = len(rows_of(made))
    for fatal in range(1, len(counted.names) + 1, 3):
        with pytest.raises((Killed, StoreUnavailable)):  # the second when it is the thread that syncs
            bring_in(made, file, ImportOptions(again=True), files=FaultyFiles(Steps(fatal)))
        Imports(made.tables.folder).settle(made.ledger)
        now = len(rows_of(made))
        assert now - done in (0, 2)
        assert len(imported(made.ledger)) == now // 2
        done = now
    assert done > 2, "some of them had happened"


def private() -> Contract:
    """`numeric_contract` with a category that is hidden, an id that is hidden, and a subject."""
    plain = numeric_contract()
    return plain.model_copy(
        update={
            "columns": (*plain.columns, Column(name="street", kind="categorical")),
            "set_aside": tuple(SetAside(name=name, reason="it says who") for name in ("order", "customer")),
            "id": "order",
            "privacy": {"street": "pseudonymise", "order": "pseudonymise", "customer": "subject"},
        }
    )


def test_what_the_contract_marks_as_private_is_treated_as_in_a_request(made: Project) -> None:
    (made.path / "contract.json").write_text(private().model_dump_json())
    pseudonyms = Pseudonyms.ensure(made.path / made.config.feature_log.pseudonym_key)
    take(made, history(street="High Street", order=[f"order {row}" for row in range(ROWS)], customer="Somebody"))
    found = rows_of(made)
    assert found["external_id"].tolist() == [pseudonyms.of(f"order {row}") for row in range(ROWS)]
    assert set(found["subject"]) == {pseudonyms.subject("Somebody")}
    assert set(found["feature_street"]) == {pseudonyms.of("High Street")}
    written = [path.read_bytes() for path in made.tables.folder.rglob("*") if path.is_file()]
    assert not any(b"High Street" in content or b"Somebody" in content for content in written)


def test_under_another_key_than_the_contract_was_made_with_nothing_is_imported(made: Project) -> None:
    key = made.path / made.config.feature_log.pseudonym_key
    contract = private().model_copy(update={"key_check": Pseudonyms.ensure(key).check})
    (made.path / "contract.json").write_text(contract.model_dump_json())
    frame = history(street="High Street", order=[f"order {row}" for row in range(ROWS)], customer="Somebody")
    key.rename(copy := key.with_name("copy"))
    Pseudonyms.ensure(key)
    with pytest.raises(ProjectInvalid, match="is not the one that the contract was made with"):
        take(made, frame)
    Folder(made.tables, made.clock).fold()
    assert made.tables.row_count() == 0
    copy.replace(key)
    assert take(made, frame).rows == ROWS


def test_the_command_says_what_came_of_it(made: Project) -> None:
    file = write(made.path, history())
    words = ["log", "import", str(file), "--project", str(made.path)]
    done = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    facts = json.loads(done.stdout[done.stdout.index("{\n") :])
    assert (facts["rows"], facts["labels"], facts["skipped"]) == (ROWS, ROWS // 2, 0)
    again = CliRunner().invoke(app, [*words, "--again"], catch_exceptions=False)
    assert f"{ROWS} rows and {ROWS // 2} labels imported" in again.stdout
