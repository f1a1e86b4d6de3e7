"""`evenkeel models show`: one version whole, with the runtime that serves it and why."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evenkeel import facts
from evenkeel.__main__ import app
from lifecycle.errors import ProjectInvalid
from lifecycle.project import Project
from tests.unit.evenkeel.making import project


@pytest.fixture
def made(tmp_path: Path) -> Project:
    return project(tmp_path)


def test_a_version_is_shown_with_its_runtime_and_where_it_comes_from(made: Project) -> None:
    told = facts.model(made, 1)
    version = made.ledger.version(1)
    assert version is not None
    assert (told["version"], told["role"], told["parent"]) == (1, "champion", None)
    assert (told["metrics"], told["lineage"]) == (version.metrics, version.lineage)
    assert told["runtime"]["name"] in {"onnx", "sklearn"}
    assert told["runtime"]["reason"]


@pytest.mark.parametrize("where", ["before", "after"])
def test_the_command_takes_its_options_on_either_side_of_show(made: Project, where: str) -> None:
    options = ["--project", str(made.path), "--json"]
    words = ["models", *options, "show", "1"] if where == "before" else ["models", "show", "1", *options]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output) == json.loads(json.dumps(facts.model(made, 1)))


def test_the_page_for_people_says_what_serves(made: Project) -> None:
    done = CliRunner().invoke(app, ["models", "--project", str(made.path), "show", "1"])
    assert done.exit_code == 0, done.output


def test_without_show_all_versions_are_listed(made: Project) -> None:
    done = CliRunner().invoke(app, ["models", "--project", str(made.path), "--json"])
    assert [item["version"] for item in json.loads(done.output)] == [1]


def test_an_unknown_number_is_refused_with_the_newest(made: Project) -> None:
    with pytest.raises(ProjectInvalid, match="there is no version 9; the newest is 1"):
        facts.model(made, 9)
