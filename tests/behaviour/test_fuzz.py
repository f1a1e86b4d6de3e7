"""Whatever is sent, the service answers as its description says, soon, and is afterwards what it was before."""

from collections.abc import Iterator

import pytest

from service.exchange import JSON
from tests.behaviour.asking import Asked, covers
from tests.behaviour.fuzzing import WORKER, Fuzz, damaged, generated, informed
from tests.behaviour.project import RunningProject
from tests.behaviour.swapping import SETTINGS, wait_for_workers

SEED = 20_260
GENERATED, DAMAGED = 500, 1_500


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProject]:
    with RunningProject(tmp_path_factory.mktemp("fuzz"), SETTINGS) as project:
        wait_for_workers(project)
        yield project


def test_valid_requests_are_answered_on_every_path_in_every_content_type(running: RunningProject) -> None:
    with Fuzz.of(running) as fuzz:
        valid = fuzz.valid()
        fuzz.send(valid)
    assert fuzz.problems == []
    assert covers(fuzz.description, valid) == set()
    explanations = sum(asked.path.startswith("/explanations/") for asked in valid)
    assert fuzz.statuses[404] == explanations, "there are no explanations"
    assert set(fuzz.statuses) == {200, 202, 404}


def test_requests_generated_from_the_description_are_all_answered_as_it_says(running: RunningProject) -> None:
    with Fuzz.of(running) as fuzz:
        fuzz.generate(GENERATED, SEED)
    assert fuzz.problems == []
    assert fuzz.sent == GENERATED
    assert {200, 202, 400, 404, 422} <= set(fuzz.statuses), "they are of many sorts"


def test_bodies_with_broken_bytes_are_all_answered(running: RunningProject) -> None:
    with Fuzz.of(running) as fuzz:
        fuzz.damage(DAMAGED, SEED)
    assert fuzz.problems == []
    assert fuzz.sent == DAMAGED
    assert {200, 400, 415, 422} <= set(fuzz.statuses)


def test_a_text_that_never_ends_behind_a_nan_holds_nobody_up(running: RunningProject) -> None:
    """It once took the square of its length: a minute for a hundred kilobytes, and nobody else was answered meanwhile."""
    body = b'{"instances": [NaN, "' + b'\\"' * 500_000
    asked = [
        Asked("POST", path, path, {"content-type": JSON}, body)
        for path in ("/invocations", "/predict", "/score", "/vertex/predict")
    ]
    with Fuzz.of(running) as fuzz:
        fuzz.send(asked)
    assert fuzz.problems == []
    assert set(fuzz.statuses) <= {400, 422}


def test_generated_requests_reach_every_operation_of_the_description(running: RunningProject) -> None:
    with Fuzz.of(running) as fuzz:
        asked = list(generated(informed(fuzz.description, fuzz.model), GENERATED, SEED))
    paths = fuzz.description["paths"]
    operations = {(path, method.upper()) for path, methods in paths.items() for method in methods}
    assert {(one.path, one.method) for one in asked} == operations


def test_equal_seeds_make_equal_requests(running: RunningProject) -> None:
    with Fuzz.of(running) as fuzz:
        description, valid = informed(fuzz.description, fuzz.model), fuzz.valid()
    first, second, other = ([*generated(description, 60, seed), *damaged(valid, 60, seed)] for seed in (1, 1, 2))
    assert first == second
    assert sum(one != another for one, another in zip(first, other, strict=True)) > 60


def test_a_worker_that_was_replaced_meanwhile_is_seen(running: RunningProject) -> None:
    """Last, because it ends one."""
    with Fuzz.of(running) as fuzz:
        running.running(*WORKER)[0].kill()
    (problem,) = fuzz.problems
    assert problem.startswith("the workers were")
