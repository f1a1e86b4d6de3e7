"""The parts of a version's lineage that are read off the machine: installed packages and the project's commit."""

import hashlib
import shutil
import subprocess
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path

GIT_SECONDS = 10


@lru_cache(maxsize=1)
def environment_digest() -> str:
    """SHA-256 over the sorted `name==version` of every installed distribution."""
    found = {f"{(item.metadata['Name'] or '').lower()}=={item.version}" for item in distributions()}
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()


def git_commit(file: Path) -> str | None:
    """The commit checked out around `file`, with `-dirty` when tracked files of its folder differ; None if not tracked."""
    git = shutil.which("git")
    if git is None or _output(git, file.parent, "ls-files", "--error-unmatch", "--", file.name) is None:
        return None
    commit = _output(git, file.parent, "rev-parse", "HEAD")
    changed = _output(git, file.parent, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return f"{commit}-dirty" if commit and changed else commit


def _output(git: str, folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            [git, "-C", str(folder), *arguments], capture_output=True, text=True, timeout=GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
