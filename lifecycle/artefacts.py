"""Fitted estimators on disk. The default form is skops, opened against an allow-list of types, so no code runs.

Opening a skops file calls what it names, so a name is allowed only if nothing it can be asked to do does harm: classes of
the parts of scikit-learn that fit and predict, functions that only compute, and a few by name. Joblib (a pickle) exists for
estimators of other libraries and only by the explicit setting `[model] artefact`.
"""

import importlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from lifecycle.errors import ArtefactRejected, ProjectInvalid

Format = Literal["skops", "joblib"]
SCHEMA = "schema.json"
# fmt: off
PARTS = frozenset({
    "_loss", "base", "calibration", "cluster", "compose", "covariance", "cross_decomposition", "decomposition",
    "discriminant_analysis", "dummy", "ensemble", "feature_extraction", "feature_selection", "frozen",
    "gaussian_process", "impute", "isotonic", "kernel_approximation", "kernel_ridge", "linear_model", "manifold",
    "metrics", "mixture", "model_selection", "multiclass", "multioutput", "naive_bayes", "neighbors",
    "neural_network", "pipeline", "preprocessing", "random_projection", "semi_supervised", "svm", "tree",
})
# fmt: on
"""The parts of scikit-learn whose classes only keep and compute; others read, write or delete files."""
PURE = frozenset(
    {
        "sklearn.cluster._kmeans",
        "sklearn.feature_selection._mutual_info",
        "sklearn.feature_selection._univariate_selection",
        "sklearn.metrics._classification",
        "sklearn.metrics._ranking",
        "sklearn.metrics._regression",
        "sklearn.preprocessing._data",
    }
)
"""Modules whose functions only compute."""
ALLOWED = frozenset(
    {
        "functools.partial",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils._metadata_requests.MetadataRequest",
        "sklearn.utils._metadata_requests.MethodMetadataRequest",
        "sklearn.utils.validation.check_array",
        "numpy.dtype",
        *(f"numpy.{name}" for name in ("clip", "max", "mean", "median", "min", "nan_to_num", "prod", "round", "sum")),
        *(
            f"scipy.sparse._{form}.{form}_{kind}"
            for form in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
            for kind in ("array", "matrix")
        ),
    }
)
LARGEST_BYTES = 2**30
"""Of the compressed parts of an artefact, together, when they are unpacked."""


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
    if refused := _refused(path.read_bytes()):
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


def load(path: Path, *, pickles: bool = False) -> Any:
    """The estimator in `path`, whose digest the caller has verified; a pickle only if `pickles` allows it.

    Raises ArtefactRejected when it may not be opened.
    """
    if path.suffix == ".joblib":
        if not pickles:
            raise ArtefactRejected(
                f"{path.name} is a pickle, which can run any code when it is opened; if you trust it, accept pickles with "
                'artefact = "joblib" under [model] in evenkeel.toml'
            )
        import joblib

        return joblib.load(path)
    import skops.io

    content = path.read_bytes()
    _check_sizes(content)
    if refused := _refused(content):
        raise ArtefactRejected(f"{path.name} contains types that are not allowed: {', '.join(refused)}")
    return skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content))


def _check_sizes(content: bytes) -> None:
    """Raises ArtefactRejected for an archive that unpacks into much more than it is.

    The archive itself is not compressed; the sparse matrices in it are archives that may be.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or _unpacked(entries) > len(content):
            raise ArtefactRejected(
                "the model's archive is compressed, which the product's own never is; re-register it"
            )
        inner = 0
        for entry in entries:
            if entry.filename.endswith(".npz"):
                with zipfile.ZipFile(io.BytesIO(archive.read(entry))) as matrix:
                    inner += _unpacked(matrix.infolist())
    if inner > LARGEST_BYTES:
        raise ArtefactRejected(f"the model's matrices would unpack into {inner} bytes; re-register it")


def _unpacked(entries: Sequence[zipfile.ZipInfo]) -> int:
    return sum(entry.file_size for entry in entries)


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


def _refused(content: bytes) -> list[str]:
    import skops.io

    return [name for name in skops.io.get_untrusted_types(data=content) if not _is_allowed(name)]


def _is_allowed(name: str) -> bool:
    """Whether `name` is listed, or is what a module of scikit-learn itself defines: a class of PARTS, or a function of PURE."""
    if name in ALLOWED:
        return True
    module, _, own = name.rpartition(".")
    top, *parts = module.split(".")
    if top != "sklearn" or not parts or parts[0] not in PARTS or "tests" in parts:
        return False
    try:
        found = getattr(importlib.import_module(module), own)
    except (ImportError, AttributeError):
        return False
    return getattr(found, "__module__", None) == module and (isinstance(found, type) or module in PURE)
