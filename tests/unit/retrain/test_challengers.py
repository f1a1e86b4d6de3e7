"""The hold-out belongs to nobody's training, whatever the sizes; windows compete where they can teach."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.records import ModelVersion
from lifecycle.versions import AT, LABEL, SUBJECT
from retrain.challengers import SMALLEST_HOLDOUT, SMALLEST_WINDOW, Rows, split, train_all, windows
from retrain.trainer import FileTrainer
from tests.builders import START, numeric_contract
from tests.unit.retrain.making import LINEAR, SECOND, parts, rows, snapshot, timed

Windows = Callable[[pd.DataFrame, Rows], Mapping[str, pd.DataFrame]]
ORIGIN = rows(150, seed=5)


def champion(seen_until: int | None = None) -> ModelVersion:
    lineage = {"snapshot": {"kind": "file"} if seen_until is None else {"seen_until": seen_until}}
    return ModelVersion(1, START, "promoted", "digest", None, {}, lineage)


def with_the_holdout(origin: pd.DataFrame, given_rows: Rows) -> Mapping[str, pd.DataFrame]:
    """Broken: trains on everything there is."""
    return {"everything": pd.concat([origin, given_rows.history, given_rows.unseen], ignore_index=True)}


def leaked(make: Windows, history: int, fresh: int, holdout: int) -> list[str]:
    """The training windows of `make` that hold a row of the hold-out."""
    given_rows = parts(history, fresh, holdout)
    kept = set(given_rows.holdout["a"])
    return [name for name, window in make(ORIGIN, given_rows).items() if kept & set(window["a"])]


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 200))
def test_no_training_window_holds_a_row_of_the_holdout(history: int, fresh: int, holdout: int) -> None:
    assert leaked(windows, history, fresh, holdout) == []


def test_the_check_sees_a_window_that_holds_it() -> None:
    assert leaked(with_the_holdout, 10, 10, 10) == ["everything"]


@given(st.integers(0, 400), st.integers(1, 400), st.floats(0.05, 0.95))
def test_a_split_loses_no_row_and_keeps_time(known: int, unseen: int, share: float) -> None:
    table = timed(known + unseen)
    divided = split(snapshot(), table, champion(START + known * SECOND - 1), share)
    assert len(divided.history) == known
    together = pd.concat([divided.history, divided.fresh, divided.holdout])
    assert together[AT].tolist() == table[AT].tolist()
    assert len(divided.holdout) == min(max(int(unseen * share), SMALLEST_HOLDOUT), unseen - 1)
    assert len(divided.unseen) == unseen


def test_version_1_has_seen_none_of_the_feature_log() -> None:
    divided = split(snapshot(), timed(200), champion(), 0.3)
    assert (len(divided.history), len(divided.fresh), len(divided.holdout)) == (0, 140, 60)


def test_a_version_has_seen_its_holdout_too() -> None:
    table = timed(200)
    first = split(snapshot(), table, champion(), 0.3)
    second = split(snapshot(), table, champion(first.seen_until), 0.3)
    assert (len(second.history), len(second.unseen)) == (200, 0)


def test_there_are_four_windows_and_the_newest_are_the_newest() -> None:
    given_rows = parts(250, 400, 50)
    found = windows(ORIGIN, given_rows)
    sizes = {name: len(window) for name, window in found.items()}
    assert sizes == {"everything": 800, "newest_half": 400, "newest_quarter": 200, "since_champion": 400}
    assert found["newest_quarter"]["a"].tolist() == given_rows.fresh["a"].tolist()[-200:]


def test_a_window_too_short_to_teach_is_left_out_but_everything_stays() -> None:
    assert list(windows(rows(20), parts(0, 30, 50))) == ["everything"]
    assert list(windows(rows(20), parts(0, SMALLEST_WINDOW, 50))) == ["everything", "since_champion"]


def test_a_window_of_one_label_is_left_out_and_the_run_goes_on() -> None:
    given_rows = parts(0, 120, 50)
    given_rows.fresh[LABEL] = 1.0
    assert list(windows(ORIGIN, given_rows)) == ["everything", "newest_half"]


def test_each_window_gives_a_challenger_that_knows_where_it_comes_from(tmp_path: Path) -> None:
    trainer = FileTrainer(tmp_path / "trainer.py")
    trainer.path.write_text(LINEAR)
    given_rows = parts(0, 120, 50)
    found = {"since_champion": given_rows.fresh, "everything": given_rows.fresh}
    trained = train_all(numeric_contract("regression"), trainer, found, given_rows, champion=4, seed=3, threads=1)
    assert list(trained) == list(found)
    for item in trained.values():
        assert item.candidate.parent == 4
        assert item.candidate.lineage["snapshot"]["seen_until"] == given_rows.holdout[AT].max()
        assert len(item.holdout.labels) == 50
        assert item.candidate.reference[AT].tolist() == given_rows.fresh[AT].tolist()
    assert trained["everything"].candidate.metrics["loss"] == pytest.approx(0.08, abs=0.03)


def test_a_challenger_knows_whom_its_rows_are_about_as_far_as_that_is_known(tmp_path: Path) -> None:
    trainer = FileTrainer(tmp_path / "trainer.py")
    trainer.path.write_text(LINEAR)
    given_rows = parts(0, 120, 50)
    for part in (given_rows.fresh, given_rows.holdout):
        part[SUBJECT] = "p_0"
    found = windows(ORIGIN, given_rows)
    trained = train_all(numeric_contract("regression"), trainer, found, given_rows, champion=4, seed=3, threads=1)
    about = trained["everything"].candidate.reference[SUBJECT]
    assert about.isna().tolist() == [True] * len(ORIGIN) + [False] * 120
    assert set(trained["since_champion"].candidate.reference[SUBJECT]) == {"p_0"}
