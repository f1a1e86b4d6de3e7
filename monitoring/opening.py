"""The judge of a project, as the monitor and a back-fill need it."""

from typing import Protocol

from lifecycle.config import Config
from lifecycle.feature_log.table import LogTables
from lifecycle.ports import CalibrationLedger, Clock, ModelStore, VersionLedger
from monitoring.drift.scoring import DriftScores
from monitoring.evidently_adapter import EvidentlyScorer
from monitoring.judge import Judge
from monitoring.references import References


class JudgeLedger(VersionLedger, CalibrationLedger, Protocol):
    """What a judge asks of the ledger."""


def open_judge(ledger: JudgeLedger, store: ModelStore, tables: LogTables, clock: Clock, config: Config) -> Judge:
    """A judge over these stores, with Evidently's stat tests beside ours."""
    scores = DriftScores(ledger, clock, config.monitoring, config.model.seed, EvidentlyScorer())
    return Judge(tables, References(store, ledger, tables, config.monitoring), scores, clock, config.monitoring)
