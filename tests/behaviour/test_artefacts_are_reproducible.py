"""Equal rows, code and seed give the same artefact, whatever process makes it (R4)."""

import os
import subprocess
import sys
from pathlib import Path

MAKE = """
import hashlib, sys
from pathlib import Path
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from lifecycle import artefacts
random = np.random.default_rng(0)
rows = np.column_stack([random.choice(["x", "y", "z"], 200).astype(object), random.normal(size=200)])
labels = (rows[:, 1].astype(float) > 0).astype(str).astype(object)
columns = ColumnTransformer([("text", OrdinalEncoder(), [0])], remainder="passthrough")
model = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=5, categorical_features=[0], random_state=0))
name = artefacts.save(model.fit(rows, labels), Path(sys.argv[1]), "skops")
print(hashlib.sha256((Path(sys.argv[1]) / name).read_bytes()).hexdigest())
"""


def test_equal_models_are_equal_bytes_in_other_processes_with_other_hash_seeds(tmp_path: Path) -> None:
    assert _digest(tmp_path / "a", "1") == _digest(tmp_path / "b", "2")


def _digest(folder: Path, hash_seed: str) -> str:
    folder.mkdir()
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MAKE, str(folder)]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True).stdout
