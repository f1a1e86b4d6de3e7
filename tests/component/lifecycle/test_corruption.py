"""Flipped bits and lost ends in every file of the feature log: each is seen or harmless, and no wrong row is ever read."""

import multiprocessing
from multiprocessing.context import ForkServerContext as Processes
from pathlib import Path
from random import Random

import pytest

from tests import damage
from tests.damage import Log, Subject

SEGMENT_FLIPS = 12_000
DATA_FLIPS = 3_000
LOG_FLIPS = 40
LOG_CUTS = 25


@pytest.fixture(scope="module")
def processes() -> Processes:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.damage"])
    return context


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return Log.make(tmp_path_factory.mktemp("log") / "log")


@pytest.mark.parametrize("make", [damage.sealed_segment, damage.open_segment])
def test_every_flipped_bit_of_a_segment_is_seen(tmp_path: Path, make: damage.Make) -> None:
    subject = make(tmp_path)
    assert list(subject.flips(subject.bits(Random(1), SEGMENT_FLIPS))) == []


@pytest.mark.parametrize("make", [damage.sealed_segment, damage.open_segment])
def test_every_lost_end_of_a_segment_is_seen(tmp_path: Path, make: damage.Make) -> None:
    assert list(make(tmp_path).cuts()) == []


def test_the_same_check_catches_a_reader_that_believes_what_it_reads(tmp_path: Path) -> None:
    sound = damage.sealed_segment(tmp_path)
    believing = Subject(sound.kind, sound.content, lambda damaged: None if damaged == sound.content else "believed")
    assert list(believing.flips([0]))
    assert list(believing.cuts([1]))


@pytest.mark.parametrize("table", ["predictions", "labels"])
def test_every_flipped_bit_of_a_data_file_is_seen(log: Log, processes: Processes, table: str) -> None:
    path = log.files(f"{table}/day=*/*.parquet")[0]
    bits = damage.data_file(path).bits(Random(1), DATA_FLIPS)
    assert damage.flips_apart(processes, path, bits) == []


@pytest.mark.parametrize("table", ["predictions", "labels"])
def test_every_lost_end_of_a_data_file_is_seen(log: Log, table: str) -> None:
    assert list(damage.data_file(log.files(f"{table}/day=*/*.parquet")[0]).cuts()) == []


@pytest.mark.parametrize("pattern", ["*00.json", "*02.json", "*03.json", "*.checkpoint.parquet", "_last_checkpoint"])
def test_damage_of_the_engines_log_is_seen(log: Log, pattern: str) -> None:
    path = log.files(f"predictions/_delta_log/{pattern}")[0]
    subject = log.subject(path.name, path)
    lines = [at + after for at, byte in enumerate(subject.content) if byte == ord("\n") for after in (0, 1)]
    cuts = Random(1).sample(range(len(subject.content)), LOG_CUTS) + (lines if path.suffix == ".json" else [])
    assert [*subject.flips(subject.bits(Random(1), LOG_FLIPS)), *subject.cuts(cuts)] == []


def test_every_flipped_bit_of_the_key_of_pseudonyms_is_seen(tmp_path: Path) -> None:
    subject = damage.pseudonym_key(tmp_path)
    assert list(subject.flips(range(8 * len(subject.content)))) == []


def test_every_lost_end_of_the_key_of_pseudonyms_is_seen(tmp_path: Path) -> None:
    assert list(damage.pseudonym_key(tmp_path).cuts()) == []
