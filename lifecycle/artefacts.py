"""Fitted estimators on disk. The default form is skops, opened against an allow-list of types, so no code runs.

Joblib (a pickle) exists for estimators of other libraries and only by the explicit setting `[model] artefact`.
"""

import json
import zipfile
from pathlib import Path
from typing import Any, Literal, get_args

from lifecycle.errors import ArtefactRejected, ProjectInvalid

Format = Literal["skops", "joblib"]
SCHEMA = "schema.json"
ALLOWED_PREFIXES = ("sklearn.", "numpy.", "scipy.sparse.")
ALLOWED_TYPES = frozenset({"functools.partial"})


def save(estimator: object, folder: Path, form: Format) -> str:
    """Write `estimator` into `folder`; returns the file's name. Raises ProjectInvalid for a type skops may not hold."""
    path = folder / f"model.{form}"
    if form == "joblib":
        import joblib

        joblib.dump(estimator, path)
        return path.name
    import skops.io

    skops.io.dump(estimator, path)
    _settle(path)
    if refused := _refused(path):
        raise ProjectInvalid(
            f"the trained model contains {', '.join(refused)}, which the safe model format does not hold; build it from "
            'scikit-learn parts, or accept pickles with artefact = "joblib" under [model] in evenkeel.toml'
        )
    return path.name


def find(folder: Path) -> Path:
    """The file in `folder` that holds the fitted estimator. Raises ArtefactRejected when there is none."""
    for form in get_args(Format):
        if (path := folder / f"model.{form}").exists():
            return path
    raise ArtefactRejected("there is no fitted estimator among the version's files; re-register it or roll back")


def load(path: Path) -> Any:
    """The estimator in `path`, whose digest the caller has verified. Raises ArtefactRejected when it cannot be opened."""
    if path.suffix == ".joblib":
        import joblib

        return joblib.load(path)
    import skops.io

    if refused := _refused(path):
        raise ArtefactRejected(f"{path.name} contains types that are not allowed: {', '.join(refused)}")
    return skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))


def _settle(path: Path) -> None:
    """Rewrite a skops file so that equal estimators give equal bytes.

    skops names its parts by where objects lay in memory, and stamps them with the time; here they are numbered in the
    order in which the schema mentions them, and have one date.
    """
    with zipfile.ZipFile(path) as archive:
        schema = json.loads(archive.read(SCHEMA))
        parts = {name: archive.read(name) for name in archive.namelist() if name != SCHEMA}
    numbers: dict[int, int] = {}
    _number(schema, numbers)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(SCHEMA), json.dumps(schema))
        for name in sorted(parts, key=lambda name: numbers[int(Path(name).stem)]):
            archive.writestr(zipfile.ZipInfo(_renamed(name, numbers)), parts[name])


def _number(node: Any, numbers: dict[int, int]) -> None:
    """Replace the ids below `node`, in order of appearance, and the names of the files that carry them."""
    if isinstance(node, list):
        for item in node:
            _number(item, numbers)
    elif isinstance(node, dict):
        if "__id__" in node:
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
        if "file" in node:
            numbers.setdefault(int(Path(node["file"]).stem), len(numbers) + 1)
            node["file"] = _renamed(node["file"], numbers)
        for value in node.values():
            _number(value, numbers)


def _renamed(name: str, numbers: dict[int, int]) -> str:
    return f"{numbers[int(Path(name).stem)]}{Path(name).suffix}"


def _refused(path: Path) -> list[str]:
    import skops.io

    unknown = skops.io.get_untrusted_types(file=path)
    return [name for name in unknown if name not in ALLOWED_TYPES and not name.startswith(ALLOWED_PREFIXES)]
