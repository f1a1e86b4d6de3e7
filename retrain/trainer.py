"""The trainer of a project: its own `trainer.py`, read from a path and run only when a model is to be trained.

Whatever goes wrong in that file becomes one ProjectInvalid that names the file and the line.
"""

import hashlib
import traceback
from pathlib import Path
from types import CodeType
from typing import Any

from lifecycle.contract import Contract
from lifecycle.errors import ProjectInvalid
from lifecycle.ports import Estimator

FUNCTION = "make_model"


class FileTrainer:
    """A `lifecycle.ports.Trainer` over a Python file that defines `make_model(contract)`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def source(self) -> str:
        """The text of the file. Raises ProjectInvalid when it cannot be read."""
        try:
            return self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ProjectInvalid(
                f"the trainer {self.path} cannot be read ({error}); restore it, or name another file as trainer under "
                "[model] in evenkeel.toml"
            ) from error

    def source_digest(self) -> str:
        """SHA-256 of the file's text."""
        return hashlib.sha256(self.source().encode()).hexdigest()

    def make_model(self, contract: Contract) -> Estimator:
        """A fresh, unfitted estimator. Raises ProjectInvalid with file and line when the user's code cannot make one."""
        code = self._compiled()
        names: dict[str, Any] = {"__name__": "trainer", "__file__": str(self.path)}
        try:
            exec(code, names)  # noqa: S102 - running the project's own trainer is what this class is for
            function = names.get(FUNCTION)
            estimator = function(contract) if callable(function) else None
        except Exception as error:  # the file is the user's: anything it raises is told as their file and line
            raise ProjectInvalid(f"{self._where(error)}: {described(error)}; correct it and run again") from error
        if not callable(function):
            raise ProjectInvalid(
                f"{self.path.name} defines no function {FUNCTION}(contract); add one that returns an unfitted estimator"
            )
        return self._checked(estimator)

    def blame(self, error: Exception) -> str:
        """Where in the trainer's file `error` arose, or the file's name when it arose in a library it uses."""
        return self._where(error)

    def _compiled(self) -> CodeType:
        try:
            return compile(self.source(), str(self.path), "exec")
        except (SyntaxError, ValueError) as error:
            line = error.lineno if isinstance(error, SyntaxError) else 1
            problem = error.msg if isinstance(error, SyntaxError) else str(error)
            raise ProjectInvalid(f"{self.path.name}, line {line}: {problem}; correct it and run again") from error

    def _where(self, error: Exception) -> str:
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(self.path)
        ]
        return f"{self.path.name}, line {lines[-1]}" if lines else self.path.name

    def _checked(self, estimator: Any) -> Estimator:
        lacking = [name for name in ("fit", "predict") if not callable(getattr(estimator, name, None))]
        if lacking or isinstance(estimator, type):
            found = (
                f"the class {estimator.__name__}" if isinstance(estimator, type) else f"a {type(estimator).__name__}"
            )
            raise ProjectInvalid(
                f"{FUNCTION} in {self.path.name} returned {found}, which is not an unfitted estimator; return an object "
                "with fit and predict, such as a scikit-learn pipeline"
            )
        made: Estimator = estimator
        return made


def described(error: Exception) -> str:
    """The error's type and the first line of its text."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
