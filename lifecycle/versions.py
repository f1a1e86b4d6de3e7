"""Model versions: what a version's folder holds, how one is registered, and the rows it was made from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle import artefacts
from lifecycle.contract import Columns, Contract
from lifecycle.models import CONTRACT, GOLDEN, golden
from lifecycle.ports import Clock, ModelStore, VersionLedger
from lifecycle.records import ModelVersion
from lifecycle.runtimes.estimator import EstimatorRuntime
from lifecycle.runtimes.facts import SCIKIT_LEARN, RuntimeChoice, RuntimeFacts

REFERENCE, TRAINER = "reference.parquet", "trainer.py"
GOLDEN_ROWS = 5
REFERENCE_ROWS = 20_000
LABEL, PREDICTION = "__label__", "__prediction__"


@dataclass(frozen=True)
class Candidate:
    """All that a new version is made of, before it has a number.

    `reference` holds the features as the contract's kinds (one column each) with LABEL beside them, in stored form.
    """

    contract: Contract
    estimator: Any
    reference: pd.DataFrame
    trainer_source: str
    metrics: Mapping[str, float]
    lineage: Mapping[str, Any]
    parent: int | None


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
    """The rows a version was trained on (a sample): contract columns, LABEL and PREDICTION."""
    frame: pd.DataFrame = pq.read_table(store.open(version.number, version.manifest_digest) / REFERENCE).to_pandas()
    return frame


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
    reference = candidate.reference
    if len(reference) > REFERENCE_ROWS:
        reference = reference.iloc[np.linspace(0, len(reference) - 1, REFERENCE_ROWS).astype(int)]
    names = list(candidate.contract.names)
    columns = _lists(reference[names])
    predictions, _ = runtime.predict(columns)
    table = pa.Table.from_pandas(reference.assign(**{PREDICTION: predictions}), preserve_index=False)
    pq.write_table(table, folder / REFERENCE, write_page_checksum=True)
    (folder / CONTRACT).write_text(candidate.contract.model_dump_json(indent=1))
    (folder / TRAINER).write_text(candidate.trainer_source)
    (folder / GOLDEN).write_text(json.dumps(golden(runtime, _lists(reference[names].head(GOLDEN_ROWS))), indent=1))
    return _runtime(folder, candidate, columns, choice).describe()


def _runtime(folder: Path, candidate: Candidate, columns: Columns, choice: RuntimeChoice) -> RuntimeFacts:
    if choice == SCIKIT_LEARN:
        return RuntimeFacts(SCIKIT_LEARN, 'the configuration asks for it: runtime = "sklearn" under [model]')
    from lifecycle.compilation.choice import choose  # here, because it loads onnx

    return choose(candidate.contract, candidate.estimator, columns, folder)


def _lists(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Columns as plain Python values, every kind of missing as None."""
    return {str(name): [None if pd.isna(value) else value for value in frame[name].tolist()] for name in frame.columns}
