"""PointerLedger: the champion moves one generation at a time, and never behind anybody's back."""

import pytest

from lifecycle.errors import Conflict
from lifecycle.ledger.sql import SqlLedger
from lifecycle.records import Pointer


def test_a_new_ledger_has_no_champion(any_ledger: SqlLedger) -> None:
    assert any_ledger.pointer() == Pointer(None, 0, None)
    assert any_ledger.moves() == []


def test_a_flip_moves_the_pointer_and_is_remembered(any_ledger: SqlLedger) -> None:
    any_ledger.stage(4)
    assert any_ledger.pointer() == Pointer(None, 0, 4)
    assert any_ledger.flip(4, 0, "ann", "first", 100) == 1
    assert any_ledger.flip(5, 1, "bob", "better", 200) == 2
    assert any_ledger.pointer() == Pointer(5, 2, None, 200)
    assert [(move.generation, move.version, move.actor) for move in any_ledger.moves()] == [
        (2, 5, "bob"),
        (1, 4, "ann"),
    ]
    assert [move.version for move in any_ledger.moves(limit=1)] == [5]


def test_a_flip_that_expects_another_generation_changes_nothing(any_ledger: SqlLedger) -> None:
    any_ledger.flip(4, 0, "ann", "first", 100)
    with pytest.raises(Conflict, match="moved to generation 1 meanwhile"):
        any_ledger.flip(5, 0, "bob", "late", 200)
    assert any_ledger.pointer().version == 4
    assert len(any_ledger.moves()) == 1


def test_staging_keeps_the_champion_and_forgets_what_workers_said(any_ledger: SqlLedger) -> None:
    any_ledger.flip(4, 0, "ann", "first", 100)
    any_ledger.stage(5)
    any_ledger.acknowledge("w", 5, None, 110)
    any_ledger.stage(5)
    assert any_ledger.acknowledgements(5) == {}
    any_ledger.stage(None)
    assert any_ledger.pointer() == Pointer(4, 1, None, 100)
