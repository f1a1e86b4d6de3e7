"""The documents are a program: every command in their shell blocks is run, in order, as a reader would run it.

Ports are the kernel's and go in through the environment; nothing else is changed. A command that this file does not
know how to run fails it.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evenkeel.__main__ import app
from tests.behaviour.project import (
    COMMAND_SECONDS,
    END_SECONDS,
    MARK,
    READY_SECONDS,
    answers,
    eventually,
    free_ports,
    is_free,
    marked,
)

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?:sh|bash|console|shell)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:[A-Z_]+=\S+ )*(?:evenkeel|make) [^`\n]+)`")
COMMANDS = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands} | {
    group.name for group in app.registered_groups
}
RUN = {"evenkeel", "curl"}


class Reader:
    """Somebody at a terminal in `folder`, with the product's commands on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.service, self.monitor = free_ports(2)
        self._log = folder / "up.log"
        self._background: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "EVENKEEL_SERVICE__PORT": str(self.service),
            "EVENKEEL_MONITORING__PORT": str(self.monitor),
            MARK: str(folder),
        }

    def follow(self, command: str) -> str:
        """What the command printed; fails unless it ends with 0, or, for `evenkeel up`, becomes ready."""
        command = re.sub(r"\b(localhost|127\.0\.0\.1):3000\b", rf"\1:{self.service}", command)
        command = re.sub(r"\b(localhost|127\.0\.0\.1):3001\b", rf"\1:{self.monitor}", command)
        words = words_of(command)
        if words[0] not in RUN or (words[0] == "evenkeel" and words[1] not in COMMANDS):
            raise AssertionError(f"nobody knows how to run {command!r}; teach this file, or correct the document")
        if words[:2] == ["evenkeel", "up"]:
            self._start(command)
            return ""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-2_000:]}{done.stderr[-2_000:]}"
        if words[0] == "curl":  # which is content with any answer at all
            assert '"error"' not in done.stdout, f"{command}: {done.stdout}"
        return done.stdout

    def end(self) -> None:
        """End what still runs. Fails when a process or a port was left behind."""
        try:
            for process in self._background:
                process.terminate()
                process.wait(END_SECONDS)
            eventually(lambda: not marked(str(self.folder)), "every process has ended", 10)
            eventually(lambda: all(map(is_free, (self.service, self.monitor))), "both ports are free", 10)
        finally:
            for left in marked(str(self.folder)):
                left.kill()
            for process in self._background:
                process.wait(END_SECONDS)

    def _start(self, command: str) -> None:
        with self._log.open("ab") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._background.append(process)

        def ready() -> bool:
            assert process.poll() is None, f"{command} ended: {self._log.read_text()[-2_000:]}"
            return all(answers(f"http://127.0.0.1:{port}/readyz") for port in (self.service, self.monitor))

        eventually(ready, f"{command} is ready", READY_SECONDS)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    there = Reader(tmp_path)
    try:
        yield there
    finally:
        there.end()


def commands(text: str) -> list[str]:
    """The commands in the shell blocks of a document, in order."""
    lines = "".join(BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ").strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def words_of(command: str) -> list[str]:
    """The words of a command, without the variables set for it."""
    words = shlex.split(command)
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    return words


def orders(rows: int, seed: int) -> pd.DataFrame:
    """A shop's orders: dear ones, and those from abroad, are returned more often."""
    random = np.random.default_rng(seed)
    price, items = random.gamma(4, 10, rows).round(2), random.integers(1, 6, rows)
    country = random.choice(["NL", "BE", "DE"], rows)
    chance = 1 / (1 + np.exp(-(price / 12 - 4 + 1.5 * (country != "NL"))))
    returned = np.where(random.random(rows) < chance, "yes", "no")
    return pd.DataFrame({"price": price, "items": items, "country": country, "returned": returned})


def test_every_make_target_named_in_a_shell_block_exists() -> None:
    named = [words_of(line) for document in DOCUMENTS for line in commands(document.read_text())]
    targets = {word for words in named if words[0] == "make" for word in words[1:] if "=" not in word}
    assert {"demo", "test"} <= targets
    assert [target for target in sorted(targets) if not makes(target)] == []


def test_the_target_check_sees_one_that_does_not_exist() -> None:
    assert not makes("coffee")
    assert not makes("docs"), "a folder of that name is not a target"


def test_every_command_named_in_the_text_exists() -> None:
    named = {command for document in DOCUMENTS for command in INLINE.findall(document.read_text())}
    assert {"make demo", "evenkeel rollback"} <= named
    assert [command for command in sorted(named) if not exists(command)] == []


def test_the_text_check_sees_a_command_that_does_not_exist() -> None:
    assert not exists("evenkeel coffee --project shop")
    assert not exists("A=1 make coffee")


@pytest.mark.timeout(600)
def test_every_other_command_is_run_and_ends_well(reader: Reader) -> None:
    orders(600, seed=1).to_csv(reader.folder / "orders.csv", index=False)
    orders(100, seed=2).to_csv(reader.folder / "later.csv", index=False)
    history = orders(50, seed=3).assign(at="2026-01-31T14:05:00", prediction="no")
    history.to_csv(reader.folder / "history.csv", index=False)
    lines = [line for document in DOCUMENTS for line in commands(document.read_text())]
    followed = [line for line in lines if words_of(line)[0] != "make"]
    printed = {line: reader.follow(line) for line in followed}
    assert any(line.startswith("evenkeel init shop --data orders.csv") for line in printed)
    replay = next(text for line, text in printed.items() if line.startswith("evenkeel replay"))
    assert "100 rows" in replay
    assert "100 labels, 0 failed" in replay
    imported = next(text for line, text in printed.items() if line.startswith("evenkeel log import"))
    assert "50 rows and 50 labels imported" in imported
    curl = next(text for line, text in printed.items() if line.startswith("curl"))
    assert '"prediction"' in curl


@pytest.mark.parametrize("line", ["frobnicate --all", "evenkeel frobnicate", "rm -r shop"])
def test_a_command_nobody_knows_is_not_run(tmp_path: Path, line: str) -> None:
    with pytest.raises(AssertionError, match="nobody knows how to run"):
        Reader(tmp_path).follow(line)


def test_a_command_that_fails_or_an_answer_that_refuses_is_seen(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    with pytest.raises(AssertionError, match="there is no evenkeel.toml"):
        reader.follow("evenkeel status --project shop")
    (tmp_path / "refusal.json").write_text('{"error": {}}')
    with pytest.raises(AssertionError, match="error"):
        reader.follow(f"curl -s file://{tmp_path}/refusal.json")


def test_blocks_are_read_as_a_shell_reads_them() -> None:
    page = "```sh\n# a comment\nA=1 make x\n\nevenkeel up \\\n  --project shop\n```\n```\nnot a command\n```\n"
    assert commands(page) == ["A=1 make x", "evenkeel up    --project shop"]
    assert words_of("A=1 make x") == ["make", "x"]


def exists(command: str) -> bool:
    """Whether every word that names a command of ours, or a target, names one that exists."""
    program, *rest = words_of(command)
    if program == "evenkeel":
        return rest[0] in COMMANDS
    return all(makes(word) for word in rest if "=" not in word)


def makes(target: str) -> bool:
    """Whether the Makefile has a rule for `target` that could run."""
    rule = re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    dry = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    return rule is not None and dry.returncode == 0
