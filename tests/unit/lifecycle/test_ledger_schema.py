"""The ledger's database: migrations make exactly the schema that the code uses."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Column, Engine, Integer, MetaData, Table, inspect

from lifecycle.errors import StoreUnavailable
from lifecycle.ledger import connect
from lifecycle.ledger.connect import HEAD, WRITE, create, migrate, open_engine, schema_version, upgrade, wal_is_safe
from lifecycle.ledger.schema import metadata
from lifecycle.ledger.sql import SqlLedger


def _differences(engine: Engine, expected: MetaData) -> list[object]:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, expected))


@pytest.mark.parametrize("way", [create, upgrade])
def test_an_empty_database_gets_exactly_the_schema_at_once_or_by_migrations(
    tmp_path: Path, way: Callable[[Engine], None]
) -> None:
    engine = open_engine("sqlite:///ledger.db", tmp_path)
    assert schema_version(engine) is None
    way(engine)
    assert schema_version(engine) == HEAD
    assert _differences(engine, metadata) == []


def test_the_comparison_sees_a_column_a_type_and_a_table_that_differ(tmp_path: Path) -> None:
    engine = open_engine("sqlite:///ledger.db", tmp_path)
    migrate(engine)
    changed = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(changed)
    changed.tables["moves"].append_column(Column("weight", Integer))
    Table("strange", changed, Column("id", Integer, primary_key=True))
    assert len(_differences(engine, changed)) == 2


def test_migrating_down_leaves_no_table(tmp_path: Path) -> None:
    engine = open_engine("sqlite:///ledger.db", tmp_path)
    migrate(engine)
    config = Config()
    config.set_main_option("script_location", str(Path(connect.__file__).parent / "migrations"))
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    migrate(engine)
    assert _differences(engine, metadata) == []


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"this is not a database, whatever its name" * 100)
    with pytest.raises(StoreUnavailable, match=r"cannot be opened: .*; check the path and its rights"):
        SqlLedger("sqlite:///ledger.db", tmp_path)


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_write_ahead_logging_is_used_only_where_its_bug_is_fixed(version: tuple[int, ...], safe: bool) -> None:
    assert wal_is_safe(version) is safe


def test_the_journal_follows_the_version_of_sqlite(tmp_path: Path) -> None:
    SqlLedger("sqlite:///ledger.db", tmp_path).close()
    connection = sqlite3.connect(tmp_path / "ledger.db")
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()
    assert mode == ("wal" if wal_is_safe() else "delete")
