"""The tables on a real S3 interface: folded, read, asked, merged; an outage grows the backlog and loses nothing."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lifecycle.feature_log.compaction import tidy
from lifecycle.project import Project
from tests.behaviour.object_store import BUCKET, KEYS, ObjectStore
from tests.behaviour.project import RunningProject, eventually, rows
from tests.unit.evenkeel.making import answered, project

BATCH = 5
SETTINGS = {
    "EVENKEEL_FEATURE_LOG__TABLE": f"s3://{BUCKET}/houses",
    "EVENKEEL_FEATURE_LOG__SEAL_SECONDS": "0.2",
    "EVENKEEL_FEATURE_LOG__FOLD_SECONDS": "0.2",
    "EVENKEEL_RETRAIN__MODE": "off",
}


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    """The store, and the way to it in this process's environment, as a reader has it."""
    with ObjectStore() as running:
        before = dict(os.environ)
        os.environ.update(running.environment)
        try:
            yield running
        finally:
            os.environ.clear()
            os.environ.update(before)


def ask(running: RunningProject) -> list[str]:
    """The ids of BATCH answers."""
    done = httpx.post(f"{running.service_url}/predict", json={"rows": rows(BATCH)}, timeout=10)
    assert done.status_code == 200, done.text
    return [item["id"] for item in done.json()["predictions"]]


def folded(running: RunningProject) -> set[str]:
    """The ids in the table, each there once."""
    lines = running.cli("log", "query", "SELECT id FROM predictions", "--json")
    assert lines.returncode == 0, lines.stderr
    found = [json.loads(line)["id"] for line in lines.stdout.splitlines()]
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.timeout(300)
def test_an_outage_of_the_store_only_grows_the_backlog(store: ObjectStore, tmp_path: Path) -> None:
    with RunningProject(tmp_path, {**SETTINGS, **store.environment}) as running:
        before = ask(running)
        eventually(lambda: f"houses/predictions/_delta_log/{0:020d}.json" in store.names(), "rows are in the store")
        eventually(lambda: folded(running) == set(before), "every row is in the table")
        store.cut()
        during = [name for _ in range(4) for name in ask(running)]
        segments = running.path / ".evenkeel" / "feature_log" / "segments"
        eventually(lambda: list(segments.glob("*.seg")), "sealed segments wait")
        refused = running.cli("log", "query", "SELECT 1")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "object store" in refused.stderr
        assert "Traceback" not in refused.stderr
        during += ask(running)
        store.mend()
        after = ask(running)
        everything = {*before, *during, *after}
        eventually(lambda: folded(running) == everything, "what was answered meanwhile is in the table, once")
        eventually(lambda: not list(segments.glob("*.seg")), "no segment is left")
        local = [path.name for path in (running.path / ".evenkeel" / "feature_log").rglob("*.parquet")]
        assert local == [], "tables are in the store alone"
        texts = [path.read_bytes() for path in running.path.rglob("*") if path.is_file()]
        assert not any(KEYS["AWS_SECRET_ACCESS_KEY"].encode() in text for text in texts), "no credential is kept"


@pytest.fixture
def made(store: ObjectStore, tmp_path: Path) -> Project:
    folder = f"s3://{BUCKET}/{tmp_path.name}"
    return project(tmp_path, f'[feature_log]\ntable = "{folder}"\ncompact_files = 4\nvacuum_minutes = 0\n')


def test_files_are_merged_and_what_they_replace_is_deleted_and_every_page_holds(
    made: Project,
) -> None:
    ids = [name for _ in range(5) for name in answered(made, 2)]
    tables = made.tables
    assert len(tables.predictions.files()) == 5
    assert tidy(tables, made.clock, made.config.feature_log) == 2
    assert len(tables.predictions.files()) == 1
    assert tables.predictions.storage.paths() == [file.path for file in tables.predictions.files()]
    assert tables.verify() == []
    found = tables.rows(0, 10**17, labels=True).to_pylist()
    assert sorted(row["id"] for row in found) == sorted(ids)
    assert {row["label"] for row in found} == {"no"}
    assert tables.record(ids[3]).num_rows == 1


def test_a_page_that_was_changed_in_the_store_is_found(made: Project, store: ObjectStore) -> None:
    answered(made, 200)
    (file,) = made.tables.predictions.files()
    name = f"{made.path.name}/predictions/{file.path}"
    content = bytearray(store.read(name))
    content[300] ^= 1
    store.replace(name, bytes(content))
    (problem,) = made.tables.verify()
    assert file.path in problem
    assert "restore it" in problem
