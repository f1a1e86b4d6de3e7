"""Training gives a candidate that says how good it is and where it comes from."""

import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lifecycle import models, versions
from lifecycle.clock import ManualClock
from lifecycle.contract import Contract
from lifecycle.errors import ProjectInvalid
from lifecycle.ledger.sql import SqlLedger
from lifecycle.model_store import LocalModelStore
from lifecycle.versions import LABEL
from retrain.lineage import git_commit
from retrain.trainer import FileTrainer
from retrain.training import Trained, columns, frame, row_digest, targets, train
from tests.builders import contract

NAMES = ["size", "rooms", "new", "town", "sold"]


@pytest.fixture
def trainer(tmp_path: Path) -> FileTrainer:
    """The trainer that every new project starts with."""
    path = tmp_path / "trainer.py"
    path.write_text((files("evenkeel") / "templates" / "trainer.py.txt").read_text(encoding="utf-8"), encoding="utf-8")
    return FileTrainer(path)


def rows(count: int, task: str, *, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    town = pd.Series(random.choice(["Ghent", "Turin"], count), dtype=object)
    size = random.uniform(0, 10, count)
    value = size + 5 * (town == "Turin") + random.normal(0, 0.5, count)
    town[::11] = None
    return pd.DataFrame(
        {
            "size": size,
            "rooms": random.integers(1, 9, count),
            "new": random.random(count) < 0.5,
            "town": town,
            "sold": np.where(random.random(count) < 0.1, np.nan, random.integers(0, 10**15, count)),
            LABEL: value if task == "regression" else np.where(value > 8, "yes", "no").astype(object),
        }
    )


def trained(trainer: FileTrainer, task: str, **changes: Any) -> Trained:
    options: dict[str, Any] = {"seed": 7, "threads": 1, "snapshot": {"kind": "file"}} | changes
    return train(contract(task), trainer, rows(200, task), rows(60, task, seed=1), **options)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_default_trainer_beats_the_trivial_predictor_on_mixed_columns(trainer: FileTrainer, task: str) -> None:
    metrics = trained(trainer, task).candidate.metrics
    assert metrics["loss"] < 0.5 * metrics["trivial_loss"]
    assert (metrics["rows"], metrics["holdout_rows"]) == (200, 60)
    assert ("mae" if task == "regression" else "balanced_accuracy") in metrics


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_candidate_registers_in_the_safe_format_and_loads_again(
    trainer: FileTrainer, task: str, tmp_path: Path, ledger: SqlLedger, clock: ManualClock
) -> None:
    result = trained(trainer, task, parent=None)
    store = LocalModelStore(tmp_path / "models")
    version = versions.register(result.candidate, store, ledger, clock, "skops")
    model = models.load(version, store)
    answers, probabilities = model.runtime.predict(columns(rows(60, task, seed=1)[list(contract(task).names)]))
    assert answers == result.holdout.labels
    assert set(probabilities) == (set() if task == "regression" else {"no", "yes"})


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_new_and_missing_categories_are_answered(trainer: FileTrainer, task: str) -> None:
    result = trained(trainer, task)
    odd = rows(3, task).assign(town=pd.Series(["Oslo", None, "Turin"], dtype=object))
    answers = result.candidate.estimator.predict(frame(contract(task), odd))
    assert len(answers) == 3


def test_more_categories_than_trees_take_are_grouped(trainer: FileTrainer) -> None:
    many = rows(1200, "regression").assign(town=pd.Series([f"t{index % 400}" for index in range(1200)], dtype=object))
    result = train(contract("regression"), trainer, many, many.tail(50), seed=0, threads=1, snapshot={})
    assert np.isfinite(result.candidate.metrics["loss"])


def test_lineage_says_where_a_version_comes_from(trainer: FileTrainer) -> None:
    lineage = trained(trainer, "binary", snapshot={"kind": "feature_log", "rows": 200}).candidate.lineage
    assert lineage["trainer_digest"] == trainer.source_digest()
    assert lineage["seed"] == 7
    assert lineage["snapshot"] == {"kind": "feature_log", "rows": 200}
    assert lineage["row_digest"] == row_digest(rows(200, "binary"))
    assert lineage["holdout_digest"] == row_digest(rows(60, "binary", seed=1))
    assert len(lineage["environment_digest"]) == 64
    assert lineage["git_commit"] is None


def test_equal_rows_code_and_seed_give_equal_models(tmp_path: Path) -> None:
    path = tmp_path / "trainer.py"
    path.write_text(
        "from sklearn.ensemble import RandomForestRegressor\nfrom sklearn.impute import SimpleImputer\n"
        "from sklearn.pipeline import make_pipeline\n\n\ndef make_model(contract):\n"
        "    return make_pipeline(SimpleImputer(), RandomForestRegressor(5))\n"
    )
    known: Contract = contract("regression").model_copy(update={"columns": contract().columns[:3]})
    answers = [
        train(
            known,
            FileTrainer(path),
            rows(99, "regression"),
            rows(9, "regression", seed=1),
            seed=seed,
            threads=1,
            snapshot={},
        )
        for seed in (1, 1, 2)
    ]
    first, again, other = (result.holdout.labels for result in answers)
    assert first == again != other


def test_targets_are_numbers_or_class_texts() -> None:
    assert targets(contract("regression"), rows(9, "regression")).dtype == np.float64
    assert targets(contract("binary"), rows(9, "binary")).dtype == object


def test_a_row_digest_is_of_values_and_order_alone() -> None:
    table = rows(20, "binary")
    assert row_digest(table) == row_digest(table.set_axis(range(5, 25), axis=0))
    assert row_digest(table) != row_digest(table.iloc[::-1])
    assert row_digest(table) != row_digest(table.rename(columns={"size": "width"}))


@pytest.mark.parametrize(
    ("count", "holdout", "label", "said"),
    [
        (0, 10, None, "there are 0 and 10"),
        (10, 0, None, "there are 10 and 0"),
        (20, 10, "no", "all 20 training rows have the label 'no'"),
    ],
)
def test_rows_that_can_train_nothing_are_refused(
    trainer: FileTrainer, count: int, holdout: int, label: str | None, said: str
) -> None:
    table = rows(60, "binary")
    table = table if label is None else table.assign(**{LABEL: label})
    with pytest.raises(ProjectInvalid, match=said):
        train(contract(), trainer, table.head(count), table.head(holdout), seed=0, threads=1, snapshot={})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return LogisticRegression()", "of trainer.py cannot be trained on 60 rows: ValueError"),
        ("return Broken()", "of trainer.py, line 8 cannot be trained on 60 rows: RuntimeError: no"),
        ("return Wrong()", "answered 'perhaps' on the hold-out, which is not a label of 'target'"),
    ],
)
def test_an_estimator_that_fails_is_one_sentence(tmp_path: Path, body: str, said: str) -> None:
    path = tmp_path / "trainer.py"
    path.write_text(
        "from sklearn.linear_model import LogisticRegression\n\n\nclass Broken:\n    def predict(self, X):\n"
        "        return X\n    def fit(self, X, y):\n        raise RuntimeError('no')\n\n\nclass Wrong(Broken):\n"
        "    def fit(self, X, y):\n        pass\n    def predict(self, X):\n        return ['perhaps'] * len(X)\n\n\n"
        f"def make_model(contract):\n    {body}\n"
    )
    table = rows(60, "binary")
    with pytest.raises(ProjectInvalid, match=said):
        train(contract(), FileTrainer(path), table, table, seed=0, threads=1, snapshot={})


def test_the_commit_of_a_project_is_known_and_its_changes_are_marked(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    assert git_commit(tmp_path / "trainer.py") is None
    git("init", "--quiet")
    (tmp_path / "trainer.py").write_text("a = 1\n")
    (tmp_path / "other.py").write_text("")
    git("add", "trainer.py")
    git("commit", "--quiet", "-m", "one")
    commit = git_commit(tmp_path / "trainer.py")
    assert commit is not None
    assert len(commit) == 40
    assert git_commit(tmp_path / "other.py") is None
    (tmp_path / "trainer.py").write_text("a = 2\n")
    assert git_commit(tmp_path / "trainer.py") == f"{commit}-dirty"


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_a_version_keeps_its_hold_out_with_its_answers_and_knows_what_it_leans_on(
    trainer: FileTrainer, tmp_path: Path, ledger: SqlLedger, clock: ManualClock, task: str
) -> None:
    store, holdout = LocalModelStore(tmp_path / "models"), rows(120, task, seed=1)
    made = train(contract(task), trainer, rows(400, task), holdout, seed=0, snapshot={})
    version = versions.register(made.candidate, store, ledger, clock, "skops")
    kept = versions.load_holdout(version, store)
    assert kept is not None
    assert kept[LABEL].tolist() == holdout[LABEL].tolist()
    assert kept[versions.PREDICTION].tolist() == made.holdout.labels
    if task == "binary":
        assert kept[versions.PROBABILITY + "yes"].tolist() == made.holdout.probabilities["yes"]
    shares = versions.load_importance(version, store)
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=lambda name: shares[name]) == "size"
    assert shares["rooms"] < 0.1
