"""KeyLedger: keys as they were added, revoked once and for ever; and ledgers from before there were keys."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import insert

from lifecycle.errors import Conflict
from lifecycle.ledger import schema
from lifecycle.ledger.connect import HEAD, WRITE, open_engine, schema_version, upgrade
from lifecycle.ledger.sql import SqlLedger
from lifecycle.ports import KeyLedger
from lifecycle.records import Key

KEY = Key("ek_one", "predict", "00" * 32, 10)
LIMITED = Key("ek_two", "admin", "ff" * 32, 20, name="web", expires_at=10**15, rate_per_minute=10**9)


def test_keys_come_back_as_they_were_added_newest_first(any_ledger: KeyLedger) -> None:
    assert any_ledger.api_keys() == []
    any_ledger.add_key(KEY)
    any_ledger.add_key(LIMITED)
    assert any_ledger.api_keys() == [LIMITED, KEY]


def test_an_id_is_given_once(any_ledger: KeyLedger) -> None:
    any_ledger.add_key(KEY)
    with pytest.raises(Conflict, match="there is a key ek_one already; make another"):
        any_ledger.add_key(replace(KEY, scope="admin"))
    assert any_ledger.api_keys() == [KEY]


def test_a_revocation_is_for_one_key_and_for_ever(any_ledger: KeyLedger) -> None:
    any_ledger.add_key(KEY)
    any_ledger.add_key(LIMITED)
    assert any_ledger.revoke_key("ek_one", 30) == replace(KEY, revoked_at=30)
    assert any_ledger.revoke_key("ek_one", 40) == replace(KEY, revoked_at=30)
    assert any_ledger.api_keys() == [LIMITED, replace(KEY, revoked_at=30)]


def test_revoking_an_unknown_id_changes_nothing(any_ledger: KeyLedger) -> None:
    any_ledger.add_key(KEY)
    assert any_ledger.revoke_key("ek_none", 30) is None
    assert any_ledger.api_keys() == [KEY]


def test_a_ledger_from_before_keys_learns_them_and_keeps_what_it_had(tmp_path: Path) -> None:
    engine = open_engine("sqlite:///ledger.db", tmp_path)
    upgrade(engine, "0001")
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        connection.execute(insert(schema.audit).values(at=10, actor="ann", action="promote", detail={"version": 1}))
    assert schema_version(engine) == "0001"
    engine.dispose()
    ledger = SqlLedger("sqlite:///ledger.db", tmp_path)
    ledger.add_key(KEY)
    assert ledger.api_keys() == [KEY]
    assert [line["actor"] for line in ledger.audit_trail()] == ["ann"]
    ledger.close()
    assert schema_version(engine) == HEAD
    engine.dispose()
