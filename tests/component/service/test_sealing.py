"""Sealing has a thread of its own in a worker: a slow disk keeps neither keys nor the sign of life waiting."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.clock import SystemClock
from lifecycle.feature_log.memory import MemoryFeatureLog
from lifecycle.ledger.sql import SqlLedger
from lifecycle.model_store import LocalModelStore
from service.live import Follower
from service.metrics import ServiceMetrics

PATIENCE = 10


class SlowFeatureLog(MemoryFeatureLog):
    """Once `slow`, waits for a disk that does not answer, until it `may`."""

    def __init__(self) -> None:
        super().__init__()
        self.slow, self.began, self.may = threading.Event(), threading.Event(), threading.Event()

    def seal_if_old(self) -> None:
        if self.slow.is_set():
            self.began.set()
            self.may.wait(PATIENCE)


class Beats:
    """What a worker does at each beat; `later` is set once it was done again while the disk was waited for."""

    def __init__(self, log: SlowFeatureLog) -> None:
        self._log = log
        self.later = threading.Event()

    def __call__(self, _now: int) -> None:
        if self._log.began.is_set():
            self.later.set()


class OneThread(Follower):
    """Broken: seals in the thread that shows that the worker lives."""

    def beat(self) -> None:
        super().seal()
        super().beat()


@pytest.fixture
def slow() -> Iterator[SlowFeatureLog]:
    log = SlowFeatureLog()
    yield log
    log.may.set()


def _beats(kind: type[Follower], slow: SlowFeatureLog, folder: Path) -> tuple[Follower, Beats]:
    beats = Beats(slow)
    ledger = SqlLedger(f"sqlite:///{folder}/ledger.db", folder)
    follower = kind(ledger, LocalModelStore(folder), slow, SystemClock(), ServiceMetrics(), 0.01, refresh=beats)
    follower.start()
    slow.slow.set()
    assert slow.began.wait(PATIENCE)
    return follower, beats


def test_a_worker_shows_that_it_lives_while_a_disk_does_not_answer(slow: SlowFeatureLog, tmp_path: Path) -> None:
    follower, beats = _beats(Follower, slow, tmp_path)
    assert beats.later.wait(PATIENCE)
    slow.may.set()
    follower.stop()


def test_the_check_sees_a_worker_that_seals_between_two_beats(slow: SlowFeatureLog, tmp_path: Path) -> None:
    follower, beats = _beats(OneThread, slow, tmp_path)
    assert not beats.later.wait(0.3)
    slow.may.set()
    follower.stop()
