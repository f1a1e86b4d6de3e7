"""What a real service has acknowledged, after `kill -9` of all its workers under load, at each level of durability."""

from collections import Counter
from pathlib import Path

import httpx
import pytest

from lifecycle.feature_log.fold import Folder
from tests.behaviour.full_disk import log_rows
from tests.behaviour.project import RunningProject, eventually
from tests.behaviour.swapping import SETTINGS, Traffic, steady, wait_for_workers

WORKER = ("-m", "_bentoml_impl.worker.service")
ANSWERS = 300
SOON = 30


@pytest.mark.parametrize("durability", ["process", "disk", "memory"])
def test_a_killed_service_keeps_what_its_durability_promises(tmp_path: Path, durability: str) -> None:
    settings = SETTINGS | {"EVENKEEL_FEATURE_LOG__DURABILITY": durability}
    with RunningProject(tmp_path, settings) as running:
        wait_for_workers(running)
        first = _answered(running)
        counted = _counted(running)
        second = _answered_until_killed(running)
        running.end()
        kept = _kept(running)
    assert counted["appended"] == len(first.answers), "the counter says how many rows were acknowledged"
    assert counted["dropped"] == 0
    assert [identifier for identifier, count in kept.items() if count > 1] == []
    if durability == "memory":
        assert first.answers.keys() <= kept.keys(), "what was written before the kill is there"
    else:
        assert first.answers.keys() | second.answers.keys() <= kept.keys()


def _answered(running: RunningProject) -> Traffic:
    """Answers before anything happens; all are in segments at the end."""
    with steady(running) as traffic:
        eventually(lambda: len(traffic.answers) >= ANSWERS, "enough answers")
    assert traffic.failures == []
    return traffic


def _answered_until_killed(running: RunningProject) -> Traffic:
    """Answers until all workers were killed at once; then callers fail."""
    with steady(running) as traffic:
        eventually(lambda: len(traffic.answers) >= SOON, "the first answers")
        for worker in running.running(*WORKER):
            worker.kill()
        eventually(lambda: bool(traffic.failures), "callers see that nobody answers")
    return traffic


def _counted(running: RunningProject) -> dict[str, float]:
    with httpx.Client(base_url=running.service_url) as http:
        return log_rows(http)


def _kept(running: RunningProject) -> Counter[str]:
    """How often each prediction is in the table, once all that was left is folded."""
    project = running.project
    assert Folder(project.tables, project.clock).fold().pending_segments == 0
    kept: Counter[str] = Counter()
    for batch in project.tables.window(0, project.clock.now() + 1, columns=["id"]):
        kept.update(batch["id"].to_pylist())
    return kept
