"""The plug points: small protocols that logic depends on and adapters fulfil.

Each line under a protocol is an obligation; `tests/contract/` holds every implementation to them.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lifecycle.contract import Columns, Contract
from lifecycle.records import (
    Alert,
    Calibration,
    Delivery,
    Erasure,
    FoldStatus,
    Key,
    Label,
    Lease,
    LogSchema,
    ModelVersion,
    Move,
    Pointer,
    PredictionBatch,
    RetrainRun,
    Verdict,
    VersionStatus,
    Worker,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd


class Clock(Protocol):
    """The time, and waiting for it to pass."""

    def now(self) -> int:
        """Microseconds since 1970, UTC."""

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait until `stop` is set (True) or `seconds` have passed (False)."""


class FeatureLog(Protocol):
    """The append side of the feature log.

    Appending returns None when the record is as durable as was configured, and otherwise a future that is done once it is;
    both raise StoreUnavailable when it cannot be, and then nothing of it is kept.
    """

    def append_predictions(self, batch: PredictionBatch, schema: LogSchema) -> Future[None] | None:
        """Takes the rows of one answered request."""

    def append_labels(self, labels: list[Label]) -> Future[None] | None:
        """Takes the labels of one request."""

    def seal_if_old(self) -> None:
        """Hands over what has waited long enough; cheap when there is nothing."""

    def close(self) -> None:
        """Hands over all; calling it twice is harmless."""


class Estimator(Protocol):
    """What a trainer returns: scikit-learn's own interface."""

    def fit(self, X: "pd.DataFrame", y: "npt.NDArray[Any]") -> Any:
        """Fits in place on a frame in the contract's order."""

    def predict(self, X: "pd.DataFrame") -> "npt.NDArray[Any]":
        """One stored label per row (float, or class text)."""


class Trainer(Protocol):
    """Makes an unfitted estimator for a contract."""

    def make_model(self, contract: Contract) -> Estimator:
        """A fresh, unfitted estimator each time; raises ProjectInvalid when the user's code cannot."""

    def source_digest(self) -> str:
        """SHA-256 of what determines the estimator."""


class DriftScorer(Protocol):
    """Scores one column of a window against the reference."""

    def score(self, reference: "pd.Series", current: "pd.Series", method: str) -> float:
        """A distance, 0 when alike; raises ValueError in words when the column cannot be scored."""


class AlertSink(Protocol):
    """Delivers messages to one target."""

    def send(self, target: str, title: str, body: str, key: str) -> None:
        """Returns once the target has taken the message; raises DeliveryFailed without secrets otherwise."""


class Launcher(Protocol):
    """Runs retrain jobs somewhere."""

    def start(self, run: str) -> None:
        """Starts the job for this run and returns at once."""

    def poll(self) -> None:
        """Collects jobs that ended and ends those over their time."""

    def stop(self) -> None:
        """Ends every job it started; none is left behind."""


class ModelStore(Protocol):
    """Immutable version folders."""

    @property
    def pickles(self) -> bool:
        """Whether fitted models may be opened that are pickles, which can run any code."""

    def publish(self, number: int, fill: Callable[[Path], Mapping[str, Any] | None]) -> str:
        """All of a version or nothing: `fill` writes into a folder that appears whole; returns the manifest's digest.

        What `fill` returns is kept in the manifest.
        """

    def open(self, number: int, manifest_digest: str) -> Path:
        """The verified folder; raises ArtefactRejected when any byte differs from what was published."""

    def facts(self, number: int, manifest_digest: str) -> Mapping[str, Any]:
        """What `fill` returned, from the verified manifest; raises ArtefactRejected as `open` does."""

    def next_number(self) -> int:
        """A number greater than every one published."""


class VersionLedger(Protocol):
    """Registered model versions."""

    def register(self, version: ModelVersion) -> None:
        """Once per number; a second registration raises Conflict."""

    def version(self, number: int) -> ModelVersion | None:
        """The version, or None."""

    def versions(self) -> list[ModelVersion]:
        """All, newest first."""

    def set_status(self, number: int, status: VersionStatus) -> None:
        """Changes only the status."""


class PointerLedger(Protocol):
    """The champion pointer."""

    def pointer(self) -> Pointer:
        """As it is now."""

    def stage(self, version: int | None) -> None:
        """Names the version that is to follow, or none; forgets earlier acknowledgements of it."""

    def flip(self, version: int, expected_generation: int, actor: str, reason: str, at: int) -> int:
        """Moves the pointer and returns the new generation; raises Conflict when it had moved already."""

    def moves(self, limit: int = 50) -> list[Move]:
        """The latest moves, newest first."""


class WorkerLedger(Protocol):
    """Serving processes, and what they say of a staged version."""

    def report(self, worker: Worker) -> None:
        """Insert or update by id."""

    def workers(self, since: int) -> list[Worker]:
        """Those with a heartbeat at or after `since`."""

    def acknowledge(self, worker: str, version: int, problem: str | None, at: int) -> None:
        """The latest word of a worker on a staged version; `problem` None means ready."""

    def acknowledgements(self, version: int) -> Mapping[str, str | None]:
        """Worker id -> problem or None."""


class VerdictLedger(Protocol):
    """Windows and their verdicts."""

    def save(self, verdict: Verdict) -> None:
        """Insert or replace by window start."""

    def latest(self, limit: int) -> list[Verdict]:
        """The newest windows, newest first."""

    def verdict(self, start: int) -> Verdict | None:
        """The one window, or None."""


class CalibrationLedger(Protocol):
    """What the thresholds of references are derived from."""

    def save_calibration(self, calibration: Calibration) -> None:
        """Insert or replace by key."""

    def calibration(self, key: str) -> Calibration | None:
        """The one of this key, or None."""

    def calibrations(self, version: int) -> list[Calibration]:
        """All of a version, newest first."""


class AlertLedger(Protocol):
    """Alerts and the outbox of their deliveries."""

    def save_alert(self, alert: Alert, deliveries: Sequence[Delivery]) -> None:
        """The alert's new state and its deliveries, in one transaction."""

    def alerts(self, *, only_open: bool, limit: int = 100) -> list[Alert]:
        """Newest first."""

    def due(self, now: int, attempts: int) -> list[Delivery]:
        """Undelivered, not yet given up, whose time has come; oldest first."""

    def settle(self, key: str, *, delivered: bool, next_attempt_at: int, error: str | None) -> None:
        """The outcome of one attempt."""


class RunLedger(Protocol):
    """Retrain runs."""

    def save_run(self, run: RetrainRun) -> None:
        """Insert or replace by id."""

    def run(self, identifier: str) -> RetrainRun | None:
        """The run, or None."""

    def runs(self, limit: int = 50) -> list[RetrainRun]:
        """Newest first."""


class LeaseLedger(Protocol):
    """Named rights that expire."""

    def acquire(self, name: str, holder: str, now: int, seconds: float) -> Lease | None:
        """Takes or renews the lease; None while another holder's has not expired."""

    def release(self, name: str, holder: str) -> None:
        """Gives the lease up if `holder` has it."""

    def lease(self, name: str) -> Lease | None:
        """The lease as it stands, expired or not."""


class FoldLedger(Protocol):
    """What the folder last saw."""

    def save_fold(self, status: FoldStatus) -> None:
        """Replaces the last."""

    def fold_status(self) -> FoldStatus | None:
        """The last, or None before the first fold."""


class ErasureLedger(Protocol):
    """Erasures, asked for and done."""

    def save_erasure(self, erasure: Erasure) -> None:
        """Insert or replace by id; what is replaced leaves no trace in the store."""

    def erasures(self) -> list[Erasure]:
        """All, in the order they were asked for."""


class KeyLedger(Protocol):
    """API keys, without their secrets."""

    def add_key(self, key: Key) -> None:
        """Once per id; a second raises Conflict."""

    def api_keys(self) -> list[Key]:
        """All that were ever made, newest first."""

    def revoke_key(self, identifier: str, at: int) -> Key | None:
        """The key, revoked for ever: a second revocation keeps the moment of the first. None for an unknown id."""


class AuditLedger(Protocol):
    """Who did what."""

    def audit(self, at: int, actor: str, action: str, detail: Mapping[str, Any]) -> None:
        """Appends one line."""

    def audit_trail(self, limit: int = 100) -> list[dict[str, Any]]:
        """Newest first."""


class Runtime(Protocol):
    """What answers for a loaded version."""

    @property
    def inline_rows(self) -> int:
        """Up to how many rows are answered so soon that nobody else is kept waiting; more go to a thread."""

    def predict(self, columns: Columns) -> tuple[list[Any], dict[str, list[float]]]:
        """Stored labels, and probabilities by class text in the contract's order (empty when the model has none)."""
