"""Thousands of swaps under load: nobody fails, nobody gets another version's numbers, nobody waits, nothing grows.

    python -m benchmarks.torture.swap --swaps 10000

Blocks of steady traffic and blocks of swaps take turns, so that both are measured on the same machine at the same time.
Ends with 1 when a promise was broken.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from lifecycle import promotion
from tests.behaviour.project import RunningProject, eventually
from tests.behaviour.swapping import (
    SETTINGS,
    WORKERS,
    Traffic,
    contradictions,
    promote,
    records,
    register_constant,
    steady,
    wait_for_workers,
)

SWAPS_IN_BLOCK = 50
CALM_ANSWERS = 500
SLOWEST_SECONDS = 1.0
SLOWER = 1.5
GROWTH_MEGABYTES = 10.0
WORKER = ("-m", "_bentoml_impl.worker.service")


@dataclass
class Seen:
    """What the run saw, block by block; latencies in seconds, memory in megabytes (all workers)."""

    swaps: int = 0
    answers: int = 0
    problems: list[str] = field(default_factory=list)
    convergence: list[float] = field(default_factory=list)
    calm: list[float] = field(default_factory=list)
    swapping: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """The figures, and which promises did not hold."""
        settled = self.memory[len(self.memory) // 10 :]
        growth = settled[-1] - settled[0]
        ratio = statistics.median(during / before for during, before in zip(self.swapping, self.calm, strict=True))
        slowest = max(self.convergence)
        broken = {
            "no request fails, every answer is of one version": bool(self.problems),
            f"every worker follows within {SLOWEST_SECONDS} s": slowest > SLOWEST_SECONDS,
            f"p99 while swapping is at most {SLOWER} times the steady one": ratio > SLOWER,
            f"memory grows by less than {GROWTH_MEGABYTES} MB": growth > GROWTH_MEGABYTES,
        }
        return {
            "swaps": self.swaps,
            "answers": self.answers,
            "problems": self.problems[:20],
            "convergence_seconds": {"median": statistics.median(self.convergence), "largest": slowest},
            "p99_ms": {
                "steady": statistics.median(self.calm) * 1e3,
                "swapping": statistics.median(self.swapping) * 1e3,
                "ratio": ratio,
            },
            "memory_megabytes": {"first": self.memory[0], "settled": settled[0], "last": self.memory[-1]},
            "broken": [promise for promise, failed in broken.items() if failed],
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the report as JSON, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=10_000)
    swaps: int = parser.parse_args(arguments).swaps
    seen = Seen()
    settings = {
        **SETTINGS,
        "EVENKEEL_SERVICE__POLL_SECONDS": "0.02",
    }  # more swaps in the time, and more often in the way
    with tempfile.TemporaryDirectory() as folder, RunningProject(Path(folder), settings) as running:
        register_constant(running)
        wait_for_workers(running)
        while seen.swaps < swaps:
            block(running, seen)
            print(f"{seen.swaps} swaps, {seen.answers} answers, {len(seen.problems)} problems", file=sys.stderr)
    report = seen.report()
    print(json.dumps(report, indent=1))
    return 1 if report["broken"] else 0


def block(running: RunningProject, seen: Seen) -> None:
    """Some swaps under traffic, then traffic alone."""
    since = running.project.clock.now()
    with steady(running) as traffic:
        moves = [promote(running, 2 - turn % 2) for turn in range(SWAPS_IN_BLOCK)]
    with steady(running) as calm:
        eventually(lambda: len(calm.answers) >= CALM_ANSWERS, "enough answers to compare with", 120)
    seen.swaps += len(moves)
    seen.convergence += [_seconds(move, seen) for move in moves]
    seen.swapping.append(_p99(traffic))
    seen.calm.append(_p99(calm))
    seen.memory.append(sum(_memory(process) for process in running.running(*WORKER)))
    answers = traffic.answers | calm.answers
    seen.answers += len(answers)
    seen.problems += traffic.failures + calm.failures
    constant = {scores["yes"] for version, scores in answers.values() if version == 2}
    if len(constant) != 1:
        seen.problems.append(f"version 2 answered {len(constant)} different probabilities")
    seen.problems += contradictions(answers, records(running, len(answers), since), constant.pop())


def _seconds(move: promotion.Promotion, seen: Seen) -> float:
    if move.seconds is None or move.workers != WORKERS:
        seen.problems.append(f"generation {move.generation}: {move.workers} workers followed")
    return move.seconds if move.seconds is not None else float("inf")


def _p99(traffic: Traffic) -> float:
    return float(np.percentile(traffic.seconds, 99))


def _memory(process: psutil.Process) -> float:
    return process.memory_info().rss / 1e6


if __name__ == "__main__":
    sys.exit(main())
