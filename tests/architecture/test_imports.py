"""Who may import whom, and that imports are free of work. The checker is shown to catch each kind of offence."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.architecture.imports import violations

ROOT = Path(__file__).parents[2]
TRAINING = ("sklearn", "scipy", "pandas", "pyarrow", "onnx", "skl2onnx", "skops", "joblib")
HEAVY = ("evidently", "bentoml", "apprise", "alembic", "sklearn")

OFFENCES = {
    "a stage imports another": ("service/hot.py", "from monitoring import windows\n", "service must not import mon"),
    "the foundation imports a stage": ("lifecycle/x.py", "import retrain.gate\n", "lifecycle must not import retrain"),
    "a stage imports the front door": ("retrain/x.py", "from evenkeel.up import up\n", "must not import evenkeel"),
    "hidden in a function": (
        "service/x.py",
        "def f():\n    import retrain\n",
        "x.py:2 service must not import retrain",
    ),
    "by name": (
        "service/x.py",
        "import importlib\ndef f():\n    importlib.import_module('retrain.gate')\n",
        "service must not import retrain",
    ),
    "evidently elsewhere": (
        "monitoring/x.py",
        "from evidently import Report\n",
        "only monitoring/evidently_adapter.py",
    ),
    "bentoml elsewhere": ("evenkeel/x.py", "import bentoml\n", "only service/app.py imports bentoml"),
    "logic that wires": ("monitoring/x.py", "from lifecycle.project import Project\n", "only composition roots"),
    "a root imported": ("monitoring/x.py", "from . import __main__\n", "a composition root is imported"),
    "a call": ("service/x.py", "import logging\nlogging.basicConfig()\n", "something happens at import"),
    "a loop": ("service/x.py", "for x in (1, 2):\n    print(x)\n", "something happens at import"),
    "environment": ("service/x.py", "import os\nHOME = os.environ['HOME']\n", "the environment is read at import"),
    "environment in a default": ("service/x.py", "import os\ndef f(a=os.getenv('A')): ...\n", "environment is read"),
}
LAWFUL = {
    "monitoring/evidently_adapter.py": "import evidently\nfrom lifecycle import records\nfrom . import windows\n",
    "monitoring/__main__.py": "from lifecycle.project import Project\nfrom monitoring import windows\n"
    "def main() -> None:\n    import os\n    os.environ['A']\nif __name__ == '__main__':\n    main()\n",
    "evenkeel/up.py": "from lifecycle.project import Project\nimport service, monitoring, retrain\n",
    "service/app.py": '"""Opening."""\nimport bentoml\nLIMIT = 3\nclass A: ...\n',
}


def test_the_import_law_holds() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize("offence", OFFENCES)
def test_the_checker_catches_an_offence(offence: str, tmp_path: Path) -> None:
    name, source, expected = OFFENCES[offence]
    _tree(tmp_path, {**LAWFUL, name: source})
    found = violations(tmp_path)
    assert len(found) == 1
    assert expected in found[0]


def test_the_checker_accepts_a_lawful_tree(tmp_path: Path) -> None:
    _tree(tmp_path, LAWFUL)
    assert violations(tmp_path) == []


def test_the_foundation_loads_no_heavy_library() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "lifecycle").rglob("*.py"))
        if "migrations" not in path.parts
    ]
    assert _heavy_after("\n".join(f"import {name}" for name in names)) == []


def test_what_a_worker_answers_with_loads_no_training_library() -> None:
    program = "import lifecycle.models, lifecycle.model_store, lifecycle.runtimes.compiled\n"
    assert _heavy_after(program, TRAINING) == []
    assert _heavy_after("import lifecycle.versions\n", TRAINING) != []


def test_help_loads_no_heavy_library() -> None:
    program = "from evenkeel.__main__ import main\nsys.argv = ['evenkeel', '--help']\ntry:\n    main()\n"
    assert _heavy_after(program + "except SystemExit as end:\n    assert not end.code\n") == []


def test_the_watch_for_heavy_libraries_sees_one() -> None:
    assert _heavy_after("def f():\n    import alembic\nf()\n") == ["alembic"]


def _heavy_after(program: str, heavy: Sequence[str] = HEAVY) -> list[str]:
    report = f"\nprint('LOADED', *[name for name in {tuple(heavy)!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", "import sys\n" + program + report], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


def _tree(root: Path, files: dict[str, str]) -> None:
    for name, source in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source)
