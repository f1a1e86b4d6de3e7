"""Fitted estimators on disk. The default form is skops, opened against an allow-list of types, so no code runs.

Joblib (a pickle) exists for estimators of other libraries and only by the explicit setting `[model] artefact`.
"""

from pathlib import Path
from typing import Any, Literal

from lifecycle.errors import ArtefactRejected, ProjectInvalid

Format = Literal["skops", "joblib"]
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
    if refused := _refused(path):
        raise ProjectInvalid(
            f"the trained model contains {', '.join(refused)}, which the safe model format does not hold; build it from "
            'scikit-learn parts, or accept pickles with artefact = "joblib" under [model] in evenkeel.toml'
        )
    return path.name


def load(path: Path) -> Any:
    """The estimator in `path`, whose digest the caller has verified. Raises ArtefactRejected when it cannot be opened."""
    if path.suffix == ".joblib":
        import joblib

        return joblib.load(path)
    import skops.io

    if refused := _refused(path):
        raise ArtefactRejected(f"{path.name} contains types that are not allowed: {', '.join(refused)}")
    return skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))


def _refused(path: Path) -> list[str]:
    import skops.io

    unknown = skops.io.get_untrusted_types(file=path)
    return [name for name in unknown if name not in ALLOWED_TYPES and not name.startswith(ALLOWED_PREFIXES)]
