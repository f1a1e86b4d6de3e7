"""`evenkeel log` on a product that runs: what is answered is seen, asked and taken out while it goes on, and history comes in."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx
import pandas as pd
import pytest

from tests.behaviour.project import END_SECONDS, MARK, RunningProject, eventually, rows
from tests.unit.evenkeel.tables import table, write

SETTINGS = {
    "EVENKEEL_FEATURE_LOG__SEAL_SECONDS": "0.2",
    "EVENKEEL_FEATURE_LOG__FOLD_SECONDS": "0.2",
    "EVENKEEL_RETRAIN__MODE": "off",
}
COUNT = "SELECT protocol, count(*) AS answered FROM predictions GROUP BY protocol"
KILLS = 4
HISTORY_ROWS = 400


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProject]:
    with RunningProject(tmp_path_factory.mktemp("log"), SETTINGS) as project:
        yield project


def ask(running: RunningProject, count: int) -> list[str]:
    done = httpx.post(f"{running.service_url}/predict", json={"rows": rows(count)}, timeout=10).raise_for_status()
    return [item["id"] for item in done.json()["predictions"]]


def told(output: IO[str]) -> str:
    """The id on the next line."""
    found: str = json.loads(output.readline())["id"]
    return found


def answered(running: RunningProject) -> dict[str, int]:
    """Rows in the table by protocol."""
    done = running.cli("log", "query", COUNT, "--json")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["protocol"]: row["answered"] for row in found}


@pytest.mark.timeout(120)
def test_a_follower_sees_each_row_once_as_it_is_answered_and_ends_with_a_signal(running: RunningProject) -> None:
    first = ask(running, 1)
    command = [sys.executable, "-m", "evenkeel", "log", "tail", "-n", "1", "--follow", "--json"]
    with subprocess.Popen(
        [*command, "--project", str(running.path)],
        env=running.environment | {MARK: str(running.path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as follower:
        assert follower.stdout is not None
        try:
            assert told(follower.stdout) == first[0]
            later = [name for _ in range(5) for name in ask(running, 2)]
            assert sorted(told(follower.stdout) for _ in later) == sorted(later)
        finally:
            follower.send_signal(signal.SIGINT)
            assert follower.wait(END_SECONDS) == 0
        assert follower.stdout.read() == ""


def test_what_was_answered_can_be_asked_and_taken_out_while_the_product_runs(
    running: RunningProject, tmp_path: Path
) -> None:
    ids = ask(running, 7)
    eventually(lambda: ids[-1] in running.cli("log", "query", "SELECT id FROM predictions", "--csv").stdout, "folded")
    file = tmp_path / "rows.parquet"
    facts = running.facts("log", "export", file, "--columns", "size,prediction", "--labels")
    frame = pd.read_parquet(file)
    assert facts["rows"] == len(frame)
    assert set(ids) <= set(frame["id"])
    assert frame.columns[:3].tolist() == ["id", "feature_size", "prediction"]


def test_a_wrong_query_ends_with_2_and_one_sentence(running: RunningProject) -> None:
    done = running.cli("log", "query", "COPY predictions TO '/tmp/out.csv'")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("evenkeel: only a query is answered")


def test_who_reads_the_first_lines_only_sees_no_error(running: RunningProject) -> None:
    ask(running, 20)
    command = f"set -o pipefail; {sys.executable} -m evenkeel log {{}} --project {running.path} | head -n 1"
    for words in (
        "tail --json -n 20",
        "query 'SELECT * FROM range(300000)' --json",
        "query 'SELECT * FROM range(300000)' --csv",
    ):
        done = subprocess.run(
            ["bash", "-c", command.format(words)], env=running.environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) == 1


def history(folder: Path) -> Path:
    frame = table(HISTORY_ROWS, seed=5)
    frame["at"] = (pd.Timestamp("2024-01-01") + pd.to_timedelta(range(HISTORY_ROWS), unit="min")).strftime(
        "%Y-%m-%dT%H:%M:%S"
    )
    frame["prediction"] = "no"
    return write(folder, frame, "history.csv")


@pytest.mark.timeout(180)
def test_imports_that_are_killed_leave_nothing_half_and_the_next_one_brings_all(
    running: RunningProject, tmp_path: Path
) -> None:
    file = history(tmp_path)
    command = [sys.executable, "-m", "evenkeel", "log", "import", str(file), "--project", str(running.path)]
    staged = running.path / ".evenkeel" / "feature_log" / "imports"
    for _ in range(KILLS):
        process = subprocess.Popen(
            command, env=running.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(lambda: process.poll() is not None or list(staged.glob("*.open")), "it has begun to write")  # noqa: B023
        process.kill()
        process.wait(END_SECONDS)
    done = running.cli("log", "import", file)
    expected = "was imported already" if done.returncode else f"{HISTORY_ROWS} rows and {HISTORY_ROWS} labels imported"
    assert expected in done.stdout + done.stderr
    eventually(lambda: answered(running).get("import") == HISTORY_ROWS, "every row is in the table, once")
    assert [path.name for path in staged.iterdir()] == ["lock"]
    again = running.cli("log", "import", file)
    assert again.returncode == 2
    assert "was imported already" in again.stderr
    assert answered(running)["import"] == HISTORY_ROWS
    verdict = running.facts("doctor", "--verify")
    assert {item["state"] for item in verdict if item["what"] in ("tables", "segments", "quarantine")} == {"ok"}
