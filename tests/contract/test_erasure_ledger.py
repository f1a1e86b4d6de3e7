"""ErasureLedger: what was asked for is remembered until it is done, and whom it was about no longer than that."""

import sqlite3
from dataclasses import replace
from pathlib import Path

from lifecycle.ids import uuid7
from lifecycle.ledger.sql import SqlLedger
from lifecycle.ports import ErasureLedger
from lifecycle.records import Erasure

TOKEN = "p_" + "5ec2e7" * 6


def _erasure(requested_at: int = 1) -> Erasure:
    return Erasure(uuid7(), TOKEN, requested_at, "ann")


def test_erasures_are_kept_in_the_order_they_were_asked_for(any_ledger: ErasureLedger) -> None:
    assert any_ledger.erasures() == []
    asked = [_erasure(moment) for moment in (30, 10, 20)]
    for erasure in asked:
        any_ledger.save_erasure(erasure)
    assert any_ledger.erasures() == [asked[1], asked[2], asked[0]]


def test_a_finished_erasure_replaces_the_one_that_was_asked_for(any_ledger: ErasureLedger) -> None:
    asked, other = _erasure(), _erasure(2)
    any_ledger.save_erasure(asked)
    any_ledger.save_erasure(other)
    done = replace(asked, token="", finished_at=9, proof={"rows": 3, "files": ["a", "b"]})
    any_ledger.save_erasure(done)
    any_ledger.save_erasure(done)
    assert any_ledger.erasures() == [done, other]


def test_what_was_replaced_leaves_no_trace_in_the_file(tmp_path: Path) -> None:
    opened = SqlLedger("sqlite:///ledger.db", tmp_path)
    asked = [_erasure(moment) for moment in range(50)]
    for erasure in asked:
        opened.save_erasure(erasure)
    assert TOKEN.encode() in _stored(tmp_path)
    for erasure in asked:
        opened.save_erasure(replace(erasure, token="", finished_at=9))
    opened.close()
    assert TOKEN.encode() not in _stored(tmp_path)


def test_the_check_sees_what_a_store_that_forgets_nothing_leaves(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.execute("PRAGMA secure_delete=OFF")
    connection.execute("CREATE TABLE erasures (token TEXT)")
    connection.executemany("INSERT INTO erasures VALUES (?)", [(TOKEN,)] * 50)
    connection.commit()
    connection.execute("DELETE FROM erasures")
    connection.commit()
    connection.close()
    assert TOKEN.encode() in _stored(tmp_path)


def _stored(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("ledger.db*"))
