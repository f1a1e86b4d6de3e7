"""LeaseLedger: at most one holder at any moment, and a dead one's right expires."""

import threading
from pathlib import Path

from lifecycle.ledger.sql import SqlLedger
from lifecycle.ports import LeaseLedger

SECOND = 1_000_000


def test_a_held_lease_is_refused_to_others_until_it_expires(any_ledger: LeaseLedger) -> None:
    assert any_ledger.acquire("fold", "a", 0, 10) is not None
    assert any_ledger.acquire("fold", "b", 10 * SECOND - 1, 10) is None
    taken = any_ledger.acquire("fold", "b", 10 * SECOND, 10)
    assert taken is not None
    assert (taken.holder, taken.epoch, taken.expires_at) == ("b", 2, 20 * SECOND)


def test_renewing_keeps_the_epoch(any_ledger: LeaseLedger) -> None:
    any_ledger.acquire("fold", "a", 0, 10)
    renewed = any_ledger.acquire("fold", "a", 5 * SECOND, 10)
    assert renewed is not None
    assert (renewed.epoch, renewed.expires_at) == (1, 15 * SECOND)


def test_a_released_lease_is_free_and_only_its_holder_releases_it(any_ledger: LeaseLedger) -> None:
    any_ledger.acquire("fold", "a", 0, 10)
    any_ledger.release("fold", "b")
    assert any_ledger.acquire("fold", "b", 1, 10) is None
    any_ledger.release("fold", "a")
    assert any_ledger.acquire("fold", "b", 1, 10) is not None


def test_a_lease_that_was_taken_while_the_clock_ran_ahead_holds_up_nobody(any_ledger: LeaseLedger) -> None:
    any_ledger.acquire("fold", "a", 3600 * SECOND, 10)
    taken = any_ledger.acquire("fold", "b", 0, 10)
    assert taken is not None
    assert (taken.holder, taken.epoch, taken.expires_at) == ("b", 2, 10 * SECOND)


def test_who_looked_at_the_clock_just_before_a_holder_did_takes_nothing_from_it(any_ledger: LeaseLedger) -> None:
    any_ledger.acquire("fold", "a", 15 * SECOND, 10)
    assert any_ledger.acquire("fold", "b", 0, 10) is None


def test_leases_are_separate_by_name(any_ledger: LeaseLedger) -> None:
    assert any_ledger.acquire("fold", "a", 0, 10)
    assert any_ledger.acquire("retrain", "b", 0, 10)
    assert any_ledger.lease("monitor") is None


def test_of_many_at_once_one_gets_it(tmp_path: Path) -> None:
    ledgers = [SqlLedger("sqlite:///ledger.db", tmp_path) for _ in range(6)]
    winners: list[str] = []
    start = threading.Barrier(len(ledgers))

    def compete(name: str, ledger: LeaseLedger) -> None:
        start.wait()
        if ledger.acquire("retrain", name, 0, 10):
            winners.append(name)

    threads = [threading.Thread(target=compete, args=(str(n), ledger)) for n, ledger in enumerate(ledgers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = ledgers[0].lease("retrain")
    for ledger in ledgers:
        ledger.close()
    assert held is not None
    assert winners == [held.holder]
