"""`evenkeel replay`: sends a file's rows to a running service in order, and their labels later, as the world would."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from evenkeel.client import ServiceClient
from evenkeel.source_rows import request_labels, request_rows
from lifecycle.contract import Contract, Scalar
from lifecycle.errors import InputRejected
from lifecycle.measures import losses


@dataclass
class VersionTally:
    """What one version answered: rows, and the sum of their losses."""

    rows: int = 0
    loss: float = 0.0


@dataclass
class ReplayResult:
    """The outcome of a replay. `loss` is the mean absolute error, or the error rate, over all rows with a label."""

    rows: int = 0
    labels: int = 0
    requests: int = 0
    failed: int = 0
    seconds: float = 0.0
    metric: str = ""
    loss: float | None = None
    by_version: dict[int, VersionTally] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        return asdict(self)


class Replay:
    """Paces one replay: batches of rows at a rate, each row's label `delay` seconds after its answer."""

    def __init__(self, client: ServiceClient, stop: threading.Event, *, rate: float, delay: float, batch: int) -> None:
        self._client = client
        self._stop = stop
        self._rate = rate
        self._delay = delay
        self._batch = batch
        self._waiting: deque[tuple[float, list[dict[str, Any]]]] = deque()

    def run(self, source: pd.DataFrame, progress: Callable[[ReplayResult], None]) -> ReplayResult:
        """Send all rows of `source` (see `read_source`); ends early, with what was done so far, once `stop` is set.

        Raises InputRejected when the file lacks the model's columns or a row breaks its contract.
        """
        contract = Contract.model_validate(self._client.model()["contract"])
        check_columns(source, contract)
        rows = request_rows(contract, source)
        known = contract.target.name in source
        labels = request_labels(contract, source) if known else [None] * len(rows)
        result = ReplayResult(metric="mae" if contract.target.is_regression else "error_rate")
        began = time.monotonic()
        for start in range(0, len(rows), self._batch):
            if self._stop.wait(max(0.0, began + start / self._rate - time.monotonic())):
                break
            end = start + self._batch
            self._one_batch(rows[start:end], labels[start:end], contract, result)
            self._send_due_labels(result, time.monotonic())
            result.seconds = time.monotonic() - began
            progress(result)
        self._send_rest(result)
        result.requests, result.failed = self._client.counts.sent, self._client.counts.failed
        tallies = result.by_version.values()
        counted = sum(tally.rows for tally in tallies)
        result.loss = sum(tally.loss for tally in tallies) / counted if counted else None
        return result

    def _one_batch(
        self, rows: list[dict[str, Any]], labels: Sequence[Scalar], contract: Contract, result: ReplayResult
    ) -> None:
        answers = self._client.predict(rows)
        result.rows += len(rows)
        pairs = [
            (answer, label) for answer, label in zip(answers["predictions"], labels, strict=True) if label is not None
        ]
        if pairs:
            truth = [contract.label(label) for _, label in pairs]
            answered = [contract.label(answer["prediction"]) for answer, _ in pairs]
            tally = result.by_version.setdefault(answers["version"], VersionTally())
            tally.rows += len(pairs)
            tally.loss += float(losses(contract.target, truth, answered).sum())
            due = [{"id": answer["id"], "label": label} for answer, label in pairs]
            self._waiting.append((time.monotonic() + self._delay, due))

    def _send_due_labels(self, result: ReplayResult, until: float) -> None:
        due: list[dict[str, Any]] = []
        while self._waiting and self._waiting[0][0] <= until:
            due += self._waiting.popleft()[1]
        if due:
            result.labels += self._client.feedback(due)["accepted"]

    def _send_rest(self, result: ReplayResult) -> None:
        while self._waiting and not self._stop.wait(max(0.0, self._waiting[0][0] - time.monotonic())):
            self._send_due_labels(result, time.monotonic())


def check_columns(rows: pd.DataFrame, contract: Contract) -> None:
    """Raise InputRejected when `rows` lacks a column that the model needs."""
    missing = [column.name for column in contract.columns if column.name not in rows and not column.nullable]
    if missing:
        raise InputRejected(
            f"the file lacks {', '.join(map(repr, missing))}, which the model needs; it has {', '.join(map(repr, rows.columns))}"
        )
