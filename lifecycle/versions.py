"""Model versions in use: what a version's folder holds, how one is registered, and how one is loaded to answer.

A version loads only if every digest holds, the artefact opens, and it answers its golden rows as it did when it was
registered; anything else raises ArtefactRejected.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle import artefacts
from lifecycle.contract import Contract
from lifecycle.errors import ArtefactRejected
from lifecycle.ports import Clock, ModelStore, VersionLedger
from lifecycle.records import LogSchema, ModelVersion

REFERENCE, CONTRACT, GOLDEN, TRAINER = "reference.parquet", "contract.json", "golden.json", "trainer.py"
GOLDEN_ROWS = 5
GOLDEN_TOLERANCE = 1e-6
REFERENCE_ROWS = 20_000
LABEL, PREDICTION = "__label__", "__prediction__"


@dataclass(frozen=True)
class Model:
    """A version that answers: `estimator` behind `contract`. Immutable; a swap replaces the whole object."""

    number: int
    contract: Contract
    estimator: Any

    @property
    def schema(self) -> LogSchema:
        return LogSchema.of(self.number, self.contract)

    def predict(self, frame: pd.DataFrame) -> tuple[list[Any], dict[str, npt.NDArray[np.float64]]]:
        """Stored labels for the rows of `frame`, and each class's probability (empty when the model has none)."""
        if self.contract.target.is_regression:
            return [float(value) for value in self.estimator.predict(frame)], {}
        if not hasattr(self.estimator, "predict_proba"):
            return [str(value) for value in self.estimator.predict(frame)], {}
        known = [str(name) for name in self.estimator.classes_]
        values = np.asarray(self.estimator.predict_proba(frame), dtype=np.float64)
        labels = [known[index] for index in values.argmax(axis=1)]
        nothing = np.zeros(len(frame))
        return labels, {
            name: values[:, known.index(name)] if name in known else nothing
            for name in self.contract.target.class_texts
        }


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
    candidate: Candidate, store: ModelStore, ledger: VersionLedger, clock: Clock, form: artefacts.Format
) -> ModelVersion:
    """Publish `candidate` under the next number and enter it in the ledger as a candidate."""
    number = store.next_number()
    digest = store.publish(number, lambda folder: _fill(folder, candidate, number, form))
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


def load(version: ModelVersion, store: ModelStore) -> Model:
    """The verified, warmed-up model of `version`. Raises ArtefactRejected when it is not what was registered."""
    folder = store.open(version.number, version.manifest_digest)
    files = [path for path in folder.iterdir() if path.stem == "model"]
    try:
        contract = Contract.model_validate_json((folder / CONTRACT).read_bytes())
        model = Model(version.number, contract, artefacts.load(files[0]))
        _check_golden(model, json.loads((folder / GOLDEN).read_text()))
    except ArtefactRejected:
        raise
    except Exception as error:  # whatever a damaged artefact can raise means one thing: it must not go live
        raise ArtefactRejected(
            f"version {version.number} cannot be loaded ({type(error).__name__}: {error}); re-register it or roll back"
        ) from error
    return model


def load_reference(version: ModelVersion, store: ModelStore) -> pd.DataFrame:
    """The rows a version was trained on (a sample): contract columns, LABEL and PREDICTION."""
    frame: pd.DataFrame = pq.read_table(store.open(version.number, version.manifest_digest) / REFERENCE).to_pandas()
    return frame


def load_contract(version: ModelVersion, store: ModelStore) -> Contract:
    """The contract a version answers under."""
    folder = store.open(version.number, version.manifest_digest)
    return Contract.model_validate_json((folder / CONTRACT).read_bytes())


def _fill(folder: Path, candidate: Candidate, number: int, form: artefacts.Format) -> None:
    artefacts.save(candidate.estimator, folder, form)
    model = Model(number, candidate.contract, candidate.estimator)
    reference = candidate.reference
    if len(reference) > REFERENCE_ROWS:
        reference = reference.iloc[np.linspace(0, len(reference) - 1, REFERENCE_ROWS).astype(int)]
    names = list(candidate.contract.names)
    predictions, _ = model.predict(candidate.contract.frame(_lists(reference[names])))
    table = pa.Table.from_pandas(reference.assign(**{PREDICTION: predictions}), preserve_index=False)
    pq.write_table(table, folder / REFERENCE, write_page_checksum=True)
    (folder / CONTRACT).write_text(candidate.contract.model_dump_json(indent=1))
    (folder / TRAINER).write_text(candidate.trainer_source)
    (folder / GOLDEN).write_text(json.dumps(_golden(model, reference[names].head(GOLDEN_ROWS)), indent=1))


def _golden(model: Model, rows: pd.DataFrame) -> dict[str, Any]:
    columns = _lists(rows)
    predictions, probabilities = model.predict(model.contract.frame(columns))
    scores = {name: values.tolist() for name, values in probabilities.items()}
    return {"columns": columns, "predictions": predictions, "probabilities": scores}


def _check_golden(model: Model, golden: dict[str, Any]) -> None:
    predictions, probabilities = model.predict(model.contract.frame(golden["columns"]))
    expected, scores = golden["predictions"], golden["probabilities"]
    if model.contract.target.is_regression:
        same = np.allclose(predictions, expected, rtol=GOLDEN_TOLERANCE)
    else:
        same = predictions == expected and all(
            np.allclose(probabilities[name], values, atol=GOLDEN_TOLERANCE) for name, values in scores.items()
        )
    if not same:
        raise ArtefactRejected(
            f"version {model.number} does not answer its golden rows as it did when registered; check that the "
            "installed libraries are the locked ones, or re-register it"
        )


def _lists(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Columns as plain Python values, every kind of missing as None."""
    return {str(name): [None if pd.isna(value) else value for value in frame[name].tolist()] for name in frame.columns}
