"""Who did something, and how a run ends the command."""

import os

import pytest

from evenkeel.actions import exit_code, person
from lifecycle.ids import uuid7
from lifecycle.records import RetrainRun, RunState


def test_a_person_is_named() -> None:
    assert person(lambda: "ada") == "user ada"


@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found: 5"), OSError("No username set")])
def test_a_person_without_a_name_is_numbered(error: Exception) -> None:
    def unknown() -> str:
        raise error

    assert person(unknown) == f"uid {os.getuid()}"


@pytest.mark.parametrize(("state", "code"), [("promoted", 0), ("refused", 0), ("failed", 1)])
def test_only_a_run_without_a_decision_ends_with_1(state: RunState, code: int) -> None:
    assert exit_code(RetrainRun(uuid7(), 0, "user ada: on demand", state)) == code
