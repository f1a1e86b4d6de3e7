"""Moving the champion pointer: stage, let every live worker load and verify, flip, and see them all follow.

The flip is one row in the ledger. Nothing moves when any live worker refuses the version or does not answer in time,
so a version that cannot be loaded is never live anywhere. Rollback is the same path to an earlier version.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from lifecycle import models
from lifecycle.errors import ArtefactRejected, Conflict, ProjectInvalid
from lifecycle.ports import AuditLedger, Clock, ModelStore, PointerLedger, VersionLedger, WorkerLedger
from lifecycle.records import Move, Worker

HEARTBEAT_SECONDS = 1.0
ALIVE_MICROSECONDS = 4_000_000
STAGING_SECONDS = 30.0
CONVERGENCE_SECONDS = 10.0
LOOK_SECONDS = 0.05
EVERY_MOVE = 1_000_000
log = structlog.get_logger(__name__)


class PromotionLedger(VersionLedger, PointerLedger, WorkerLedger, AuditLedger, Protocol):
    """The parts of the ledger that a promotion touches."""


@dataclass(frozen=True)
class Promotion:
    """A finished move: the new generation, how many workers follow, and the seconds until the last one did.

    `seconds` is None when no worker was running, or not all were seen to follow in time.
    """

    version: int
    generation: int
    workers: int
    seconds: float | None


def promote(
    ledger: PromotionLedger,
    store: ModelStore,
    clock: Clock,
    number: int,
    *,
    actor: str,
    reason: str,
    expected_generation: int | None = None,
) -> Promotion:
    """Make version `number` the champion in every worker.

    With `expected_generation`, only if the pointer has not moved since it had that generation. Raises ProjectInvalid for an unknown version, ArtefactRejected when it cannot be loaded here or in a worker, and
    Conflict when a worker does not answer or the pointer moved meanwhile. The champion keeps serving in each case.
    """
    version = ledger.version(number)
    if version is None:
        raise ProjectInvalid(f"there is no version {number}; `evenkeel models` lists those there are")
    models.load(version, store)
    generation = ledger.pointer().generation
    if expected_generation not in (None, generation):
        raise Conflict(
            f"version {number} was not promoted: it was compared with the champion of generation {expected_generation}, "
            f"and the pointer is at generation {generation} now; retrain again"
        )
    ledger.stage(number)
    try:
        _wait_for_workers(ledger, clock, number)
        moved_at = clock.now()
        generation = ledger.flip(number, generation, actor, reason, moved_at)
    except BaseException:
        ledger.stage(None)
        raise
    ledger.audit(moved_at, actor, "promote", {"version": number, "generation": generation, "reason": reason})
    promotion = _converged(ledger, clock, number, generation, moved_at)
    log.info(
        "model_promoted", version=number, generation=generation, workers=promotion.workers, seconds=promotion.seconds
    )
    return promotion


def rollback(ledger: PromotionLedger, store: ModelStore, clock: Clock, *, actor: str) -> Promotion:
    """Make the champion before the current one the champion again; a second rollback goes one further back."""
    line = champions(ledger.moves(EVERY_MOVE))
    if len(line) < 2:
        raise ProjectInvalid("there is no earlier champion to roll back to; `evenkeel models` lists the versions")
    return promote(ledger, store, clock, line[-2], actor=actor, reason=f"rollback from version {line[-1]}")


def champions(moves: Sequence[Move]) -> list[int]:
    """The line of champions, oldest first, from moves newest first: going back to one forgets those after it."""
    line: list[int] = []
    for move in reversed(moves):
        line = line[: line.index(move.version)] if move.version in line else line
        line.append(move.version)
    return line


def alive(ledger: WorkerLedger, clock: Clock) -> list[Worker]:
    """The workers that reported themselves lately."""
    return ledger.workers(clock.now() - ALIVE_MICROSECONDS)


def _wait_for_workers(ledger: PromotionLedger, clock: Clock, number: int) -> None:
    waiting: list[str] = []

    def all_ready() -> bool:
        answers = ledger.acknowledgements(number)
        waiting[:] = [worker.id for worker in alive(ledger, clock) if worker.id not in answers]
        refusals = [problem for problem in answers.values() if problem]
        if refusals:
            raise ArtefactRejected(f"a worker refused version {number}, so the champion stays: {refusals[0]}")
        return not waiting

    if not _eventually(clock, all_ready, STAGING_SECONDS):
        raise Conflict(
            f"version {number} was not promoted: {len(waiting)} worker(s) did not confirm within "
            f"{STAGING_SECONDS:.0f} s; look at their logs and promote again"
        )


def _converged(ledger: PromotionLedger, clock: Clock, number: int, generation: int, moved_at: int) -> Promotion:
    def all_follow() -> bool:
        return all(worker.generation >= generation for worker in alive(ledger, clock))

    followed = _eventually(clock, all_follow, CONVERGENCE_SECONDS)
    swaps = [worker.swapped_at for worker in alive(ledger, clock) if worker.generation >= generation]
    known = [swap for swap in swaps if swap is not None]
    seconds = max(0.0, (max(known) - moved_at) / 1e6) if followed and known else None
    return Promotion(number, generation, len(known), seconds)


def _eventually(clock: Clock, condition: Callable[[], bool], seconds: float) -> bool:
    never = threading.Event()
    deadline = clock.now() + int(seconds * 1e6)
    while not condition():
        if clock.now() >= deadline:
            return False
        clock.wait(never, LOOK_SECONDS)
    return True
