"""WorkerLedger: the latest word of each worker."""

from dataclasses import replace

from lifecycle.ports import WorkerLedger
from lifecycle.records import Worker

WORKER = Worker("w1", 100, 1_000, None, 0, None)


def test_a_worker_is_known_by_its_latest_report(any_ledger: WorkerLedger) -> None:
    any_ledger.report(WORKER)
    any_ledger.report(replace(WORKER, heartbeat_at=2_000, version=3, generation=1, swapped_at=1_500))
    assert any_ledger.workers(0) == [Worker("w1", 100, 2_000, 3, 1, 1_500)]


def test_workers_are_those_heard_of_since(any_ledger: WorkerLedger) -> None:
    any_ledger.report(WORKER)
    any_ledger.report(replace(WORKER, id="w2", heartbeat_at=2_000))
    assert [worker.id for worker in any_ledger.workers(2_000)] == ["w2"]
    assert any_ledger.workers(2_001) == []


def test_the_last_word_on_a_version_counts(any_ledger: WorkerLedger) -> None:
    any_ledger.acknowledge("w1", 3, "digest differs", 10)
    any_ledger.acknowledge("w1", 3, None, 20)
    any_ledger.acknowledge("w2", 3, "no memory", 20)
    any_ledger.acknowledge("w1", 4, None, 20)
    assert any_ledger.acknowledgements(3) == {"w1": None, "w2": "no memory"}
