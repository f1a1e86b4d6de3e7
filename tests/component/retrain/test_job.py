"""One run: it promotes what is better, refuses with reasons, fails in a sentence, and never works twice at once."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from structlog.testing import capture_logs

from lifecycle.contract import Column, Contract
from lifecycle.errors import Conflict, ProjectInvalid
from lifecycle.ledger.sql import SqlLedger
from lifecycle.model_store import LocalModelStore
from lifecycle.ports import Estimator
from lifecycle.promotion import promote, rollback
from lifecycle.records import Verdict
from lifecycle.versions import LABEL
from retrain.lease import RetrainLease
from retrain.trainer import FileTrainer
from tests.unit.retrain.making import NEW, OLD, World, judged, rows


class ShortSighted(SqlLedger):
    """A ledger that shows no more than the two newest windows."""

    def latest(self, limit: int) -> list[Verdict]:
        return super().latest(min(limit, 2))


@pytest.fixture
def world(tmp_path: Path, ledger: SqlLedger) -> World:
    return World(tmp_path, ledger)


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_after_a_change_of_the_world_a_better_challenger_is_promoted(
    tmp_path: Path, ledger: SqlLedger, task: str
) -> None:
    world = World(tmp_path, ledger, task)
    world.answer(rows(300, NEW, task, seed=2))
    run = world.run()
    assert (run.state, run.challenger, run.attempt, world.live()) == ("promoted", 2, 1, 2)
    version = ledger.version(2)
    assert version is not None
    assert (version.parent, version.status, version.metrics["holdout_rows"]) == (1, "promoted", 90)
    assert version.lineage["run_id"] == run.id
    assert version.lineage["challenger"] == run.decision["challenger"] != "everything"
    assert version.lineage["snapshot"]["rows"] == run.snapshot["rows"] == 300
    assert version.lineage["snapshot"]["seen_until"] < world.clock.now()
    assert (run.decision["outcome"], run.decision["holdout_rows"]) == ("promoted", 90)
    assert run.decision["generation"] == ledger.pointer().generation == 2
    kept = ledger.run(run.id)
    assert kept is not None
    assert (kept.state, kept.challenger, kept.finished_at) == (run.state, run.challenger, run.finished_at)


def test_a_challenger_that_is_no_better_is_registered_as_rejected_and_never_live(world: World) -> None:
    world.answer(rows(300, OLD, seed=2))
    run = world.run()
    assert (run.state, world.live()) == ("refused", 1)
    assert run.decision["outcome"] == "refused"
    assert run.decision["reasons"]
    rejected = world.ledger.version(2)
    assert rejected is not None
    assert rejected.status == "rejected"
    assert [move.version for move in world.ledger.moves()] == [1]
    with pytest.raises(ProjectInvalid, match="no earlier champion"):
        rollback(world.ledger, world.store, world.clock, actor="test")


def test_what_a_champion_was_chosen_with_does_not_judge_its_successor(world: World) -> None:
    """The hold-out of the first run is history in the second: only rows the champion has not met are unseen."""
    world.answer(rows(300, NEW, seed=2))
    world.run()
    again = world.run()
    assert again.state == "refused"
    assert again.decision["reasons"] == ["there are 0 new labelled rows; a retrain needs 100"]


def test_no_labels_at_all_is_a_refusal(world: World) -> None:
    world.answer(rows(300, NEW, seed=2), labelled=False)
    assert world.run().decision["reasons"] == ["there are 0 new labelled rows; a retrain needs 100"]


def test_an_empty_feature_log_is_a_refusal(world: World) -> None:
    assert world.run().state == "refused"


def test_a_surge_of_missing_values_is_refused_before_anything_is_trained(world: World) -> None:
    broken = rows(300, NEW, seed=2)
    broken.loc[::2, "a"] = None
    world.answer(broken)
    run = world.run()
    assert (run.state, run.decision["stage"], run.challenger) == ("refused", "validation", None)
    assert run.decision["reasons"] == ["50% of 'a' is missing, against 0% in the reference"]
    assert world.store.numbers() == [1]


def test_constant_labels_are_refused(world: World) -> None:
    world.answer(rows(300, seed=2).assign(__label__=7.0))
    assert world.run().decision["reasons"] == ["all 300 labels are 7.0"]


def test_breakage_in_the_latest_window_blocks_the_run(world: World) -> None:
    first, last = world.answer(rows(300, NEW, seed=2))
    world.ledger.save(judged(last, last + 1))
    world.ledger.save(judged(first, last, "drift"))
    run = world.run()
    assert run.state == "refused"
    assert run.decision["reasons"] == ["the latest window was judged data_quality: half of 'a' is missing"]


def test_rows_of_a_broken_window_are_left_out_however_long_ago_it_was(tmp_path: Path) -> None:
    world = World(tmp_path, ShortSighted("sqlite://", tmp_path))
    first, last = world.answer(rows(300, OLD, seed=3).assign(__label__=1e6))
    world.ledger.save(judged(first, last))
    begin, end = world.answer(rows(300, NEW, seed=2))
    world.ledger.save(judged(begin, end, "ok"))
    for index in range(3):
        world.ledger.save(judged(end + index, end + index + 1, "ok"))
    run = world.run()
    assert run.state == "promoted"
    assert run.snapshot["rows"] == 300
    assert run.snapshot["excluded"] == ((first, last),)


def test_rows_that_no_verdict_covers_yet_are_left_out(world: World) -> None:
    """They may be broken, and nobody has looked."""
    world.ledger.save(judged(*world.answer(rows(300, NEW, seed=2)), "ok"))
    world.answer(rows(50, OLD, seed=3).assign(__label__=1e6))
    run = world.run()
    assert (run.state, run.snapshot["rows"]) == ("promoted", 300)


def test_while_one_run_works_another_is_a_conflict(world: World) -> None:
    world.answer(rows(300, NEW, seed=2))
    second = world.requested()
    with RetrainLease(world.ledger, world.clock, "another run", 60).held(), pytest.raises(Conflict, match="another"):
        world.job.run(second.id)
    assert world.ledger.run(second.id) == second
    assert world.job.run(second.id).state == "promoted"


def test_a_pointer_that_somebody_moved_during_the_run_stays_where_they_put_it(world: World) -> None:
    world.answer(rows(300, NEW, seed=2))
    trainer = world.job.trainer

    class Overtaken(FileTrainer):
        def make_model(self, contract: Contract) -> Estimator:
            if world.ledger.pointer().generation == 1:
                world.ledger.flip(1, 1, "ann", "by hand", world.clock.now())
            return super().make_model(contract)

    run = replace(world.job, trainer=Overtaken(trainer.path)).run(world.requested().id)
    assert run.state == "refused"
    assert "compared with the champion of generation 1" in run.decision["reasons"][0]
    assert (world.live(), world.ledger.pointer().generation) == (1, 2)


def test_an_attempt_whose_run_was_taken_up_again_neither_promotes_nor_writes(world: World) -> None:
    world.answer(rows(300, NEW, seed=2))
    requested = world.requested()
    trainer = world.job.trainer

    class Paused(FileTrainer):
        def make_model(self, contract: Contract) -> Estimator:
            world.ledger.save_run(replace(requested, state="running", attempt=2))
            return super().make_model(contract)

    with pytest.raises(Conflict, match="taken up by another attempt"):
        replace(world.job, trainer=Paused(trainer.path)).run(requested.id)
    assert world.live() == 1
    current = world.ledger.run(requested.id)
    assert current is not None
    assert (current.state, current.attempt) == ("running", 2)


def test_a_run_that_died_after_its_promotion_is_only_recorded_and_then_left_alone(world: World) -> None:
    world.answer(rows(300, NEW, seed=2))
    done = world.run()
    world.ledger.save_run(replace(done, state="running", finished_at=None, challenger=None, decision={}))
    again = world.job.run(done.id)
    assert (again.state, again.challenger, again.attempt) == ("promoted", 2, 2)
    assert again.decision["losses"] == done.decision["losses"]
    assert world.job.run(done.id).attempt == 2, "it has ended"
    assert world.store.numbers() == [1, 2]
    assert world.ledger.pointer().generation == 2


def test_a_run_nobody_asked_for_is_refused(world: World) -> None:
    with pytest.raises(ProjectInvalid, match="no retrain run 0190"):
        world.job.run("0190")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def make_model(contract):\n    return 1 / 0\n", "trainer.py, line 2: ZeroDivisionError"),
        ("def make_model(contract):\n", "trainer.py, line 1: expected an indented block"),
        ("from sklearn.svm import SVC\n\ndef make_model(contract):\n    return SVC(C=-1)\n", "cannot be trained on"),
    ],
)
def test_a_broken_trainer_fails_the_run_in_a_sentence(
    tmp_path: Path, ledger: SqlLedger, source: str, sentence: str
) -> None:
    world = World(tmp_path, ledger, source=source)
    world.answer(rows(300, NEW, seed=2))
    run = world.run()
    assert run.state == "failed"
    assert sentence in run.decision["reasons"][0]
    assert (world.live(), world.store.numbers()) == (1, [1])
    assert run.finished_at is not None


def test_a_contract_with_other_columns_fails_the_run_in_a_sentence(world: World) -> None:
    world.answer(rows(300, NEW, seed=2))
    world.contract = world.contract.model_copy(update={"columns": world.contract.columns[:1]})
    run = world.run()
    assert run.state == "failed"
    (reason,) = run.decision["reasons"]
    assert "no longer has the columns of version 1 (differing: 'b'); restore contract.json" in reason


def test_a_contract_that_began_to_pseudonymise_what_the_champion_knows_fails_the_run(world: World) -> None:
    world.answer(rows(300, NEW, seed=2))
    world.contract = world.contract.model_copy(update={"privacy": {"b": "pseudonymise"}})
    run = world.run()
    assert run.state == "failed"
    assert "no longer has the columns of version 1 (differing: 'b')" in run.decision["reasons"][0]


def other_columns(world: World) -> Contract:
    """`a` became whole numbers, `b` went, and `c` came."""
    columns = (Column(name="a", kind="integer"), Column(name="c", kind="numeric"))
    return world.contract.model_copy(update={"columns": columns})


def reshaped(count: int, slope: float, *, seed: int) -> pd.DataFrame:
    """Rows of `other_columns`."""
    made = rows(count, seed=seed)
    whole = (made["a"] * 10).round().astype("int64")
    return pd.DataFrame({"a": whole, "c": made["b"], LABEL: slope * (whole + made["b"])})


def test_after_a_change_of_columns_only_rows_of_versions_with_todays_are_learnt(world: World) -> None:
    world.answer(rows(300, seed=2))
    unlike = other_columns(world)
    assert world.change_columns(unlike, reshaped(200, OLD, seed=3), reshaped(50, OLD, seed=4)) == 2
    world.answer(reshaped(300, NEW, seed=5))
    run = world.run()
    assert (run.state, run.challenger, world.live()) == ("promoted", 3, 3)
    second = world.ledger.version(2)
    assert second is not None
    assert (run.snapshot["start"], run.snapshot["rows"], run.snapshot["others"]) == (second.created_at, 300, (1,))


def test_what_another_version_answered_after_the_new_one_was_made_is_not_learnt(world: World) -> None:
    """Between a version's making and its promotion the one before still answers."""
    old = world.contract
    world.change_columns(other_columns(world), reshaped(200, OLD, seed=3), reshaped(50, OLD, seed=4))
    unlike, world.contract = world.contract, old
    rollback(world.ledger, world.store, world.clock, actor="test")
    world.answer(rows(100, seed=2))
    world.contract = unlike
    promote(world.ledger, world.store, world.clock, 2, actor="test", reason="again")
    world.answer(reshaped(300, NEW, seed=5))
    run = world.run()
    assert (run.state, run.snapshot["rows"]) == ("promoted", 300)


def test_a_run_that_breaks_down_ends_as_failed_with_a_reason_and_its_traceback_logged(world: World) -> None:
    world.answer(rows(300, NEW, seed=2))
    requested = world.requested()

    class Broken(LocalModelStore):
        def next_number(self) -> int:
            raise KeyError("colour")

    with capture_logs() as logged:
        run = replace(world.job, store=Broken(world.store.root)).run(requested.id)
    assert world.ledger.run(requested.id) == run
    assert (run.state, run.decision["reasons"]) == (
        "failed",
        ["the retrain broke down (KeyError); look at the log of the retrain"],
    )
    assert [line["exc_info"] for line in logged if line["event"] == "retrain_broke_down"] == [True]


def test_rows_of_which_the_log_does_not_keep_all_are_refused_with_the_reason(world: World) -> None:
    world.answer(rows(300, NEW, seed=2))
    world.contract = world.contract.model_copy(update={"privacy": {"b": "drop"}})
    run = world.run()
    assert (run.state, run.decision["stage"]) == ("refused", "validation")
    assert "the feature log does not keep 'b'" in run.decision["reasons"][0]


def test_a_project_without_a_champion_fails_in_a_sentence(tmp_path: Path, ledger: SqlLedger) -> None:
    world = World(tmp_path, ledger)
    empty = replace(world.job, ledger=SqlLedger("sqlite://", tmp_path))
    empty.ledger.save_run(world.requested())
    run = empty.run(empty.ledger.runs()[0].id)
    assert (run.state, run.decision["reasons"]) == (
        "failed",
        ["there is no champion to improve on; promote a version first"],
    )
