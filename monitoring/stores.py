"""What the monitor asks of the ledger: the shared ports together, and what is read across it."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from lifecycle.ports import (
    AlertLedger,
    AuditLedger,
    CalibrationLedger,
    ErasureLedger,
    FoldLedger,
    LeaseLedger,
    PointerLedger,
    RunLedger,
    VerdictLedger,
    VersionLedger,
    WorkerLedger,
)
from lifecycle.records import Verdict, VerdictState


class Overview(Protocol):
    """What is read across everything the ledger holds."""

    def window_counts(self) -> Mapping[str, int]:
        """Windows by verdict state."""

    def run_counts(self) -> Mapping[str, int]:
        """Retrain runs by state."""

    def judged(self, limit: int, before: int | None = None) -> list[Verdict]:
        """The newest verdicts that say something about the world, newest first, however long nobody asked since.

        With `before`, only of windows that begin before it.
        """

    def spans(self, since: int) -> list[tuple[int, int]]:
        """Start and end of every window that begins at or after `since`, in order."""

    def windows_in(self, state: VerdictState) -> list[Verdict]:
        """Every window judged `state`, newest first."""

    def outbox_counts(self, attempts: int) -> tuple[int, int]:
        """Deliveries waiting, and those given up after `attempts` tries."""


class MonitorLedger(
    VersionLedger,
    PointerLedger,
    WorkerLedger,
    VerdictLedger,
    AlertLedger,
    RunLedger,
    LeaseLedger,
    FoldLedger,
    AuditLedger,
    CalibrationLedger,
    ErasureLedger,
    Overview,
    Protocol,
):
    """Every part of the ledger that the monitor touches."""


class Amendments:
    """Later changes to saved verdicts: labels, the retrain note and the report come from different threads."""

    def __init__(self, ledger: VerdictLedger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()

    def amend(self, start: int, **changes: Any) -> Verdict | None:
        """Change only these fields of the window's verdict; returns it as it is now, None when there is none."""
        with self._lock:
            verdict = self._ledger.verdict(start)
            if verdict is None:
                return None
            amended = replace(verdict, **changes)
            if amended != verdict:
                self._ledger.save(amended)
            return amended
