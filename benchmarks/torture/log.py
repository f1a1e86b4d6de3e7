"""Thousands of killed writers and folders, a disk full a hundred times, and as many flipped bits: no record lost, none made up.

    python -m benchmarks.torture.log --kills 10000 --flips 50000 --fillings 100

Ends with 1 when a promise was broken.
"""

import argparse
import itertools
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import structlog

from tests import damage
from tests.behaviour import append_writers, killing
from tests.behaviour.full_disk import RECOVERY_SECONDS, Endured, endure, recorded, refusal, service_on, small_disk
from tests.behaviour.killing import Campaign, Writer

KILLS_IN_BLOCK = 500
"""Kills of one log, whose rows are all remembered."""
WRITERS: Sequence[tuple[Writer, bool]] = (
    (append_writers.sound, False),
    (append_writers.sound, True),
    (append_writers.durable, True),
    (append_writers.dies_writing, False),
)
"""Who is killed in turn, block by block, and whether the folder is killed too."""
SHARES = {"segment": 0.6, "data file": 0.35, "engine's log": 0.05}
"""How many of the flips are of files of each kind: those of the engine's log cost the most time."""
LOG_PATTERNS = ("*0.json", "*2.json", "*.checkpoint.parquet", "_last_checkpoint")
SHOWN = 20
Report = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the report as JSON, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10_000, help="writers killed, and a folder for half of them")
    parser.add_argument("--flips", type=int, default=50_000, help="bits flipped over all kinds of files")
    parser.add_argument("--fillings", type=int, default=100, help="times the disk of a service becomes full")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    parts: dict[str, Callable[[Path], Report]] = {
        "kills": lambda folder: kill(folder, options.kills, options.seed),
        "damage": lambda folder: flip(folder, options.flips, options.seed),
        "full disk": lambda folder: fill(folder, options.fillings),
    }
    report: Report = {}
    for name, part in parts.items():
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            report[name] = part(Path(folder))
        report[name]["seconds"] = round(time.monotonic() - began, 1)
        print(f"{name}: {len(report[name]['problems'])} problems", file=sys.stderr)
    broken = [name for name, part in report.items() if part["problems"]]
    for part in report.values():
        part["all_problems"] = len(part["problems"])
        part["problems"] = part["problems"][:SHOWN]
    print(json.dumps(report | {"broken": broken}, indent=1))
    return 1 if broken else 0


def kill(folder: Path, kills: int, seed: int) -> Report:
    """Writers of every kind in turn, each until it is killed."""
    processes = killing.processes()
    report: Report = {"kills": 0, "folder_kills": 0, "acknowledged": 0, "truncated_bytes": 0, "problems": []}
    blocks = zip(range(0, kills, KILLS_IN_BLOCK), itertools.cycle(WRITERS), strict=False)
    for number, (start, (writer, kill_folder)) in enumerate(blocks):
        with tempfile.TemporaryDirectory(dir=folder) as block:
            campaign = Campaign(processes, Path(block), seed=seed * 1_000_000 + number)
            campaign.run(writer, min(KILLS_IN_BLOCK, kills - start), kill_folder=kill_folder)
            seen = campaign.end()
        report["kills"] += seen.kills
        report["folder_kills"] += seen.kills if kill_folder else 0
        report["acknowledged"] += len(seen.acknowledged)
        report["truncated_bytes"] += seen.status.truncated_bytes if seen.status else 0
        report["problems"] += seen.problems
        print(f"{report['kills']} kills, {report['acknowledged']} rows acknowledged", file=sys.stderr)
    return report


def flip(folder: Path, flips: int, seed: int) -> Report:
    """Every lost end of the files, and so many flipped bits."""
    random = Random(seed)
    processes = killing.processes()
    wanted = {kind: int(flips * share) for kind, share in SHARES.items()}
    problems: list[str] = []
    for subject in _segments(folder):
        problems += subject.cuts()
        for times in _portions(wanted["segment"] // 2, 8 * len(subject.content)):
            problems += subject.flips(subject.bits(random, times))
    log = damage.Log.make(folder / "log")
    files = [log.files(f"{table}/day=*/*.parquet")[0] for table in ("predictions", "labels")]
    for path in files:
        subject = damage.data_file(path)
        problems += subject.cuts()
        for times in _portions(wanted["data file"] // len(files), 8 * len(subject.content)):
            problems += damage.flips_apart(processes, path, subject.bits(random, times))
    for pattern in LOG_PATTERNS:
        path = log.files(f"predictions/_delta_log/{pattern}")[0]
        subject = log.subject(path.name, path)
        problems += subject.flips(subject.bits(random, wanted["engine's log"] // len(LOG_PATTERNS)))
    key = damage.pseudonym_key(folder)
    problems += [*key.cuts(), *key.flips(key.bits(random, flips))]
    return {"flips": wanted, "problems": problems}


def _segments(folder: Path) -> Iterator[damage.Subject]:
    for make in (damage.sealed_segment, damage.open_segment):
        (folder / make.__name__).mkdir()
        yield make(folder / make.__name__)


def _portions(total: int, most: int) -> Iterator[int]:
    """`total` in parts of at most `most`."""
    for start in range(0, total, most):
        yield min(most, total - start)


def fill(folder: Path, fillings: int) -> Report:
    """A service that serves, and one that rejects, on a disk that becomes full again and again."""
    reason = refusal(folder / "probe")
    if reason:
        return {"skipped": reason, "problems": [reason]}
    report: Report = {"problems": []}
    for on_error in ("serve", "reject"):
        (folder / on_error).mkdir()
        with small_disk(folder / on_error / "disk") as disk, service_on(disk, folder / on_error, on_error) as running:
            seen = endure(running, disk, fillings)
            kept = recorded(disk)
        report[on_error] = {"statuses": seen.statuses, "rows": seen.counted, "slowest_recovery": max(seen.recoveries)}
        report["problems"] += [f"{on_error}: {problem}" for problem in _wrong(seen, kept, on_error)]
    return report


def _wrong(seen: Endured, kept: list[str], on_error: str) -> list[str]:
    """Every broken promise in words."""
    expected = {200} if on_error == "serve" else {200, 503}
    unrecorded = len(seen.ids) - len(kept) if on_error == "serve" else seen.statuses[503]
    promises = {
        f"callers saw {dict(seen.statuses)}": set(seen.statuses) == expected,
        f"{len(kept)} records are there of {len(set(kept))} predictions": len(kept) == len(set(kept)),
        f"{len(set(kept) - set(seen.ids))} records are of no answer": set(kept) <= set(seen.ids),
        f"{seen.counted} was counted, with {len(kept)} records and {unrecorded} answers without one": (
            (seen.counted["appended"], seen.counted["dropped"]) == (len(kept), unrecorded)
        ),
        f"it took {max(seen.recoveries):.1f} s to record again": max(seen.recoveries) <= RECOVERY_SECONDS,
    }
    return [problem for problem, holds in promises.items() if not holds]


if __name__ == "__main__":
    sys.exit(main())
