"""One run at a time: the lease is held against others, renewed while its run works, and free again afterwards."""

import threading
from pathlib import Path

import pytest

from lifecycle.clock import ManualClock
from lifecycle.errors import Conflict
from lifecycle.ledger.sql import SqlLedger
from lifecycle.ports import LeaseLedger
from lifecycle.records import Lease
from retrain.lease import NAME, RetrainLease

SECONDS = 9.0


class Beats(ManualClock):
    """A clock whose waiting thread goes on only at `beat`, which moves the time as far as it waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self._back.release()
        while not self._go.acquire(timeout=0.01):
            if stop.is_set():
                return True
        self.advance(seconds)
        return stop.is_set()

    def beat(self) -> None:
        """Let the waiting thread do one round; returns when it waits again."""
        assert self._back.acquire(timeout=30)
        self._go.release()
        assert self._back.acquire(timeout=30)
        self._back.release()


class Table:
    """A lease ledger in memory that can be told to fail."""

    def __init__(self) -> None:
        self.held: Lease | None = None

    def acquire(self, name: str, holder: str, now: int, seconds: float) -> Lease | None:
        if self.held and self.held.holder != holder and self.held.expires_at > now:
            return None
        self.held = Lease(name, holder, 1, now + int(seconds * 1e6))
        return self.held

    def release(self, name: str, holder: str) -> None:
        if self.held and self.held.holder == holder:
            self.held = Lease(name, holder, 1, 0)

    def lease(self, name: str) -> Lease | None:
        return self.held


def of(ledger: LeaseLedger, clock: ManualClock, run: str = "one") -> RetrainLease:
    return RetrainLease(ledger, clock, run, SECONDS)


def test_a_second_run_is_refused_until_the_first_is_done() -> None:
    table, clock = Table(), Beats()
    with of(table, clock).held(), pytest.raises(Conflict, match="another retrain run is at work"):
        of(table, clock, "two").renew()
    of(table, clock, "two").renew()


def test_the_lease_is_free_after_a_run_that_raised() -> None:
    table, clock = Table(), Beats()
    with pytest.raises(ZeroDivisionError), of(table, clock).held():
        raise ZeroDivisionError
    of(table, clock, "two").renew()


def test_it_is_renewed_for_as_long_as_the_run_works() -> None:
    table, clock = Table(), Beats()
    with of(table, clock).held():
        for _ in range(5):
            clock.beat()
            assert table.held is not None
            assert table.held.expires_at == clock.now() + int(SECONDS * 1e6)
        with pytest.raises(Conflict):
            of(table, clock, "two").renew()


def test_a_run_that_died_frees_the_way_when_its_lease_expires(tmp_path: Path) -> None:
    ledger, clock = SqlLedger("sqlite://", tmp_path), ManualClock()
    of(ledger, clock, "died").renew()
    clock.advance(SECONDS - 1)
    with pytest.raises(Conflict):
        of(ledger, clock, "two").renew()
    clock.advance(1)
    of(ledger, clock, "two").renew()
    with pytest.raises(Conflict):
        of(ledger, clock, "died").renew()


def test_a_second_attempt_at_the_same_run_is_another_holder(tmp_path: Path) -> None:
    ledger, clock = SqlLedger("sqlite://", tmp_path), ManualClock()
    paused = of(ledger, clock)
    paused.renew()
    clock.advance(SECONDS + 1)
    of(ledger, clock).renew()
    with pytest.raises(Conflict):
        paused.renew()


def test_the_keeper_goes_on_after_it_lost_the_lease_and_release_leaves_the_other_s_alone() -> None:
    table, clock = Table(), Beats()
    with of(table, clock).held():
        table.held = Lease(NAME, "two", 2, clock.now() + 10**9)
        clock.beat()
        clock.beat()
        with pytest.raises(Conflict):
            of(table, clock).renew()
    assert table.held.holder == "two"
    assert table.held.expires_at > clock.now()


def test_its_thread_ends_with_the_block() -> None:
    with of(Table(), Beats()).held():
        assert [thread.name for thread in threading.enumerate()].count("lease") == 1
    assert "lease" not in [thread.name for thread in threading.enumerate()]
