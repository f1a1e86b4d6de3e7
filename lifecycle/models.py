"""A version loaded to answer: verified, opened by the runtime that its manifest names, and asked its golden rows.

A version loads only if every digest holds, the artefact opens, and it answers its golden rows as it did when it was
registered; anything else raises ArtefactRejected. This module and what it imports stay light: workers live on it.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle.contract import Columns, Contract
from lifecycle.errors import ArtefactRejected, EvenkeelError
from lifecycle.ports import ModelStore, Runtime
from lifecycle.records import LogSchema, ModelVersion
from lifecycle.runtimes.compiled import CompiledRuntime
from lifecycle.runtimes.facts import COMPILED, RuntimeFacts

CONTRACT, GOLDEN = "contract.json", "golden.json"
GOLDEN_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Model:
    """A version that answers: `runtime` behind `contract`. Immutable; a swap replaces the whole object."""

    number: int
    contract: Contract
    runtime: Runtime

    @property
    def schema(self) -> LogSchema:
        return LogSchema.of(self.number, self.contract)


def load(version: ModelVersion, store: ModelStore) -> Model:
    """The verified, warmed-up model of `version`. Raises ArtefactRejected when it is not what was registered."""
    try:
        folder = store.open(version.number, version.manifest_digest)
        contract = Contract.model_validate_json((folder / CONTRACT).read_bytes())
        facts = RuntimeFacts.of(store.facts(version.number, version.manifest_digest))
        model = Model(version.number, contract, open_runtime(folder, contract, facts, pickles=store.pickles))
        _check_golden(model, json.loads((folder / GOLDEN).read_text()))
    except EvenkeelError:
        raise
    except Exception as error:  # whatever a damaged artefact can raise means one thing: it must not go live
        raise ArtefactRejected(
            f"version {version.number} cannot be loaded ({type(error).__name__}: {error}); re-register it or roll back"
        ) from error
    return model


def open_runtime(folder: Path, contract: Contract, facts: RuntimeFacts, *, pickles: bool = False) -> Runtime:
    """The runtime that the manifest of the version in `folder` names; the caller has verified the folder's digests.

    A pickle is opened only if `pickles` allows it.
    """
    if facts.name == COMPILED:
        return CompiledRuntime.open(folder, contract)
    from lifecycle import artefacts  # here, so that a process that serves a compiled model never loads scikit-learn
    from lifecycle.runtimes.estimator import EstimatorRuntime

    return EstimatorRuntime(contract, artefacts.load(artefacts.find(folder), pickles=pickles))


def golden(runtime: Runtime, columns: Columns) -> dict[str, Any]:
    """Rows with the answers that a version gives for them when it is registered."""
    predictions, probabilities = runtime.predict(columns)
    return {"columns": columns, "predictions": predictions, "probabilities": probabilities}


def _check_golden(model: Model, golden: Mapping[str, Any]) -> None:
    expected, scores = golden["predictions"], golden["probabilities"]
    if not expected:
        raise ArtefactRejected(f"version {model.number} has no golden rows to answer; re-register it or roll back")
    predictions, probabilities = model.runtime.predict(golden["columns"])
    if model.contract.target.is_regression:
        same = _close(predictions, expected)
    else:
        same = (
            predictions == expected
            and probabilities.keys() == scores.keys()
            and all(_close(probabilities[name], values) for name, values in scores.items())
        )
    if not same:
        raise ArtefactRejected(
            f"version {model.number} does not answer its golden rows as it did when registered; check that the "
            "installed libraries are the locked ones, or re-register it"
        )


def _close(found: Sequence[float], expected: Sequence[float]) -> bool:
    return len(found) == len(expected) and all(
        math.isclose(one, other, rel_tol=GOLDEN_TOLERANCE, abs_tol=GOLDEN_TOLERANCE)
        for one, other in zip(found, expected, strict=True)
    )
