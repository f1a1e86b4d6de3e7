"""What the trigger counts: labelled rows since the change was seen, in windows that have a verdict and are not broken."""

from pathlib import Path

from lifecycle.clock import ManualClock
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.table import LogTables
from lifecycle.ids import uuid7
from lifecycle.ledger.sql import SqlLedger
from monitoring.stores import Amendments
from monitoring.trigger import Trigger
from tests.builders import batch, label, schema, writer
from tests.unit.monitoring.making import MINUTE, START, config, verdict


def answered_and_labelled(folder: Path, clock: ManualClock, moments: list[int]) -> LogTables:
    """One labelled row at each of `moments`."""
    tables = LogTables(folder)
    log = writer(tables.segments, clock)
    for at in moments:
        identifier = uuid7(at // 1000)
        log.append_predictions(batch(at=at, ids=[identifier]), schema())
        log.append_labels([label(identifier)])
    log.close()
    Folder(tables, clock).fold()
    return tables


def test_only_rows_that_a_retrain_would_take_are_counted(ledger: SqlLedger, clock: ManualClock, tmp_path: Path) -> None:
    windows = ["ok", "warning", "data_quality", "drift"]
    for index, state in enumerate(windows):
        ledger.save(verdict(index, state))
    ledger.flip(1, 0, "test", "first", START)
    tables = answered_and_labelled(tmp_path, clock, [START + index * MINUTE + 1 for index in range(len(windows) + 2)])
    settings = config(retrain={"minimum_rows": 200})
    trigger = Trigger(ledger, Amendments(ledger), tables, clock, settings.monitoring, settings.retrain)
    assert trigger.look() is None
    assert ledger.latest(1)[0].retrain == "no retrain: 2 new labelled rows are there; a retrain needs 200"
