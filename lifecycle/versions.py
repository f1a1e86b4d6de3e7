"""Model versions: what a version's folder holds, how one is registered, and the rows it was made from."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lifecycle import artefacts
from lifecycle.contract import Column, Columns, Contract
from lifecycle.importance import permutation_importance
from lifecycle.models import CONTRACT, GOLDEN, golden
from lifecycle.ports import Clock, ModelStore, Runtime, VersionLedger
from lifecycle.records import ModelVersion
from lifecycle.runtimes.estimator import EstimatorRuntime
from lifecycle.runtimes.facts import SCIKIT_LEARN, RuntimeChoice, RuntimeFacts

REFERENCE, HOLDOUT, TRAINER, IMPORTANCE = "reference.parquet", "holdout.parquet", "trainer.py", "importance.json"
GOLDEN_ROWS = 5
REFERENCE_ROWS, STRETCHES = 20_000, 20
LABEL, PREDICTION, SUBJECT, AT = "__label__", "__prediction__", "__subject__", "__at__"
PROBABILITY = "__probability__"
"""In front of a class's text: the column of the probabilities that a version gave it."""


@dataclass(frozen=True)
class Candidate:
    """All that a new version is made of, before it has a number.

    `reference` holds the features as the contract's kinds (one column each) with LABEL beside them, in stored form, and
    SUBJECT where the contract names whom a row is about: the token that the feature log has for them, or None. AT is beside
    them where it is known when a row was (microseconds since 1970). `holdout` are such rows that the estimator was not
    fitted on.
    """

    contract: Contract
    estimator: Any
    reference: pd.DataFrame
    trainer_source: str
    metrics: Mapping[str, float]
    lineage: Mapping[str, Any]
    parent: int | None
    holdout: pd.DataFrame | None = None


def register(
    candidate: Candidate,
    store: ModelStore,
    ledger: VersionLedger,
    clock: Clock,
    form: artefacts.Format,
    runtime: RuntimeChoice = "auto",
) -> ModelVersion:
    """Publish `candidate` under the next number and enter it in the ledger as a candidate.

    With `runtime` "auto" it will be served by its compiled form if that is proven to answer as scikit-learn does.
    """
    number = store.next_number()
    digest = store.publish(number, lambda folder: _fill(folder, candidate, form, runtime))
    version = ModelVersion(
        number=number,
        created_at=clock.now(),
        status="candidate",
        manifest_digest=digest,
        parent=candidate.parent,
        metrics=dict(candidate.metrics),
        lineage=dict(candidate.lineage),
    )
    ledger.register(version)
    return version


def load_reference(version: ModelVersion, store: ModelStore) -> pd.DataFrame:
    """The rows a version was trained on (a sample): contract columns, LABEL and PREDICTION, and SUBJECT if it is known."""
    frame: pd.DataFrame = pq.read_table(store.open(version.number, version.manifest_digest) / REFERENCE).to_pandas()
    return frame


def load_holdout(version: ModelVersion, store: ModelStore) -> pd.DataFrame | None:
    """Rows a version was not trained on (a sample), as `load_reference` gives them, and a PROBABILITY column for each class.

    None for a version that was registered without.
    """
    path = store.open(version.number, version.manifest_digest) / HOLDOUT
    if not path.is_file():
        return None
    frame: pd.DataFrame = pq.read_table(path).to_pandas()
    return frame


def load_importance(version: ModelVersion, store: ModelStore) -> dict[str, float]:
    """Feature -> its share of the version's importance (see `permutation_importance`); empty when it was not measured."""
    path = store.open(version.number, version.manifest_digest) / IMPORTANCE
    found: dict[str, float] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def load_contract(version: ModelVersion, store: ModelStore) -> Contract:
    """The contract a version answers under."""
    folder = store.open(version.number, version.manifest_digest)
    return Contract.model_validate_json((folder / CONTRACT).read_bytes())


def load_runtime_facts(version: ModelVersion, store: ModelStore) -> RuntimeFacts:
    """Which runtime serves a version, and why."""
    return RuntimeFacts.of(store.facts(version.number, version.manifest_digest))


def _fill(folder: Path, candidate: Candidate, form: artefacts.Format, choice: RuntimeChoice) -> dict[str, Any]:
    artefacts.save(candidate.estimator, folder, form)
    runtime = EstimatorRuntime(candidate.contract, candidate.estimator)
    names = list(candidate.contract.names)
    reference = _sampled(candidate.reference, candidate.contract)
    columns = _lists(reference[names])
    predictions, _ = runtime.predict(columns)
    _write_rows(reference.assign(**{PREDICTION: predictions}), folder / REFERENCE)
    if candidate.holdout is not None and len(candidate.holdout):
        _fill_holdout(folder, candidate, runtime)
    (folder / CONTRACT).write_text(candidate.contract.model_dump_json(indent=1))
    (folder / TRAINER).write_text(candidate.trainer_source)
    (folder / GOLDEN).write_text(json.dumps(golden(runtime, _lists(reference[names].head(GOLDEN_ROWS))), indent=1))
    return _runtime(folder, candidate, columns, choice).describe()


def rows_about(folder: Path, subject: str) -> int:
    """How many rows that a version keeps are about `subject`, a token; 0 where nobody knows whom they are about."""
    found = 0
    for path in _kept_rows(folder):
        if SUBJECT in pq.read_schema(path).names:
            found += int(pc.sum(pc.equal(pq.read_table(path, columns=[SUBJECT])[SUBJECT], subject)).as_py() or 0)
    return found


def forget_subject(folder: Path, subject: str, runtime: Callable[[], Runtime]) -> None:
    """Take the rows about `subject` out of the reference, the hold-out and the golden rows of the version in `folder`.

    Golden rows are the first of the reference, before as after. `runtime` is asked for only when none of them is left.
    """
    if (folder / HOLDOUT).is_file():
        _forget_in(folder / HOLDOUT, subject)
    kept, left = _forget_in(folder / REFERENCE, subject)
    content: dict[str, Any] = json.loads((folder / GOLDEN).read_text())
    count = len(content["predictions"])
    places = [place for place, keep in enumerate(kept.slice(0, count).to_pylist()) if keep]
    if places:
        content = {name: _at(value, places) for name, value in content.items()}
    else:
        contract = Contract.model_validate_json((folder / CONTRACT).read_bytes())
        rows = left.slice(0, GOLDEN_ROWS).select(list(contract.names)).to_pandas()
        content = golden(runtime(), _lists(rows) if len(rows) else _nobody(contract))
    (folder / GOLDEN).write_text(json.dumps(content, indent=1))


def _forget_in(path: Path, subject: str) -> tuple[pa.ChunkedArray, pa.Table]:
    """Which rows stay, and the rows that do."""
    table = pq.read_table(path)
    if SUBJECT not in table.column_names:
        return pa.chunked_array([pa.array([True] * len(table))]), table
    kept = pc.fill_null(pc.not_equal(table[SUBJECT], subject), True)
    left = table.filter(kept)
    _write_table(left, path)
    return kept, left


def _kept_rows(folder: Path) -> list[Path]:
    return [folder / name for name in (REFERENCE, HOLDOUT) if (folder / name).is_file()]


def _at(value: Any, places: Sequence[int]) -> Any:
    """Only these places of a list, or of every list of a mapping."""
    if isinstance(value, dict):
        return {name: _at(items, places) for name, items in value.items()}
    return [value[place] for place in places]


def _nobody(contract: Contract) -> dict[str, list[Any]]:
    """One row that is about nobody: the middle of what each column may hold."""
    return {column.name: [_middle(column)] for column in contract.columns}


def _middle(column: Column) -> float | bool | str | None:
    if column.kind == "boolean":
        return False
    if column.kind == "categorical":
        return column.categories[0] if column.categories else ""
    middle = ((column.minimum or 0.0) + (column.maximum or 0.0)) / 2
    return middle if column.kind == "numeric" else int(middle)


def _fill_holdout(folder: Path, candidate: Candidate, runtime: EstimatorRuntime) -> None:
    assert candidate.holdout is not None, "the caller looked"
    contract, holdout = candidate.contract, _sampled(candidate.holdout, candidate.contract)
    columns = _lists(holdout[list(contract.names)])
    predictions, probabilities = runtime.predict(columns)
    answers = {PREDICTION: predictions, **{PROBABILITY + name: values for name, values in probabilities.items()}}
    _write_rows(holdout.assign(**answers), folder / HOLDOUT)
    found = permutation_importance(contract, runtime, columns, holdout[LABEL].tolist())
    (folder / IMPORTANCE).write_text(json.dumps(found, indent=1))


def sampled_places(count: int, most: int, *, in_stretches: bool) -> npt.NDArray[np.intp]:
    """At most `most` of `count` places, evenly spread, ascending.

    `in_stretches` they come in STRETCHES runs of neighbours: of rows in order of time, only neighbours say how much traffic
    ordinarily changes within the time of a window.
    """
    if count <= most or not in_stretches:
        return np.linspace(0, count - 1, min(count, most)).astype(np.intp)
    length = most // STRETCHES
    starts = np.linspace(0, count - length, STRETCHES).astype(np.intp)
    return np.unique((starts[:, None] + np.arange(length)).ravel())


def _sampled(rows: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """At most REFERENCE_ROWS of them; see `sampled_places`."""
    if len(rows) <= REFERENCE_ROWS:
        return rows
    return rows.iloc[sampled_places(len(rows), REFERENCE_ROWS, in_stretches=contract.time is not None)]


def _write_rows(rows: pd.DataFrame, path: Path) -> None:
    _write_table(pa.Table.from_pandas(rows, preserve_index=False), path)


def _write_table(table: pa.Table, path: Path) -> None:
    if SUBJECT in table.column_names:  # text even where every row is about nobody
        place = table.column_names.index(SUBJECT)
        table = table.set_column(place, SUBJECT, table[SUBJECT].cast(pa.string()))
    pq.write_table(table, path, write_page_checksum=True)


def _runtime(folder: Path, candidate: Candidate, columns: Columns, choice: RuntimeChoice) -> RuntimeFacts:
    if choice == SCIKIT_LEARN:
        return RuntimeFacts(SCIKIT_LEARN, 'the configuration asks for it: runtime = "sklearn" under [model]')
    from lifecycle.compilation.choice import choose  # here, because it loads onnx

    return choose(candidate.contract, candidate.estimator, columns, folder)


def _lists(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Columns as plain Python values, every kind of missing as None."""
    return {str(name): [None if pd.isna(value) else value for value in frame[name].tolist()] for name in frame.columns}
