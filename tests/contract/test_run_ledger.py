"""RunLedger: retrain runs by id, newest first."""

from dataclasses import replace

from lifecycle.ports import RunLedger
from lifecycle.records import RetrainRun

RUN = RetrainRun("r1", 10, "drift in window 5", "requested")


def test_a_run_comes_back_as_it_was_last_saved(any_ledger: RunLedger) -> None:
    any_ledger.save_run(RUN)
    done = replace(
        RUN, state="refused", attempt=1, started_at=11, finished_at=20, challenger=4, decision={"gain": -0.1}
    )
    any_ledger.save_run(done)
    assert any_ledger.run("r1") == done
    assert any_ledger.runs() == [done]
    assert any_ledger.run("r2") is None


def test_runs_are_listed_newest_first(any_ledger: RunLedger) -> None:
    for identifier, at in (("b", 20), ("a", 10), ("c", 30)):
        any_ledger.save_run(replace(RUN, id=identifier, requested_at=at))
    assert [run.id for run in any_ledger.runs(limit=2)] == ["c", "b"]
