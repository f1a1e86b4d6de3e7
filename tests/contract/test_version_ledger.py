"""VersionLedger: one entry per number, in which only the status changes."""

from dataclasses import replace

import pytest

from lifecycle.errors import Conflict
from lifecycle.ports import VersionLedger
from lifecycle.records import ModelVersion

FIRST = ModelVersion(1, 10, "candidate", "a" * 64, None, {"loss": 0.25}, {"seed": 3, "rows": [1, 2]})


def test_a_version_comes_back_as_it_was_registered(any_ledger: VersionLedger) -> None:
    any_ledger.register(FIRST)
    assert any_ledger.version(1) == FIRST
    assert any_ledger.version(2) is None


def test_a_number_is_registered_once(any_ledger: VersionLedger) -> None:
    any_ledger.register(FIRST)
    with pytest.raises(Conflict, match="version 1 is registered already"):
        any_ledger.register(replace(FIRST, manifest_digest="b" * 64))
    assert any_ledger.version(1) == FIRST


def test_versions_are_listed_newest_first(any_ledger: VersionLedger) -> None:
    for number in (2, 1, 3):
        any_ledger.register(replace(FIRST, number=number))
    assert [version.number for version in any_ledger.versions()] == [3, 2, 1]


def test_only_the_status_changes(any_ledger: VersionLedger) -> None:
    any_ledger.register(FIRST)
    any_ledger.set_status(1, "rejected")
    assert any_ledger.version(1) == replace(FIRST, status="rejected")
