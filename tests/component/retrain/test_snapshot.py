"""A snapshot names its rows so exactly that they are the same when read again, however much was logged since."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lifecycle.contract import Column
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.table import FEATURE, LogTables
from lifecycle.ledger.sql import SqlLedger
from lifecycle.records import Label, LogSchema
from lifecycle.versions import AT, LABEL
from retrain.snapshot import Snapshot, take
from retrain.training import row_digest
from tests.builders import START, batch, contract, writer
from tests.unit.retrain.making import StillClock, World, judged, rows


@pytest.fixture
def world(tmp_path: Path, ledger: SqlLedger) -> World:
    return World(tmp_path, ledger)


def taken(world: World, most_rows: int = 1_000, *, watermark: int | None = None) -> tuple[Snapshot, pd.DataFrame]:
    verdicts = world.ledger.windows_in("data_quality")
    end = world.clock.now()
    return take(
        world.tables, world.contract, start=START, end=end, verdicts=verdicts, most_rows=most_rows, watermark=watermark
    )


def read_again(world: World, snapshot: Snapshot) -> pd.DataFrame:
    """The rows by what the description alone says."""
    found = world.tables.rows(snapshot.start, snapshot.end, labels=True, until=snapshot.until).to_pandas()
    labelled = found[found["label"].notna()].sort_values(["at", "id"]).reset_index(drop=True)
    at = labelled["at"].astype("int64")
    names = world.contract.names
    rows = pd.DataFrame({name: labelled[FEATURE + name] for name in names} | {LABEL: labelled["label"], AT: at})
    for first, last in snapshot.excluded:
        rows = rows[(rows[AT] < first) | (rows[AT] >= last)]
    return rows.tail(snapshot.rows).reset_index(drop=True)


def test_the_rows_are_those_that_were_answered_in_order_of_time(world: World) -> None:
    answered = rows(60, seed=2)
    world.answer(answered)
    snapshot, found = taken(world)
    assert (snapshot.rows, snapshot.start, snapshot.digest) == (60, START, row_digest(found))
    assert list(found) == ["a", "b", LABEL, AT]
    assert found[AT].is_monotonic_increasing
    for name in ("a", "b", LABEL):
        assert found[name].tolist() == answered[name].tolist()


def test_more_rows_and_corrected_labels_later_change_nothing_of_it(world: World) -> None:
    world.answer(rows(60, seed=2))
    snapshot, before = taken(world)
    first = world.tables.rows(snapshot.start, snapshot.end, ["id"])["id"].to_pylist()
    correction = writer(world.tables.segments, world.clock)
    correction.append_labels([Label(name, 1e6, world.clock.now(), world.clock.now()) for name in first])
    correction.close()
    world.answer(rows(60, seed=3))
    again = read_again(world, snapshot)
    assert row_digest(again) == row_digest(before) == snapshot.digest
    assert taken(world)[0].digest != snapshot.digest


def test_nothing_from_after_the_watermark_is_part_of_it(world: World) -> None:
    world.answer(rows(60, seed=2))
    watermark = world.clock.now()
    world.answer(rows(60, seed=3))
    snapshot, found = taken(world, watermark=watermark)
    assert (snapshot.rows, snapshot.end, snapshot.until) == (60, watermark, watermark)
    assert found["a"].tolist() == rows(60, seed=2)["a"].tolist()
    world.answer(rows(60, seed=4))
    assert row_digest(read_again(world, snapshot)) == snapshot.digest


def test_the_digest_says_when_rows_of_it_are_gone(world: World) -> None:
    world.answer(rows(60, seed=2))
    snapshot, _ = taken(world)
    table = world.tables.predictions
    kept = table.scan(table.files(), filter=pc.field("feature_a") > 0)
    table.replace(table.files(), (pa.Table.from_batches([batch]) for batch in kept))
    assert row_digest(read_again(world, snapshot)) != snapshot.digest


def test_rows_of_a_broken_window_are_left_out_and_named(world: World) -> None:
    world.answer(rows(60, seed=2))
    broken = world.answer(rows(60, seed=3))
    world.answer(rows(60, seed=4))
    world.ledger.save(judged(*broken))
    snapshot, found = taken(world)
    assert (snapshot.rows, snapshot.excluded) == (120, (broken,))
    assert not set(found["a"]) & set(rows(60, seed=3)["a"])
    assert row_digest(read_again(world, snapshot)) == snapshot.digest


def test_of_more_rows_than_wanted_the_newest_are_taken(world: World) -> None:
    world.answer(rows(60, seed=2))
    world.answer(rows(60, seed=3))
    snapshot, found = taken(world, most_rows=50)
    assert snapshot.rows == 50
    assert found["a"].tolist() == rows(60, seed=3)["a"].tolist()[-50:]
    assert row_digest(read_again(world, snapshot)) == snapshot.digest


def test_rows_without_a_label_are_no_part_of_it(world: World) -> None:
    world.answer(rows(60, seed=2), labelled=False)
    world.answer(rows(40, seed=3))
    assert taken(world)[0].rows == 40


@pytest.mark.parametrize("labelled", [False, None])
def test_without_labels_or_rows_it_is_empty(world: World, labelled: bool | None) -> None:
    if labelled is not None:
        world.answer(rows(60, seed=2), labelled=labelled)
    snapshot, found = taken(world)
    assert (snapshot.rows, len(found)) == (0, 0)
    assert list(found) == ["a", "b", LABEL, AT]


def test_it_describes_itself_in_json_types(world: World) -> None:
    world.answer(rows(20, seed=2))
    told = taken(world)[0].describe()
    assert told["kind"] == "feature_log"
    assert (told["start"], told["end"], told["until"], told["rows"]) == (
        START,
        world.clock.now(),
        world.clock.now(),
        20,
    )


def test_every_kind_comes_back_as_it_was_and_a_column_nobody_logged_is_missing(tmp_path: Path) -> None:
    known, clock = contract(), StillClock()
    tables = LogTables(tmp_path / "log")
    log = writer(tables.segments, clock)
    columns = {"size": [1.5, 2.0], "rooms": [3, 4], "new": [True, False], "town": [None, "Turin"]}
    record = batch(2, columns={**columns, "sold": [START, None]})
    log.append_predictions(record, LogSchema.of(1, known))
    log.append_labels([Label(name, "yes", START, START) for name in record.ids])
    log.close()
    Folder(tables, clock).fold()
    wider = known.model_copy(update={"columns": (*known.columns, Column(name="later", kind="numeric", nullable=True))})
    _, found = take(tables, wider, start=START, end=START + 1, verdicts=[], most_rows=10)
    by_size = found.set_index("size").loc[[1.5, 2.0]]
    assert by_size["rooms"].tolist() == [3, 4]
    assert by_size["new"].tolist() == [True, False]
    assert by_size["town"].isna().tolist() == [True, False]
    assert by_size["sold"].tolist()[0] == START
    assert by_size["sold"].isna().tolist() == [False, True]
    assert by_size["later"].isna().all()
