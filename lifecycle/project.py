"""A project folder opened for use: its configuration and the embedded stores it names. For composition roots only."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.clock import SystemClock
from lifecycle.config import Config, load
from lifecycle.contract import Contract
from lifecycle.errors import ProjectInvalid
from lifecycle.feature_log.naming import SEGMENTS
from lifecycle.feature_log.writer import SegmentWriter
from lifecycle.ledger.sql import SqlLedger
from lifecycle.model_store import LocalModelStore
from lifecycle.snapshots import Workspace

if TYPE_CHECKING:
    from lifecycle.feature_log.table import LogTables

STATE = ".evenkeel"


@dataclass(frozen=True)
class Project:
    """The stores of one project; each is opened on first use."""

    path: Path
    config: Config

    @classmethod
    def open(cls, path: Path) -> "Project":
        """Read the configuration in `path`. Raises ConfigInvalid."""
        resolved = path.resolve()
        return cls(resolved, load(resolved))

    @cached_property
    def clock(self) -> SystemClock:
        return SystemClock()

    @cached_property
    def ledger(self) -> SqlLedger:
        return SqlLedger(self.config.ledger.url, self.path)

    @cached_property
    def store(self) -> LocalModelStore:
        return LocalModelStore(self.path / self.config.model_store.path, pickles=self.config.model.artefact == "joblib")

    @cached_property
    def tables(self) -> "LogTables":
        from lifecycle.feature_log.table import LogTables  # here, so that a worker never loads what reads tables

        return LogTables(self._feature_log, url=self.config.feature_log.table)

    @property
    def _feature_log(self) -> Path:
        return self.path / self.config.feature_log.path

    @property
    def reports(self) -> Path:
        return self.path / STATE / "reports"

    @property
    def workspace(self) -> Workspace | None:
        """Where reports are kept for Evidently's own pages, if anywhere."""
        folder = self.config.monitoring.evidently_workspace
        return Workspace(self.path / folder, self.path) if folder else None

    @property
    def runtime(self) -> Path:
        return self.path / STATE / "run"

    def writer(self) -> SegmentWriter:
        """A new append side of the feature log, for this process alone."""
        section = self.config.feature_log
        return SegmentWriter(
            self._feature_log / SEGMENTS,
            self.clock,
            seal_bytes=section.seal_bytes,
            seal_seconds=section.seal_seconds,
            durability=section.durability,
            queue_bytes=section.queue_bytes,
        )

    def contract(self) -> Contract:
        """The contract that new versions are trained under. Raises ProjectInvalid."""
        path = self.path / self.config.contract.file
        try:
            return Contract.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise ProjectInvalid(
                f"there is no contract at {path}; restore the file or run `evenkeel init` again"
            ) from error
        except ValueError as error:
            raise ProjectInvalid(f"the contract at {path} cannot be read: {error}; correct it") from error
