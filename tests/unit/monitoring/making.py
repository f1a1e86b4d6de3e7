"""Makes what the monitor's tests are about: verdicts, and fakes for its ports."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lifecycle.config import Config
from lifecycle.errors import EvenkeelError
from lifecycle.records import ColumnScore, Performance, Verdict
from monitoring.delivery import DeliveryFailed

MINUTE = 60_000_000
START = 1_700_000_040_000_000
"""A whole minute, so that windows of a minute begin here."""


def config(**sections: Any) -> Config:
    return Config.model_validate({"model": {"name": "houses"}, **sections})


def score(column: str = "a", value: float | None = 0.5, threshold: float = 0.1) -> ColumnScore:
    return ColumnScore(column, "ks", value, threshold, None if value is not None else "could not be scored")


def lost(rows: int = 100, loss: float = 2.0) -> Performance:
    metrics = {"loss": loss, "loss_lower": loss - 0.1}
    return Performance(rows, 1.0, metrics, {"loss": 1.0, "trivial_loss": 3.0, "threshold": 1.5})


def kept(rows: int = 100) -> Performance:
    return lost(rows, loss=1.0)


def verdict(index: int = 0, state: str = "ok", **changes: Any) -> Verdict:
    """The verdict on the `index`-th minute after START, by version 1."""
    fields: dict[str, Any] = {
        "start": START + index * MINUTE,
        "end": START + (index + 1) * MINUTE,
        "rows": 500,
        "state": state,
        "version": 1,
        "scores": (score(value=0.05),),
        "reasons": (f"a reason for {state}",),
        "drifting": state in ("drift", "warning"),
        "scored_at": START + (index + 1) * MINUTE,
    }
    return Verdict(**(fields | changes))


def newest_first(*states: str, **changes: Any) -> list[Verdict]:
    """Verdicts of consecutive windows from their states, given oldest first as people read."""
    return [verdict(index, state, **changes) for index, state in enumerate(states)][::-1]


class DistanceOfMeans:
    """A drift scorer for tests: how far the means are apart, in standard deviations of the reference."""

    def score(self, reference: pd.Series, current: pd.Series, method: str) -> float:
        if reference.empty or current.empty:
            raise ValueError("has no values")
        both = pd.concat([reference, current])
        if both.dtype == object:
            both = pd.Series(pd.factorize(both, sort=True)[0], dtype=np.float64)
        before, now = both.iloc[: len(reference)], both.iloc[len(reference) :]
        return float(abs(before.mean() - now.mean()) / max(before.std(ddof=0), 0.001))


class Mailbox:
    """An alert sink that keeps what it is sent, and refuses the first `refusals` messages."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.sent: list[tuple[str, str, str, str]] = []

    def send(self, target: str, title: str, body: str, key: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise DeliveryFailed("the target did not accept the message")
        self.sent.append((target, title, body, key))


class Jobs:
    """A launcher whose jobs are names: `ended` says which of the started ones are gone."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ended: set[str] = set()

    def start(self, run: str) -> None:
        self.started.append(run)
        self.ended.discard(run)

    def poll(self) -> None:
        return

    def stop(self) -> None:
        self.ended.update(self.started)

    def alive(self, run: str) -> bool:
        return run in self.started and run not in self.ended


class BrokenStep:
    """A step that fails as often as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.ran = 0

    def __call__(self) -> None:
        self.ran += 1
        if self.failures:
            raise self.failures.pop(0)


def states(verdicts: Sequence[Verdict]) -> list[str]:
    return [item.state for item in verdicts]


class Refused(EvenkeelError):
    """An expected failure."""
