"""What a retrain learns from knows whom it is about, so that an erasure reaches the versions that it makes."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from lifecycle import models, versions
from lifecycle.feature_log.erasure import Eraser
from lifecycle.feature_log.traces import search
from lifecycle.ids import uuid7
from lifecycle.ledger.sql import SqlLedger
from lifecycle.records import Erasure, LogSchema
from lifecycle.versions import SUBJECT
from tests.builders import batch
from tests.unit.retrain.making import NEW, World, rows

ANNA = "p_" + "a" * 32
ORDINARY = 300


class MarkedWorld(World):
    """Every third row that is answered is about Anna, and no other says whom it is about."""

    def _log(self, part: pd.DataFrame, ids: Sequence[str]) -> None:
        record = batch(
            at=self.clock.now(),
            ids=ids,
            columns={name: part[name].tolist() for name in self.contract.names},
            predictions=part["__label__"].tolist(),
            probabilities={},
            subjects=[ANNA if index % 3 == 0 else None for index in range(len(ids))],
        )
        self._writer.append_predictions(record, LogSchema.of(1, self.contract))


@pytest.fixture
def world(tmp_path: Path, ledger: SqlLedger) -> World:
    made = MarkedWorld(tmp_path, ledger)
    made.answer(rows(ORDINARY, NEW, seed=2))
    assert made.run().state == "promoted"
    return made


def _holdout(world: World) -> pd.DataFrame:
    version = world.ledger.version(2)
    assert version is not None
    kept = versions.load_holdout(version, world.store)
    assert kept is not None
    return kept


def _reference(world: World) -> pd.DataFrame:
    version = world.ledger.version(2)
    assert version is not None
    models.load(version, world.store)
    return versions.load_reference(version, world.store)


def test_a_version_made_from_the_log_knows_whom_its_rows_are_about(world: World) -> None:
    reference = _reference(world)
    assert (reference[SUBJECT] == ANNA).sum() > 50
    assert set(reference[SUBJECT].dropna()) == {ANNA}


def test_an_erasure_reaches_it_and_the_next_retrain_is_free_of_her(world: World, tmp_path: Path) -> None:
    before, held = _reference(world), _holdout(world)
    world.clock.advance(1)
    eraser = Eraser(world.tables, world.store, world.ledger, tmp_path / "reports", world.clock)
    finished = eraser.erase(Erasure(uuid7(), ANNA, world.clock.now(), "a test"))
    hers = int((before[SUBJECT] == ANNA).sum())
    assert finished.proof["removed"]["reference_rows"] == hers + int((held[SUBJECT] == ANNA).sum()) > hers > 0
    assert len(_reference(world)) == len(before) - hers
    world.answer(rows(ORDINARY, NEW, seed=3))
    world.run()
    later = eraser.erase(Erasure(uuid7(), ANNA, world.clock.now(), "a test"))
    assert later.proof["removed"]["predictions"] == finished.proof["removed"]["predictions"]
    assert search([tmp_path], ANNA, until=2**62).found == ()
