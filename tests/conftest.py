"""What every test may ask for."""

import signal
from pathlib import Path

import pytest
from hypothesis import settings

from lifecycle.clock import ManualClock
from lifecycle.ledger.sql import SqlLedger
from tests.no_skips import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]

settings.register_profile("evenkeel", deadline=None, max_examples=40)
settings.load_profile("evenkeel")


def pytest_configure() -> None:
    """A shell starts what it runs in the background with Ctrl-C ignored, and children inherit that: undo it here."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ledger(tmp_path: Path) -> SqlLedger:
    return SqlLedger("sqlite://", tmp_path)
