"""The same model twice: as a project's first champion that Evenkeel trained, and as a joblib file for the peers."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from benchmarks.serving.cases import SEED, TARGET, Case
from evenkeel.infer import Wishes, infer
from evenkeel.read_source import read_source
from lifecycle import versions
from lifecycle.contract import Contract
from lifecycle.project import Project
from lifecycle.promotion import promote
from retrain.trainer import FileTrainer
from retrain.training import train


def make_project(case: Case, folder: Path) -> Contract:
    """`evenkeel init` in `folder`, its trainer replaced by the case's, and a version of that trained on every row.

    Returns the contract. The table stays beside the project as a CSV file.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    source = folder.with_suffix(".csv")
    case.table.to_csv(source, index=False)
    command = [
        sys.executable,
        "-m",
        "evenkeel",
        "init",
        str(folder),
        "--data",
        str(source),
        "--target",
        TARGET,
        "--json",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    shutil.copyfile(case.trainer, folder / "trainer.py")
    return _promote_trainer(folder, case)


def make_artefact(case: Case, contract: Contract, path: Path) -> list[int]:
    """Fit the case's estimator as the peers' documentation does, write it to `path`, and return its answer to every row.

    Numbers alone are given as a matrix, which scikit-learn answers several times faster than a frame.
    """
    estimator: Any = FileTrainer(case.trainer).make_model(contract)
    settings = {name: SEED for name in estimator.get_params() if name.split("__")[-1] == "random_state"}
    estimator.set_params(**settings)
    features = case.table[list(case.names)]
    given = features.to_numpy(dtype=np.float64) if case.is_matrix else features
    estimator.fit(given, case.table[TARGET].to_numpy())
    joblib.dump(estimator, path)
    return [int(label) for label in estimator.predict(given)]


def _promote_trainer(folder: Path, case: Case) -> Contract:
    project = Project.open(folder)
    inference = infer(read_source(folder.with_suffix(".csv")), Wishes(TARGET))
    if inference.contract.names != case.names:
        raise ValueError(f"the contract of {case.name} has other columns than its table: {inference.contract.names}")
    try:
        section = project.config.model
        rows = inference.rows
        trainer = FileTrainer(project.path / section.trainer)
        snapshot = {"kind": "benchmark", "name": case.name, "rows": len(rows)}
        trained = train(inference.contract, trainer, rows, rows, seed=SEED, snapshot=snapshot)
        made = versions.register(trained.candidate, project.store, project.ledger, project.clock, section.artefact)
        promote(
            project.ledger, project.store, project.clock, made.number, actor="benchmark", reason="the model to measure"
        )
    finally:
        project.ledger.close()
    return inference.contract
