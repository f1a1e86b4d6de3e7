"""Asks every product about the same rows: each case by so many references, spread over processes."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import structlog

from benchmarks.detection import effort
from benchmarks.detection.cases import Case, World
from benchmarks.detection.effort import EVIDENTLY, NANNYML, PLANS
from benchmarks.detection.ours import Verdicts
from benchmarks.detection.peers.evidently_defaults import Defaults
from benchmarks.detection.peers.nannyml.peer import NannyML
from benchmarks.detection.tally import Tally, counted
from lifecycle.config import MonitoringSection
from monitoring.references import Reference
from monitoring.rows import Rows
from monitoring.verdicts import ALARMS

Runs = Iterable[Iterable[Rows]]
Alarms = dict[str, list[list[bool]]]
"""Of each verdict of a product, by run and window."""
VERDICT = "evenkeel"


@dataclass(frozen=True)
class Part:
    """Cases of one world with some of its references, for one product."""

    product: str
    world: World
    numbers: tuple[int, ...]
    cases: tuple[Case, ...]
    work: Path


@dataclass(frozen=True)
class Answer:
    """What a verdict was in a case with one reference."""

    case: Case
    product: str
    verdict: str
    alarms: list[list[bool]]


def measure(
    cases: Sequence[Case],
    products: Sequence[str],
    share: float,
    processes: int,
    work: Path,
    told: Callable[[str], None],
) -> list[Tally]:
    """All tallies, in the order of `cases`; `share` is the part of the references that are taken."""
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that are started
    parts = [part for product in products for part in _parts(cases, product, share, work)]
    found: dict[Part, list[Answer]] = {}
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=only_warnings) as pool:
        waiting = {pool.submit(judged, part): part for part in parts}
        for future in as_completed(waiting):
            part = waiting[future]
            found[part] = future.result()
            told(f"{len(found)} of {len(parts)}: {part.product}, {part.world}")
    return list(_tallies(cases, [answer for part in parts for answer in found[part]]))


def only_warnings() -> None:
    """Log nothing less: that thresholds were derived is no news here."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def judged(part: Part) -> list[Answer]:
    """What the product says of every case, with each of the part's references."""
    if part.product == NANNYML:
        with NannyML(part.work) as nannyml:
            return list(_answers(part, lambda reference: lambda _, runs: nannyml.judged(reference, runs)))
    return list(_answers(part, _evidently if part.product == EVIDENTLY else _ours))


Judge = Callable[[Case, Runs], Alarms]


def _ours(reference: Reference) -> Judge:
    """Verdicts of a project that changes no setting: one alarm at most is false in a month of hourly windows."""
    verdicts = Verdicts(MonitoringSection())

    def judge(case: Case, runs: Runs) -> Alarms:
        states = [verdicts.states(((reference, rows) for rows in run), whole=case.whole) for run in runs]
        return {VERDICT: [[state in ALARMS for state in run] for run in states]}

    return judge


def _evidently(reference: Reference) -> Judge:
    defaults = Defaults(reference)
    return lambda _, runs: defaults.judged(runs)


def _answers(part: Part, judge_with: Callable[[Reference], Judge]) -> Iterator[Answer]:
    for number in part.numbers:
        judge = judge_with(part.world.reference(number))
        for case in part.cases:
            for verdict, alarms in judge(case, _runs(case, part.product, number)).items():
                yield Answer(case, part.product, verdict, alarms)


def _runs(case: Case, product: str, number: int) -> Iterator[Iterator[Rows]]:
    """Generated as they are taken. One change is made to all windows of a run."""
    asked, traffic = effort.effort(case, product), case.traffic(number)
    assert asked is not None, "only what can be said is asked"
    for _ in range(asked.runs):
        chosen = traffic.chosen()
        yield (traffic.rows(case.rows, case.change, chosen) for _ in range(asked.windows))


def _parts(cases: Sequence[Case], product: str, share: float, work: Path) -> Iterator[Part]:
    """NannyML takes seconds to start, so it is asked about all references at once."""
    count = max(2, round(share * PLANS[product].references))
    together = count if product == NANNYML else 1
    for world in dict.fromkeys(case.world for case in cases):
        asked = tuple(case for case in cases if case.world == world and effort.effort(case, product))
        for first in range(0, count, together):
            yield Part(product, world, tuple(range(first, first + together)), asked, work)


def _tallies(cases: Iterable[Case], answers: Sequence[Answer]) -> Iterator[Tally]:
    for case in cases:
        about = [answer for answer in answers if answer.case == case]
        for product, verdict in dict.fromkeys((answer.product, answer.verdict) for answer in about):
            asked = effort.effort(case, product)
            assert asked is not None, "it has answered"
            counts = [counted(answer.alarms) for answer in about if answer.verdict == verdict]
            begun, alarmed, found = (list(each) for each in zip(*counts, strict=True))
            yield Tally(
                change=case.change,
                rows=case.rows,
                reference_rows=case.world.reference_rows,
                memory=case.world.memory,
                whole=case.whole,
                verdict=verdict,
                runs=asked.runs,
                windows=asked.windows,
                onsets=begun,
                alarmed=alarmed,
                found=found,
            )
