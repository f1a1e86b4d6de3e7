"""`evenkeel init` with numbers near the end of their range, and ended by a signal: nothing is left of the project then."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evenkeel.__main__ import app
from evenkeel.init import InitOptions, init_project
from evenkeel.init_command import ended_by_signals
from lifecycle.errors import ProjectInvalid
from lifecycle.project import Project
from tests.unit.evenkeel.tables import table, write

DEADLINE_SECONDS = 60


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C as at a terminal, even where the tests run in the background and it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_of_the_folder(tmp_path: Path, number: signal.Signals) -> None:
    source = tmp_path / "rows.csv"
    os.mkfifo(source)  # nobody writes to it, so that init is still reading when the signal comes
    command = [sys.executable, "-m", "evenkeel", "init", "bikes", "--data", source.name, "--target", "y"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            deadline = time.monotonic() + DEADLINE_SECONDS
            while not list(tmp_path.glob(".bikes-*")):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(number)
            _, said = process.communicate(timeout=DEADLINE_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 128 + number
    assert b"Traceback" not in said
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_only_the_first_signal_ends_the_block(number: signal.Signals) -> None:
    cleaned = []

    def interrupted() -> None:
        with ended_by_signals():
            try:
                signal.raise_signal(number)
            finally:
                signal.raise_signal(signal.SIGTERM)
                cleaned.append(True)

    with interruptible():
        before = signal.getsignal(number)
        with pytest.raises(SystemExit) as ended:
            interrupted()
        assert signal.getsignal(number) is before
    assert ended.value.code == 128 + number
    assert cleaned


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("target", ["sold", "price"])
@pytest.mark.filterwarnings("error")
def test_the_largest_numbers_make_a_project_without_a_warning(tmp_path: Path, target: str) -> None:
    large = lambda frame: (frame["size"] - 110) * 5e305  # noqa: E731 - a column of the table
    source = write(tmp_path, table().assign(large=large))
    summary = init_project(tmp_path / "houses", source, InitOptions(target))
    assert summary.features["large"] == "numeric"


def test_a_contract_edited_into_names_that_tables_confuse_is_refused(tmp_path: Path) -> None:
    init_project(tmp_path / "houses", write(tmp_path, table()), InitOptions("price", drop=("sold",)))
    contract = tmp_path / "houses" / "contract.json"
    contract.write_text(contract.read_text().replace('"rooms"', '"Size"'))
    with pytest.raises(ProjectInvalid, match="'size' and 'Size' differ at most in upper and lower case"):
        Project.open(tmp_path / "houses").contract()


def test_columns_that_group_rows_are_named_in_the_contract_and_the_summary(tmp_path: Path) -> None:
    source, place = write(tmp_path, table()), tmp_path / "houses"
    options = ["--segment", "town", "--segment", "rooms", "--sensitive", "garden", "--sensitive", "town"]
    done = CliRunner().invoke(app, ["init", str(place), "--data", str(source), "--target", "sold", *options])
    contract = Project.open(place).contract()
    assert (contract.segments, contract.sensitive) == (("town", "rooms"), ("garden", "town"))
    page = " ".join(done.stdout.split())
    assert "each value of town, rooms is looked at by itself" in page
    assert "answers are compared between the values of garden, town" in page
