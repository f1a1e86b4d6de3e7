"""The command line on a small project that is up: every command, for people and for programs."""

import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
import pytest

from lifecycle.ids import uuid7
from tests.behaviour.project import RunningProject, eventually, rows
from tests.unit.evenkeel.tables import table, write

COMMANDS = [
    "init",
    "up",
    "serve",
    "fold",
    "monitor",
    "retrain",
    "demo",
    "replay",
    "status",
    "models",
    "keys",
    "alerts",
    "reports",
    "why",
    "promote",
    "rollback",
    "doctor",
    "erase",
    "log",
]
REPLAYED = 150
SETTINGS = {
    "EVENKEEL_RETRAIN__MODE": "off",
    "EVENKEEL_RETRAIN__MINIMUM_ROWS": "100",
    "EVENKEEL_FEATURE_LOG__SEAL_SECONDS": "0.2",
    "EVENKEEL_FEATURE_LOG__FOLD_SECONDS": "0.2",
    "EVENKEEL_MONITORING__WINDOW_MINUTES": "0.05",
    "EVENKEEL_MONITORING__MINIMUM_ROWS": "20",
    "EVENKEEL_MONITORING__MINIMUM_LABELS": "10",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProject]:
    with RunningProject(tmp_path_factory.mktemp("cli"), SETTINGS) as project:
        yield project


@pytest.fixture(scope="module")
def replayed(running: RunningProject, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `replay --json` says of a file that was sent with its labels, all of it folded and judged."""
    source = write(tmp_path_factory.mktemp("replay"), table(REPLAYED, seed=5), "later.csv")
    facts: dict[str, Any] = running.facts("replay", source, "--rate", 100, "--label-delay", 0.3, "--batch", 5)
    project = running.project
    eventually(lambda: project.tables.row_count() >= REPLAYED, "the replayed rows are folded", 20)
    eventually(lambda: any(item.rows for item in project.ledger.latest(50)), "a window is judged", 60)
    return facts


def assert_one_sentence(done: CompletedProcess[str], *words: str) -> None:
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("evenkeel: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


def assert_fine(done: CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 0, done.stderr
    page = " ".join(done.stdout.split())
    for word in words:
        assert word in page


def test_help_lists_every_command(running: RunningProject) -> None:
    done = running.cli("--help", project=False)
    assert_fine(done)
    listed = {words[0] for line in done.stdout.splitlines() if (words := line.strip("│ ").split())}
    assert set(COMMANDS) <= listed


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_is_for(running: RunningProject, command: str) -> None:
    assert_fine(
        running.cli(command, "--help", project=False),
        {"init": "--target", "keys": "revoke", "log": "query"}.get(command, "--project"),
    )


def test_replay_says_what_came_of_it(replayed: dict[str, Any]) -> None:
    assert (replayed["rows"], replayed["labels"], replayed["failed"]) == (REPLAYED, REPLAYED, 0)
    assert replayed["metric"] == "error_rate"
    assert 0 <= replayed["loss"] < 0.5
    assert replayed["by_version"].keys() == {"1"}
    assert replayed["by_version"]["1"]["rows"] == REPLAYED


def test_replay_for_people_and_for_another_address(running: RunningProject, tmp_path: Path) -> None:
    source = write(tmp_path, table(20, seed=6).drop(columns=["sold", "price"]), "unlabelled.csv")
    done = running.cli("replay", source, "--rate", 1_000, "--batch", 10, "--url", running.service_url)
    assert_fine(done, "20 rows in", "0 labels, 0 failed")


def test_replay_refuses_a_file_without_the_columns(running: RunningProject, tmp_path: Path) -> None:
    source = write(tmp_path, table(20).drop(columns=["size"]), "narrow.csv")
    done = running.cli("replay", source)
    assert done.returncode == 2
    assert "lacks 'size'" in done.stderr


def test_status_is_the_project_at_a_glance(running: RunningProject, replayed: dict[str, Any]) -> None:
    facts = running.facts("status")
    assert facts["model"] == "houses"
    assert facts["champion"]["version"] is not None
    assert {worker["version"] for worker in facts["workers"]} == {facts["champion"]["version"]}
    assert len(facts["workers"]) == 2
    assert facts["feature_log"]["rows"] >= REPLAYED
    assert facts["verdicts"]
    assert_fine(running.cli("status"), "houses in", "champion version", "workers", "verdicts")


def test_models_lists_versions_newest_first(running: RunningProject) -> None:
    facts = running.facts("models")
    assert [item["version"] for item in facts] == sorted((item["version"] for item in facts), reverse=True)
    assert facts[-1]["version"] == 1
    assert len([item for item in facts if item["role"] == "champion"]) == 1
    assert_fine(running.cli("models"), "versions of houses", "champion")


@pytest.mark.parametrize("arguments", [("alerts",), ("alerts", "--all"), ("reports",)])
def test_alerts_and_reports_are_lists(
    running: RunningProject, replayed: dict[str, Any], arguments: tuple[str, ...]
) -> None:
    assert isinstance(running.facts(*arguments), list)
    assert_fine(running.cli(*arguments), arguments[0])


def test_a_report_that_is_listed_is_there(running: RunningProject, replayed: dict[str, Any]) -> None:
    listed = eventually(lambda: running.facts("reports"), "the first report of the day", 90)
    assert all(Path(item["file"]).stat().st_size for item in listed)


def test_why_explains_one_answer(running: RunningProject, replayed: dict[str, Any]) -> None:
    response = httpx.post(running.service_url + "/predict", json={"rows": rows(1)}, timeout=10)
    (prediction,) = response.raise_for_status().json()["predictions"]
    labels = {"labels": [{"id": prediction["id"], "label": "yes"}]}
    httpx.post(running.service_url + "/feedback", json=labels, timeout=10).raise_for_status()

    def explained() -> dict[str, Any] | None:
        done = running.cli("why", prediction["id"], "--json")
        facts: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        return facts if facts.get("record", {}).get("label") else None

    facts = eventually(explained, "the record and its label are folded", 30)
    assert facts["record"]["prediction"] == prediction["prediction"]
    assert facts["record"]["label"] == "yes"
    assert facts["record"]["request_id"] == response.headers["x-request-id"]
    assert facts["version"]["version"] == facts["record"]["version"]
    assert facts["promotion"]["generation"] == facts["record"]["generation"]
    assert_fine(running.cli("why", prediction["id"]), prediction["id"], "trainer_digest", "feature_town")


@pytest.mark.parametrize(
    ("identifier", "words"),
    [(uuid7(), "the feature log holds no prediction"), ("x", "is not the id of a prediction"), ("", "is not the id")],
)
def test_why_refuses_what_is_no_prediction(
    running: RunningProject, replayed: dict[str, Any], identifier: str, words: str
) -> None:
    assert_one_sentence(running.cli("why", identifier), words)


def test_retrain_promote_and_rollback(running: RunningProject, replayed: dict[str, Any]) -> None:
    """On rows like those of the reference the gate may say either; whatever it says is kept with its reasons."""
    run = running.facts("retrain", "--reason", "to see")
    assert run["state"] in ("promoted", "refused")
    assert run["decision"]["reasons"]
    assert "to see" in run["trigger"]
    assert running.facts("status")["runs"][0]["id"] == run["id"]
    assert run["challenger"] == 2, run
    moved = running.facts("promote", 2, "--reason", "to see it")
    assert (moved["version"], moved["workers"]) == (2, 2)
    assert running.get("/model")["version"] == 2
    assert running.facts("rollback")["version"] == 1
    assert running.get("/model")["version"] == 1
    assert_fine(running.cli("promote", 2), "version 2 is the champion", "2 worker(s) followed within")
    assert_fine(running.cli("rollback"), "version 1 is the champion")
    assert_fine(running.cli("retrain"), "run ")


def test_promote_refuses_a_version_that_is_not_there(running: RunningProject) -> None:
    assert_one_sentence(running.cli("promote", 99), "there is no version 99", "evenkeel models")
    assert running.cli("promote", "newest").returncode == 2


def test_doctor_finds_a_sound_project_well(running: RunningProject) -> None:
    found = running.facts("doctor")
    assert {item["state"] for item in found} <= {"ok", "warning"}
    assert {
        "configuration",
        "contract",
        "ledger",
        "versions",
        "champion",
        "feature log",
        "fold",
        "imports",
        "erasures",
        "disk",
    } == {item["what"] for item in found}
    assert_fine(running.cli("doctor"), "champion", "every digest holds")


def test_doctor_ends_with_1_and_a_sentence_where_there_is_no_project(running: RunningProject, tmp_path: Path) -> None:
    done = running.cli("doctor", "--json", "--project", tmp_path, project=False)
    assert done.returncode == 1
    (finding,) = json.loads(done.stdout)
    assert (finding["what"], finding["state"]) == ("configuration", "failed")


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("models",),
        ("alerts",),
        ("reports",),
        ("why", uuid7()),
        ("promote", 1),
        ("rollback",),
        ("retrain",),
        ("status", "--json"),
    ],
)
def test_a_missing_project_is_one_sentence(
    running: RunningProject, tmp_path: Path, arguments: tuple[object, ...]
) -> None:
    done = running.cli(*arguments, "--project", tmp_path, project=False)
    assert_one_sentence(done, "evenkeel.toml", "evenkeel init")
    assert list(tmp_path.iterdir()) == []


def test_rollback_without_an_earlier_champion_is_one_sentence(tmp_path: Path) -> None:
    fresh = RunningProject(tmp_path)
    fresh.make()
    assert_one_sentence(fresh.cli("rollback"), "no earlier champion", "evenkeel models")
