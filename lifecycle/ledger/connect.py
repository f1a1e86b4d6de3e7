"""Opening the ledger's database: safe SQLite settings, and migrations to the current schema."""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, StaticPool, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from lifecycle.errors import StoreUnavailable
from lifecycle.ledger.schema import metadata

HEAD = "0004"
WRITE = "evenkeel_write"
BUSY_MILLISECONDS = 15_000
_FIXED_WAL = ((3, 51, 3), (3, 52, 0)), ((3, 50, 7), (3, 51, 0)), ((3, 44, 6), (3, 45, 0))


def open_engine(url: str, project: Path) -> Engine:
    """An engine for `url`; a relative SQLite path is taken from `project`, and its folder is made."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database in (None, "", ":memory:"):
        engine = create_engine(parsed, poolclass=StaticPool, connect_args={"check_same_thread": False})
    else:
        path = project / str(parsed.database)
        path.parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed.set(database=str(path.resolve())))
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def migrate(engine: Engine) -> None:
    """Bring the schema to the current version; does nothing, and loads nothing, when it is there already."""
    found = schema_version(engine)
    if found is None:
        create(engine)
    elif found != HEAD:
        upgrade(engine)


def create(engine: Engine) -> None:
    """Make the current schema in an empty database at once, as all migrations together would, only quicker."""
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        metadata.create_all(connection)
        connection.execute(
            text("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        )
        if connection.execute(text("SELECT version_num FROM alembic_version")).scalar() is None:
            connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def upgrade(engine: Engine, revision: str = HEAD) -> None:
    """Run the migrations that are still to be run, up to `revision`."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def schema_version(engine: Engine) -> str | None:
    """The migration the database is at; None for an empty one. Raises StoreUnavailable when it cannot be read."""
    try:
        if not inspect(engine).has_table("alembic_version"):
            return None
        with engine.connect() as connection:
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return str(found) if found else None
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", error)
        raise StoreUnavailable(
            f"the ledger at {engine.url!r} cannot be opened: {cause}; check the path and its rights"
        ) from error


def forget_replaced(engine: Engine) -> None:
    """Take what was replaced out of SQLite's write-ahead log too; does nothing for a database without one."""
    if engine.dialect.name == "sqlite":
        connection = engine.raw_connection()  # a checkpoint cannot be made within a transaction
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()


def wal_is_safe(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """Whether this SQLite has the fix for the bug that can lose WAL commits with two writing connections."""
    return version >= (3, 52, 0) or any(low <= version < high for low, high in _FIXED_WAL)


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # this module begins transactions itself, so that writers queue, not fail
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
    cursor.execute(f"PRAGMA journal_mode={'WAL' if wal_is_safe() else 'DELETE'}")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA secure_delete=ON")  # what an erasure replaced is not to be found in free pages
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get(WRITE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
