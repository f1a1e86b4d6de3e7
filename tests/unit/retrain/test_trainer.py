"""The project's own trainer: what it returns is used, what goes wrong in it is told with file and line."""

import hashlib
from pathlib import Path

import pytest

from lifecycle.errors import ProjectInvalid
from retrain.trainer import FileTrainer
from tests.builders import numeric_contract

RIDGE = "from sklearn.linear_model import Ridge\n\n\ndef make_model(contract):\n    return Ridge()\n"


def trainer(folder: Path, source: str) -> FileTrainer:
    path = folder / "trainer.py"
    path.write_text(source, encoding="utf-8")
    return FileTrainer(path)


def test_each_call_gives_a_fresh_estimator(tmp_path: Path) -> None:
    made = trainer(tmp_path, RIDGE)
    assert made.make_model(numeric_contract()) is not made.make_model(numeric_contract())


def test_a_changed_file_counts_at_once(tmp_path: Path) -> None:
    made = trainer(tmp_path, RIDGE)
    before = made.source_digest()
    assert before == hashlib.sha256(RIDGE.encode()).hexdigest()
    trainer(tmp_path, RIDGE.replace("Ridge()", "Ridge(alpha=2.0)"))
    assert made.source_digest() != before
    assert getattr(made.make_model(numeric_contract()), "alpha", None) == 2.0


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def make_model(contract:\n", r"trainer.py, line 1: .*never closed"),
        ("import nowhere_to_be_found\n", "trainer.py, line 1: ModuleNotFoundError"),
        ("def make_model(contract):\n    x = 1\n    return 1 / 0\n", "trainer.py, line 3: ZeroDivisionError"),
        ("def make_model():\n    return None\n", "trainer.py.*: TypeError"),
        ("model = 1\n", r"defines no function make_model\(contract\)"),
        ("def make_model(contract):\n    return None\n", "returned a NoneType, which is not an unfitted estimator"),
        (RIDGE.replace("Ridge()", "Ridge"), "returned the class Ridge"),
    ],
)
def test_a_broken_trainer_is_one_sentence_with_file_and_line(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(ProjectInvalid, match=said) as refusal:
        trainer(tmp_path, source).make_model(numeric_contract())
    assert "\n" not in str(refusal.value)


def test_a_missing_or_unreadable_trainer_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ProjectInvalid, match=r"cannot be read .* restore it"):
        FileTrainer(tmp_path / "trainer.py").source_digest()
    (tmp_path / "trainer.py").write_bytes(b"# caf\xe9\n")
    with pytest.raises(ProjectInvalid, match="cannot be read"):
        FileTrainer(tmp_path / "trainer.py").make_model(numeric_contract())
