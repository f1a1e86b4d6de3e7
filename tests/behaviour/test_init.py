"""`evenkeel init` as a person runs it: a project that is whole, or one sentence, exit code 2 and nothing left."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from lifecycle import models, versions
from lifecycle.project import Project
from lifecycle.versions import AT, LABEL, PREDICTION
from retrain.trainer import FileTrainer
from tests.unit.evenkeel.tables import table, write

SECONDS = 120


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "evenkeel", "init", *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=SECONDS, check=False)


def made(*arguments: object) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


@pytest.fixture
def opened() -> Iterator[Any]:
    projects: list[Project] = []

    def open_one(path: Path) -> Project:
        projects.append(Project.open(path))
        return projects[-1]

    yield open_one
    for project in projects:
        project.ledger.close()


def test_a_csv_becomes_a_project_whose_first_version_is_trained_checked_and_promoted(
    tmp_path: Path, opened: Any
) -> None:
    source = write(tmp_path, table(400))
    place = tmp_path / "houses"
    facts = made(place, "--data", source, "--target", "price", "--time", "built", "--drop", "sold", "--segment", "town")
    assert sorted(path.name for path in place.iterdir()) == [
        ".evenkeel",
        ".gitignore",
        "contract.json",
        "evenkeel.toml",
        "trainer.py",
    ]
    project = opened(place)
    pointer = project.ledger.pointer()
    assert (pointer.version, pointer.generation) == (1, 1) == (facts["version"], facts["generation"])
    version = project.ledger.version(1)
    assert version.status == "promoted"
    assert version.metrics == facts["metrics"]
    assert version.metrics["loss"] < 0.5 * version.metrics["trivial_loss"]
    assert version.lineage["trainer_digest"] == FileTrainer(place / "trainer.py").source_digest()
    model = models.load(version, project.store)
    assert model.contract == project.contract()
    answers, _ = model.runtime.predict(model.contract.check([facts["example"]]))
    assert len(answers) == 1
    reference = versions.load_reference(version, project.store)
    assert len(reference) == 320
    assert list(reference.columns) == [*model.contract.names, LABEL, AT, PREDICTION]
    assert model.contract.segments == ("town",)


@pytest.mark.parametrize(
    ("load", "task"), [(load_breast_cancer, "binary"), (load_wine, "multiclass"), (load_diabetes, "regression")]
)
def test_known_tables_give_models_that_beat_the_trivial_predictor(tmp_path: Path, load: Any, task: str) -> None:
    source = write(tmp_path, load(as_frame=True).frame, "known.parquet")
    facts = made(tmp_path / "known", "--data", source, "--target", "target", "--name", "known-one")
    assert (facts["task"], facts["model"], facts["beats_trivial"]) == (task, "known-one", True)
    assert not facts["set_aside"]


def test_the_summary_names_score_warnings_and_next_commands(tmp_path: Path) -> None:
    frame = table().assign(outcome=lambda found: (found["sold"] == "yes").astype(int))
    done = run(tmp_path / "houses", "--data", write(tmp_path, frame), "--target", "sold")
    assert done.returncode == 0, done.stderr
    page = " ".join(done.stdout.split())
    for words in (
        "200 of ",
        "binary: predict sold (2 classes: no, yes)",
        "key is different in nearly every row",
        "for always answering the most frequent class",
        "outcome alone determines sold almost exactly",
        "evenkeel up --project",
        "/predict",
    ):
        assert words in page


def test_a_model_that_learnt_nothing_is_promoted_with_a_warning(tmp_path: Path) -> None:
    frame = table()[["size", "town", "sold"]]
    shuffled = frame.assign(sold=frame["sold"].sample(frac=1, random_state=0).to_numpy())
    facts = made(tmp_path / "noise", "--data", write(tmp_path, shuffled), "--target", "sold")
    assert facts["version"] == 1
    assert facts["beats_trivial"] == (not any("trivial predictor" in warning for warning in facts["warnings"]))


@pytest.mark.parametrize(
    ("changes", "arguments", "said"),
    [
        (None, [], "there is no file"),
        ({"sold": "yes"}, [], "nothing to predict"),
        ({"rooms": [1, "few"] * 100}, [], "mixes numbers and text"),
        ({}, ["--task", "regression"], "needs numbers"),
        ({}, ["--drop", "prise"], "did you mean 'price'"),
        ({}, ["--name", "a b"], "not a model name"),
    ],
)
def test_bad_input_is_one_sentence_code_2_and_nothing_left(
    tmp_path: Path, changes: dict[str, Any] | None, arguments: list[str], said: str
) -> None:
    source = tmp_path / "houses.csv"
    if changes is not None:
        write(tmp_path, table().assign(**changes))
    before = sorted(tmp_path.iterdir())
    done = run(tmp_path / "houses", "--data", source, "--target", "sold", *arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_a_trainer_that_cannot_learn_leaves_nothing(tmp_path: Path) -> None:
    frame = table().assign(built=pd.date_range("2024-01-01", periods=200).astype(str), sold=["no"] * 170 + ["yes"] * 30)
    done = run(tmp_path / "houses", "--data", write(tmp_path, frame), "--target", "sold", "--time", "built")
    assert done.returncode == 2
    assert "leave out --time" in " ".join(done.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["houses.csv"]


def test_a_folder_in_use_is_refused_and_untouched(tmp_path: Path) -> None:
    source = write(tmp_path, table())
    place = tmp_path / "mine"
    place.mkdir()
    (place / "notes.txt").write_text("keep")
    done = run(place, "--data", source, "--target", "sold")
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert [path.name for path in place.iterdir()] == ["notes.txt"]


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    source = write(tmp_path, table(150_000))
    place = tmp_path / "deep" / "houses"
    with subprocess.Popen(
        command(place, "--data", source, "--target", "sold"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            deadline = time.monotonic() + SECONDS
            while not (place.parent.exists() and any(place.parent.iterdir())):
                assert process.poll() is None, "init ended before it could be interrupted"
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            assert process.wait(SECONDS) != 0
        finally:
            process.kill()
    assert [path.name for path in tmp_path.iterdir()] == ["houses.csv"]
