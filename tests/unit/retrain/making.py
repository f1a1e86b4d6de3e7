"""Makes what the retrain's tests are about: a project's stores with version 1 live, and traffic that follows a law."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lifecycle import versions
from lifecycle.clock import ManualClock
from lifecycle.config import Config
from lifecycle.contract import Contract
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.table import LogTables
from lifecycle.ids import uuid7
from lifecycle.ledger.sql import SqlLedger
from lifecycle.model_store import LocalModelStore
from lifecycle.promotion import promote
from lifecycle.records import Label, LogSchema, RetrainRun, Verdict, VerdictState
from lifecycle.versions import AT, LABEL
from retrain.challengers import Rows
from retrain.job import Job
from retrain.snapshot import Snapshot
from retrain.trainer import FileTrainer
from retrain.training import train
from tests.builders import START, batch, numeric_contract, writer

LINEAR = """from sklearn.linear_model import LinearRegression, LogisticRegression


def make_model(contract):
    return LinearRegression() if contract.target.is_regression else LogisticRegression()
"""
OLD, NEW = 2.0, -2.0
"""The slope of the world that version 1 learned, and of a changed one."""
ROWS_PER_REQUEST = 20
SECOND = 1_000_000


class StillClock(ManualClock):
    """A manual clock beside which other threads only wait to be stopped: the lease's keeper leaves time alone."""

    def wait(self, stop: Any, seconds: float) -> bool:
        return bool(stop.wait(seconds))


def config(**retrain: Any) -> Config:
    """A lease so long that its keeper never acts within a test."""
    section = {"minimum_rows": 100, "lease_seconds": 3_600, **retrain}
    return Config.model_validate({"model": {"name": "houses"}, "retrain": section})


def rows(count: int, slope: float = OLD, task: str = "regression", *, seed: int = 0) -> pd.DataFrame:
    """Rows of `numeric_contract(task)` whose label is `slope` times their sum, or whether that is above zero."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": random.normal(size=count), "b": random.normal(size=count)})
    value = slope * frame.sum(axis=1).to_numpy() + random.normal(0, 0.1, count)
    return frame.assign(**{LABEL: value if task == "regression" else np.where(value > 0, "yes", "no").astype(object)})


def timed(count: int, start: int = START, *, seed: int = 0) -> pd.DataFrame:
    """`rows` as a snapshot gives them: one a second from `start`."""
    return rows(count, seed=seed).assign(**{AT: start + SECOND * np.arange(count)})


def snapshot(count: int = 0) -> Snapshot:
    return Snapshot(START, START + count * SECOND, START + count * SECOND, count, "digest")


def parts(history: int, fresh: int, holdout: int) -> Rows:
    """Labelled rows in three parts of these sizes, none of them equal."""
    whole = timed(history + fresh + holdout)
    cuts = (whole.iloc[:history], whole.iloc[history : history + fresh], whole.iloc[history + fresh :])
    return Rows(snapshot(len(whole)), *(part.reset_index(drop=True) for part in cuts))


def judged(start: int, end: int, state: VerdictState = "data_quality") -> Verdict:
    return Verdict(start, end, 500, state, 1, reasons=("half of 'a' is missing",))


class World:
    """The stores of one project in `folder`. Version 1 knows the world of slope OLD and is the champion."""

    def __init__(
        self, folder: Path, ledger: SqlLedger, task: str = "regression", source: str = LINEAR, **retrain: Any
    ) -> None:
        self.ledger, self.clock, self.task = ledger, StillClock(), task
        self.contract = numeric_contract(task)
        self.config = config(**retrain)
        self.store = LocalModelStore(folder / "models")
        self.tables = LogTables(folder / "log")
        self.trainer = FileTrainer(folder / "trainer.py")
        self.trainer.path.write_text(LINEAR)
        self._become_champion()
        self.trainer.path.write_text(source)
        self._writer = writer(self.tables.segments, self.clock)

    @property
    def job(self) -> Job:
        stores = (self.ledger, self.store, self.tables, self.clock)
        return Job(*stores, self.config, self.contract, self.trainer)

    def run(self, trigger: str = "drift") -> RetrainRun:
        """A requested run, carried out."""
        return self.job.run(self.requested(trigger).id)

    def requested(self, trigger: str = "drift") -> RetrainRun:
        run = RetrainRun(uuid7(self.clock.now() // 1000), self.clock.now(), trigger, "requested")
        self.ledger.save_run(run)
        return run

    def change_columns(self, contract: Contract, reference: pd.DataFrame, unseen: pd.DataFrame) -> int:
        """A version under another contract, learnt from `reference`, becomes the champion; its number."""
        self.contract = contract
        trained = train(contract, self.trainer, reference, unseen, seed=0, snapshot={"kind": "file"})
        version = versions.register(trained.candidate, self.store, self.ledger, self.clock, "skops")
        self.clock.advance(1)
        promote(self.ledger, self.store, self.clock, version.number, actor="test", reason="other columns")
        self.clock.advance(1)
        return version.number

    def answer(self, answered: pd.DataFrame, *, labelled: bool = True) -> tuple[int, int]:
        """Log `answered` (as `rows` makes them) and their labels and fold both; the [first, last) moments they took."""
        first = self.clock.now()
        for start in range(0, len(answered), ROWS_PER_REQUEST):
            part = answered.iloc[start : start + ROWS_PER_REQUEST]
            ids = sorted(uuid7(self.clock.now() // 1000) for _ in range(len(part)))
            self._log(part, ids)
            if labelled:
                now = self.clock.now()
                pairs = zip(ids, part[LABEL].tolist(), strict=True)
                self._writer.append_labels([Label(name, value, now, now) for name, value in pairs])
            self.clock.advance(1)
        self._writer.close()
        Folder(self.tables, self.clock).fold()
        return first, self.clock.now()

    def live(self) -> int | None:
        return self.ledger.pointer().version

    def _log(self, part: pd.DataFrame, ids: Sequence[str]) -> None:
        columns = {name: [None if pd.isna(value) else value for value in part[name]] for name in self.contract.names}
        record = batch(
            at=self.clock.now(),
            version=self.live() or 1,
            ids=ids,
            columns=columns,
            predictions=part[LABEL].tolist(),
            probabilities={},
        )
        self._writer.append_predictions(record, LogSchema.of(record.version, self.contract))

    def _become_champion(self) -> None:
        known, unseen = rows(200, task=self.task), rows(50, task=self.task, seed=1)
        trained = train(self.contract, self.trainer, known, unseen, seed=0, snapshot={"kind": "file"})
        version = versions.register(trained.candidate, self.store, self.ledger, self.clock, "skops")
        promote(self.ledger, self.store, self.clock, version.number, actor="init", reason="version 1")
        self.clock.advance(1)
