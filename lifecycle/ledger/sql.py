"""The ledger on SQLAlchemy Core: SQLite by default, in memory for unit tests."""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, func, insert, select, update
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from lifecycle.errors import Conflict, StoreUnavailable
from lifecycle.ledger import schema
from lifecycle.ledger.connect import BUSY_MILLISECONDS, WRITE, forget_replaced, migrate, open_engine
from lifecycle.records import (
    Alert,
    Calibration,
    ColumnScore,
    Delivery,
    Erasure,
    Estimate,
    FairnessGap,
    Finding,
    FoldStatus,
    Key,
    Lease,
    ModelVersion,
    Move,
    Performance,
    Pointer,
    RetrainRun,
    SegmentScore,
    Verdict,
    VerdictState,
    VersionStatus,
    Worker,
)

CHAMPION = "champion"
BEHIND_SECONDS = 2 * BUSY_MILLISECONDS / 1000
"""How far the moment that one holder asks at may lie before another's: it was read before waiting for the database's lock."""
MOST_PROBLEMS = 5


class SqlLedger:
    """All parts of the ledger over one engine; each method is one transaction."""

    def __init__(self, url: str, project: Path) -> None:
        self._engine = open_engine(url, project)
        weakref.finalize(self, self._engine.dispose)
        migrate(self._engine)

    def close(self) -> None:
        self._engine.dispose()

    def problems(self, *, thorough: bool = False) -> list[str]:
        """What SQLite finds wrong with its file, `thorough` with its indexes too; a server looks after its own."""
        if self._engine.dialect.name != "sqlite":
            return []
        check = "integrity_check" if thorough else "quick_check"
        with _translated(), self._engine.connect() as connection:
            found = connection.exec_driver_sql(f"PRAGMA {check}({MOST_PROBLEMS})").scalars()
            return [str(problem) for problem in found if problem != "ok"]

    # versions

    def register(self, version: ModelVersion) -> None:
        try:
            with self._write() as connection:
                connection.execute(insert(schema.versions).values(**asdict(version)))
        except IntegrityError as error:
            raise Conflict(f"version {version.number} is registered already; take the next number") from error

    def version(self, number: int) -> ModelVersion | None:
        row = self._one(schema.versions, schema.versions.c.number == number)
        return ModelVersion(**row) if row else None

    def versions(self) -> list[ModelVersion]:
        query = select(schema.versions).order_by(schema.versions.c.number.desc())
        return [ModelVersion(**_dict(row)) for row in self._all(query)]

    def set_status(self, number: int, status: VersionStatus) -> None:
        with self._write() as connection:
            connection.execute(update(schema.versions).where(schema.versions.c.number == number).values(status=status))

    def replace_manifest(self, number: int, expected_digest: str, digest: str) -> None:
        """Version `number` is from now on the folder with `digest`. Raises Conflict when it was not `expected_digest`."""
        table = schema.versions
        where = table.c.number == number, table.c.manifest_digest == expected_digest
        with self._write() as connection:
            if not connection.execute(update(table).where(*where).values(manifest_digest=digest)).rowcount:
                raise Conflict(f"version {number} was revised by somebody else meanwhile; look at it again")

    # pointer

    def pointer(self) -> Pointer:
        row = self._one(schema.pointer, schema.pointer.c.name == CHAMPION)
        return _pointer(row)

    def stage(self, version: int | None) -> None:
        with self._write() as connection:
            current = _pointer(_first(connection, schema.pointer, schema.pointer.c.name == CHAMPION))
            connection.execute(delete(schema.acknowledgements))
            row = asdict(current) | {"name": CHAMPION, "staged": version}
            _replace(connection, schema.pointer, {"name": CHAMPION}, row)

    def flip(self, version: int, expected_generation: int, actor: str, reason: str, at: int) -> int:
        with self._write() as connection:
            current = _pointer(_first(connection, schema.pointer, schema.pointer.c.name == CHAMPION))
            if current.generation != expected_generation:
                raise Conflict(
                    f"the champion pointer moved to generation {current.generation} meanwhile (version "
                    f"{current.version}); look at it and decide again"
                )
            moved = Pointer(version, current.generation + 1, None, at)
            _replace(connection, schema.pointer, {"name": CHAMPION}, asdict(moved) | {"name": CHAMPION})
            connection.execute(
                insert(schema.moves).values(
                    generation=moved.generation, version=version, at=at, actor=actor, reason=reason
                )
            )
            where = schema.versions.c.number == version
            connection.execute(update(schema.versions).where(where).values(status="promoted"))
            return moved.generation

    def moves(self, limit: int = 50) -> list[Move]:
        query = select(schema.moves).order_by(schema.moves.c.generation.desc()).limit(limit)
        return [Move(**_dict(row)) for row in self._all(query)]

    # workers

    def report(self, worker: Worker) -> None:
        with self._write() as connection:
            _replace(connection, schema.workers, {"id": worker.id}, asdict(worker))

    def workers(self, since: int) -> list[Worker]:
        query = select(schema.workers).where(schema.workers.c.heartbeat_at >= since).order_by(schema.workers.c.id)
        return [Worker(**_dict(row)) for row in self._all(query)]

    def acknowledge(self, worker: str, version: int, problem: str | None, at: int) -> None:
        key = {"worker": worker, "version": version}
        with self._write() as connection:
            _replace(connection, schema.acknowledgements, key, key | {"problem": problem, "at": at})

    def acknowledgements(self, version: int) -> Mapping[str, str | None]:
        table = schema.acknowledgements
        return {row.worker: row.problem for row in self._all(select(table).where(table.c.version == version))}

    # verdicts

    def save(self, verdict: Verdict) -> None:
        with self._write() as connection:
            _replace(connection, schema.verdicts, {"start": verdict.start}, asdict(verdict))

    def latest(self, limit: int) -> list[Verdict]:
        query = select(schema.verdicts).order_by(schema.verdicts.c.start.desc()).limit(limit)
        return [_verdict(_dict(row)) for row in self._all(query)]

    def judged(self, limit: int, before: int | None = None) -> list[Verdict]:
        """The newest windows, of those that begin before `before`, that had rows enough for a judgement, newest first."""
        table = schema.verdicts
        query = select(table).where(table.c.state.not_in(("no_traffic", "insufficient_data")))
        query = query if before is None else query.where(table.c.start < before)
        query = query.order_by(table.c.start.desc()).limit(limit)
        return [_verdict(_dict(row)) for row in self._all(query)]

    def spans(self, since: int) -> list[tuple[int, int]]:
        """Start and end of every window that begins at or after `since`, in order."""
        table = schema.verdicts
        query = select(table.c.start, table.c.end).where(table.c.start >= since).order_by(table.c.start)
        return [(row.start, row.end) for row in self._all(query)]

    def windows_in(self, state: VerdictState) -> list[Verdict]:
        """Every window judged `state`, newest first."""
        table = schema.verdicts
        query = select(table).where(table.c.state == state).order_by(table.c.start.desc())
        return [_verdict(_dict(row)) for row in self._all(query)]

    def verdict(self, start: int) -> Verdict | None:
        row = self._one(schema.verdicts, schema.verdicts.c.start == start)
        return _verdict(row) if row else None

    def reported(self) -> list[Verdict]:
        """Every window that has a report, newest first."""
        table = schema.verdicts
        query = select(table).where(table.c.report.is_not(None)).order_by(table.c.start.desc())
        return [_verdict(_dict(row)) for row in self._all(query)]

    def withdraw_report(self, start: int) -> None:
        """The window's verdict has no report any more."""
        with self._write() as connection:
            connection.execute(update(schema.verdicts).where(schema.verdicts.c.start == start).values(report=None))

    def window_counts(self) -> Mapping[str, int]:
        """Windows by verdict state."""
        return self._counts(schema.verdicts)

    # calibrations

    def save_calibration(self, calibration: Calibration) -> None:
        with self._write() as connection:
            _replace(connection, schema.calibrations, {"key": calibration.key}, asdict(calibration))

    def calibration(self, key: str) -> Calibration | None:
        row = self._one(schema.calibrations, schema.calibrations.c.key == key)
        return Calibration(**row) if row else None

    def calibrations(self, version: int) -> list[Calibration]:
        table = schema.calibrations
        query = select(table).where(table.c.version == version).order_by(table.c.made_at.desc(), table.c.key)
        return [Calibration(**_dict(row)) for row in self._all(query)]

    # alerts

    def save_alert(self, alert: Alert, deliveries: Sequence[Delivery]) -> None:
        with self._write() as connection:
            _replace(connection, schema.alerts, {"id": alert.id}, asdict(alert))
            for delivery in deliveries:
                row = asdict(delivery) | {"delivered": False, "error": None}
                _replace(connection, schema.outbox, {"key": delivery.key}, row)

    def alerts(self, *, only_open: bool, limit: int = 100) -> list[Alert]:
        query = select(schema.alerts).order_by(schema.alerts.c.opened_at.desc()).limit(limit)
        if only_open:
            query = query.where(schema.alerts.c.resolved_at.is_(None))
        return [Alert(**_dict(row)) for row in self._all(query)]

    def due(self, now: int, attempts: int) -> list[Delivery]:
        table = schema.outbox
        query = (
            select(table)
            .where(table.c.delivered.is_(False), table.c.attempts < attempts, table.c.next_attempt_at <= now)
            .order_by(table.c.next_attempt_at, table.c.key)
        )
        return [_delivery(_dict(row)) for row in self._all(query)]

    def settle(self, key: str, *, delivered: bool, next_attempt_at: int, error: str | None) -> None:
        table = schema.outbox
        outcome = {"delivered": delivered, "next_attempt_at": next_attempt_at, "error": error}
        with self._write() as connection:
            connection.execute(update(table).where(table.c.key == key).values(**outcome, attempts=table.c.attempts + 1))

    def outbox_counts(self, attempts: int) -> tuple[int, int]:
        """Deliveries still waiting, and dead letters: those given up after `attempts` tries."""
        table = schema.outbox
        rows = self._all(select(table.c.attempts).where(table.c.delivered.is_(False)))
        dead = sum(row.attempts >= attempts for row in rows)
        return len(rows) - dead, dead

    # retrain runs

    def save_run(self, run: RetrainRun) -> None:
        with self._write() as connection:
            _replace(connection, schema.runs, {"id": run.id}, asdict(run))

    def run(self, identifier: str) -> RetrainRun | None:
        row = self._one(schema.runs, schema.runs.c.id == identifier)
        return RetrainRun(**row) if row else None

    def runs(self, limit: int = 50) -> list[RetrainRun]:
        query = select(schema.runs).order_by(schema.runs.c.requested_at.desc(), schema.runs.c.id.desc()).limit(limit)
        return [RetrainRun(**_dict(row)) for row in self._all(query)]

    def run_counts(self) -> Mapping[str, int]:
        """Runs by state."""
        return self._counts(schema.runs)

    # leases

    def acquire(self, name: str, holder: str, now: int, seconds: float) -> Lease | None:
        with self._write() as connection:
            row = _first(connection, schema.leases, schema.leases.c.name == name)
            held = Lease(**row) if row else None
            # No holder asks for longer: one that expires later than that was taken while the clock ran ahead.
            longest = now + int((seconds + BEHIND_SECONDS) * 1e6)
            if held and held.holder != holder and now < held.expires_at <= longest:
                return None
            epoch = held.epoch + (held.holder != holder) if held else 1
            lease = Lease(name, holder, epoch, now + int(seconds * 1e6))
            _replace(connection, schema.leases, {"name": name}, asdict(lease))
            return lease

    def release(self, name: str, holder: str) -> None:
        table = schema.leases
        with self._write() as connection:
            connection.execute(update(table).where(table.c.name == name, table.c.holder == holder).values(expires_at=0))

    def lease(self, name: str) -> Lease | None:
        row = self._one(schema.leases, schema.leases.c.name == name)
        return Lease(**row) if row else None

    # fold

    def save_fold(self, status: FoldStatus) -> None:
        with self._write() as connection:
            _replace(connection, schema.fold_status, {"name": "fold"}, asdict(status) | {"name": "fold"})

    def fold_status(self) -> FoldStatus | None:
        row = self._one(schema.fold_status, schema.fold_status.c.name == "fold")
        return FoldStatus(**{key: value for key, value in row.items() if key != "name"}) if row else None

    # erasures

    def save_erasure(self, erasure: Erasure) -> None:
        with self._write() as connection:
            _replace(connection, schema.erasures, {"id": erasure.id}, asdict(erasure))
        with _translated():
            forget_replaced(self._engine)

    def erasures(self) -> list[Erasure]:
        query = select(schema.erasures).order_by(schema.erasures.c.requested_at, schema.erasures.c.id)
        return [Erasure(**_dict(row)) for row in self._all(query)]

    # keys

    def add_key(self, key: Key) -> None:
        try:
            with self._write() as connection:
                connection.execute(insert(schema.keys).values(**asdict(key)))
        except IntegrityError as error:
            raise Conflict(f"there is a key {key.id} already; make another") from error

    def api_keys(self) -> list[Key]:
        query = select(schema.keys).order_by(schema.keys.c.created_at.desc(), schema.keys.c.id)
        return [Key(**_dict(row)) for row in self._all(query)]

    def revoke_key(self, identifier: str, at: int) -> Key | None:
        table = schema.keys
        with self._write() as connection:
            still = table.c.id == identifier, table.c.revoked_at.is_(None)
            connection.execute(update(table).where(*still).values(revoked_at=at))
            row = _first(connection, table, table.c.id == identifier)
            return Key(**row) if row else None

    # audit

    def audit(self, at: int, actor: str, action: str, detail: Mapping[str, Any]) -> None:
        with self._write() as connection:
            connection.execute(insert(schema.audit).values(at=at, actor=actor, action=action, detail=dict(detail)))

    def audit_trail(self, limit: int = 100) -> list[dict[str, Any]]:
        query = select(schema.audit).order_by(schema.audit.c.sequence.desc()).limit(limit)
        return [_dict(row) for row in self._all(query)]

    def _counts(self, table: Table) -> dict[str, int]:
        query = select(table.c.state, func.count().label("rows")).group_by(table.c.state)
        return {row.state: int(row.rows) for row in self._all(query)}

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with _translated(), self._engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
            yield connection

    def _all(self, query: Any) -> Sequence[Row[Any]]:
        with _translated(), self._engine.connect() as connection:
            return connection.execute(query).all()

    def _one(self, table: Table, condition: Any) -> dict[str, Any] | None:
        with _translated(), self._engine.connect() as connection:
            return _first(connection, table, condition)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        if type(error) not in (DatabaseError, OperationalError):  # the others are about what was asked, not the store
            raise
        raise StoreUnavailable(
            f"the ledger cannot be read or written: {error.orig}; check that its disk or server is reachable, and restore "
            "the ledger from a backup if it is damaged"
        ) from error


def _dict(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)


def _first(connection: Connection, table: Table, condition: Any) -> dict[str, Any] | None:
    row = connection.execute(select(table).where(condition)).first()
    return _dict(row) if row else None


def _replace(connection: Connection, table: Table, key: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    where = [table.c[name] == value for name, value in key.items()]
    if not connection.execute(update(table).where(*where).values(**row)).rowcount:
        connection.execute(insert(table).values(**row))


def _pointer(row: dict[str, Any] | None) -> Pointer:
    return Pointer(row["version"], row["generation"], row["staged"], row["moved_at"]) if row else Pointer(None, 0, None)


def _verdict(row: dict[str, Any]) -> Verdict:
    row["scores"] = tuple(ColumnScore(**score) for score in row["scores"])
    row["reasons"] = tuple(row["reasons"])
    row["findings"] = tuple(Finding(**finding) for finding in row["findings"])
    row["segments"] = tuple(SegmentScore(**_with_interval(segment)) for segment in row["segments"])
    row["fairness"] = tuple(FairnessGap(**_with_interval(gap)) for gap in row["fairness"])
    row["estimate"] = Estimate(**_with_interval(row["estimate"])) if row["estimate"] else None
    row["performance"] = _performance(row["performance"]) if row["performance"] else None
    return Verdict(**row)


def _performance(content: dict[str, Any]) -> Performance:
    intervals = {name: (low, high) for name, (low, high) in content.get("intervals", {}).items()}
    return Performance(**content | {"intervals": intervals})


def _with_interval(content: dict[str, Any]) -> dict[str, Any]:
    """Pairs are lists in JSON."""
    return content | {"interval": tuple(content["interval"]) if content["interval"] else None}


def _delivery(row: dict[str, Any]) -> Delivery:
    return Delivery(**{key: value for key, value in row.items() if key not in ("delivered", "error")})
