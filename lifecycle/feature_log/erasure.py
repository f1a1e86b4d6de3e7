"""Erasure: all that is recorded about one subject leaves the tables, what was set aside, versions' rows and reports.

It is driven by a row of the ledger, every step of it can be repeated, and it is over only when a search of the bytes on
disk finds nothing. It runs under the fold lease: nobody else writes the tables meanwhile.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from lifecycle.clock import MICROSECONDS, Rest
from lifecycle.errors import Conflict, EvenkeelError
from lifecycle.feature_log import quarantine
from lifecycle.feature_log.data_files import DataFile
from lifecycle.feature_log.delta import LogTable
from lifecycle.feature_log.files import LOCAL_FILES, FileSystem
from lifecycle.feature_log.parquet import Group
from lifecycle.feature_log.storage import ObjectStorage
from lifecycle.feature_log.table import LogTables
from lifecycle.feature_log.traces import Traces, search, search_storage
from lifecycle.ports import AuditLedger, Clock, ErasureLedger, LeaseLedger, ModelStore, Runtime, VersionLedger
from lifecycle.records import Erasure, ModelVersion, PredictionBatch, Verdict
from lifecycle.snapshots import Workspace

RETRAIN = "retrain"
"""The lease of whoever makes versions."""
MOST_PASSES = 5
RETRY_SECONDS = 5.0
TABLES, VERSIONS, REPORTS, SEARCH = "tables", "versions", "reports", "search"
STEPS = (TABLES, VERSIONS, REPORTS, SEARCH)
AUDITED = 1_000
EVERY = 2**31 - 1
"""More windows than there are."""
EVER = 2**63 - 1
_REPORT = re.compile(r"\.?([0-9]{1,20})\.html")
log = structlog.get_logger(__name__)


class EraserLedger(VersionLedger, ErasureLedger, LeaseLedger, AuditLedger, Protocol):
    """The parts of the ledger that an erasure touches."""

    def replace_manifest(self, number: int, expected_digest: str, digest: str) -> None:
        """Version `number` is from now on the folder with `digest`; raises Conflict when it was not `expected_digest`."""

    def latest(self, limit: int) -> list[Verdict]:
        """The newest windows, newest first."""

    def reported(self) -> list[Verdict]:
        """Every window that has a report."""

    def withdraw_report(self, start: int) -> None:
        """The window's verdict has no report any more."""


class RevisableStore(ModelStore, Protocol):
    """A model store whose versions can lose rows."""

    @property
    def root(self) -> Path:
        """The folder of all versions."""

    def numbers(self) -> list[int]:
        """Every published number, registered or not."""

    def folders(self, number: int) -> list[Path]:
        """Every folder of a version, unverified."""

    def revise(self, number: int, manifest_digest: str, change: Any) -> str:
        """A changed copy beside a version; returns its digest."""

    def keep_only(self, number: int, manifest_digest: str) -> None:
        """Deletes every other folder of a version."""

    def discard(self, number: int) -> None:
        """Deletes all of a version that is in no ledger."""

    def sweep(self) -> None:
        """Deletes what was never published."""


@dataclass
class _Rows:
    """What is recorded about a subject: ids, the callers' own ids, and moments (microseconds since 1970)."""

    ids: set[str] = field(default_factory=set)
    external_ids: set[str] = field(default_factory=set)
    moments: list[int] = field(default_factory=list)

    def add(self, found: pa.Table) -> None:
        self.ids.update(found["id"].to_pylist())
        self.external_ids.update(value for value in found["external_id"].to_pylist() if value is not None)
        self.moments += found["at"].cast(pa.int64()).to_pylist()

    def add_batch(self, batch: PredictionBatch) -> None:
        self.ids.update(batch.ids)
        self.external_ids.update(value for value in batch.external_ids or () if value is not None)
        self.moments.append(batch.at)

    @property
    def bounds(self) -> tuple[str, str]:
        """The first and the last id; of no ids, bounds that nothing lies within."""
        return min(self.ids, default="~"), max(self.ids, default="")

    @property
    def labelled(self) -> pc.Expression:
        """Labels of these predictions."""
        return pc.field("id").isin(pa.array(sorted(self.ids), pa.string()))

    @property
    def awaited(self) -> pc.Expression:
        """Labels that wait for one of these predictions."""
        return self.labelled | pc.field("external_id").isin(pa.array(sorted(self.external_ids), pa.string()))


class Eraser:
    """Carries out the erasures of one project. The caller holds the fold lease; `held` says whether it still does."""

    def __init__(
        self,
        tables: LogTables,
        store: RevisableStore,
        ledger: EraserLedger,
        reports: Path,
        clock: Clock,
        *,
        workspace: Workspace | None = None,
        held: Callable[[], bool] = lambda: True,
        files: FileSystem = LOCAL_FILES,
    ) -> None:
        self._tables = tables
        self._workspace = workspace
        self._held = held
        self._store = store
        self._ledger = ledger
        self._reports = reports
        self._clock = clock
        self._files = files
        self._rest = Rest(clock)

    def step(self, watermark: int) -> None:
        """Carry out, oldest first, what was asked for before `watermark`: all recorded before that is in the tables.

        What cannot be done now is told and tried again some seconds later; nothing is raised.
        """
        if not self._rest.is_over:
            return
        for erasure in unfinished(self._ledger):
            if erasure.requested_at >= watermark:
                continue
            try:
                self.erase(erasure)
            except (EvenkeelError, OSError) as error:
                self._rest.begin(int(RETRY_SECONDS * MICROSECONDS))
                log.error("erasure_not_finished", erasure=erasure.id, error=str(error))
                self._tell(erasure.id, str(error))

    def erase(self, erasure: Erasure) -> Erasure:
        """Carry out `erasure` from where it stands, and return it finished, with its proof.

        Raises Conflict while a retrain runs, something is still found, or the lease is gone; StoreUnavailable or OSError when
        a store fails; ArtefactRejected for a damaged version. It can be called again after each, and after a kill at any point.
        """
        if erasure.finished_at is not None:
            return erasure
        doing = {TABLES: self._rows, VERSIONS: self._versions, REPORTS: self._withdraw, SEARCH: self._search}
        for step in STEPS[STEPS.index(erasure.proof.get("step", TABLES)) :]:
            erasure = doing[step](self._noted(erasure, step=step))
        proof = {name: erasure.proof[name] for name in ("removed", "searched")}
        self._audit(erasure, proof)
        finished = replace(erasure, token="", finished_at=self._clock.now(), proof=proof)
        self._ledger.save_erasure(finished)
        log.info("erasure_finished", erasure=erasure.id, **proof["removed"])
        return finished

    # rows

    def _rows(self, erasure: Erasure) -> Erasure:
        """Labels go first, while the predictions still say which are the subject's."""
        tables, token = self._tables, erasure.token
        hers = pc.field("subject") == token
        rows = _Rows()
        predictions = _holding(tables.predictions, hers, ("id", "external_id", "at", "subject"), rows.add)
        counts = {"predictions": len(rows.moments), "reference_rows": 0}
        for batch in quarantine.rows_about(tables.quarantine, token, self._files):
            rows.add_batch(batch)
        labels = _holding(tables.labels, rows.labelled, ("id",), _tally(counts, "labels"), rows.bounds)
        parked = _holding(
            tables.parked, rows.awaited, ("id", "external_id"), _tally(counts, "parked_labels"), rows.bounds
        )
        erasure = self._noted(
            erasure,
            starts=sorted({*erasure.proof.get("starts", ()), *self._windows(rows.moments)}),
            planned_at=erasure.proof.get("planned_at", self._clock.now()),
            removed=_larger(erasure.proof.get("removed", {}), **counts),
        )
        self._require_lease()
        _rewrite(tables.labels, labels, rows.labelled)
        _rewrite(tables.parked, parked, rows.awaited)
        cleaned = quarantine.forget(tables.quarantine, token, rows.ids, rows.external_ids, self._files)
        erasure = self._noted(erasure, removed=_larger(erasure.proof["removed"], **cleaned))
        _rewrite(tables.predictions, predictions, hers)
        self._require_lease()
        for table in tables.all:
            table.remove_unreferenced()
        return erasure

    def _require_lease(self) -> None:
        if not self._held():
            raise Conflict("the lease of the fold is held elsewhere; whoever has it goes on with the erasure")

    def _windows(self, moments: Sequence[int]) -> Iterator[int]:
        """The starts of the judged windows that hold any of `moments`."""
        if not moments:
            return
        ordered = pa.array(sorted(moments), pa.int64()).to_numpy()
        for verdict in self._ledger.latest(EVERY):
            first, last = ordered.searchsorted([verdict.start, verdict.end])
            if last > first:
                yield verdict.start

    # versions

    def _versions(self, erasure: Erasure) -> Erasure:
        """Until a look at all versions finds nothing to do, and nobody made one meanwhile from rows read before."""
        for _ in range(MOST_PASSES):
            self._refuse_while_retraining()
            self._store.sweep()
            erasure, changed = self._pass(erasure)
            if not changed:
                return erasure
        raise Conflict("versions keep changing while rows are taken out of them; it is tried again")

    def _refuse_while_retraining(self) -> None:
        lease = self._ledger.lease(RETRAIN)
        if lease and lease.expires_at > self._clock.now():
            raise Conflict(
                "a retrain is at work with rows that are to be erased; the erasure goes on when it has ended"
            )

    def _pass(self, erasure: Erasure) -> tuple[Erasure, bool]:
        changed = False
        registered = {version.number: version for version in self._ledger.versions()}
        for number in self._store.numbers():
            version = registered.get(number)
            if version is None:
                changed |= self._forget_stray(number, erasure.token)
                continue
            if len(self._store.folders(number)) > 1:
                self._store.keep_only(number, version.manifest_digest)
            rows = self._rows_in(version, erasure.token)
            if rows:
                removed = erasure.proof["removed"]
                so_far = dict(erasure.proof.get("versions", {})) | {str(number): rows}
                removed = _larger(removed, reference_rows=sum(so_far.values()))
                erasure = self._noted(erasure, versions=so_far, removed=removed)
                self._revise(version, erasure)
                changed = True
        return erasure, changed

    def _rows_in(self, version: ModelVersion, token: str) -> int:
        from lifecycle.versions import rows_about  # here, so that a folder that erases nothing never loads it

        try:
            return max((rows_about(folder, token) for folder in self._store.folders(version.number)), default=0)
        except (OSError, pa.ArrowException):
            self._store.open(version.number, version.manifest_digest)  # says what is damaged, and what to do
            raise

    def _forget_stray(self, number: int, token: str) -> bool:
        """A folder that a killed run left, which nobody can ever serve."""
        if search(self._store.folders(number), token, until=EVER).clean:
            return False
        self._store.discard(number)
        return True

    def _revise(self, version: ModelVersion, erasure: Erasure) -> None:
        """Beside the first, then the ledger, then the first goes: whenever this is cut short, the version loads."""
        from lifecycle.versions import forget_subject

        def forget(folder: Path) -> None:
            forget_subject(folder, erasure.token, lambda: self._runtime(version))

        digest = self._store.revise(version.number, version.manifest_digest, forget)
        self._ledger.replace_manifest(version.number, version.manifest_digest, digest)
        self._store.keep_only(version.number, digest)
        log.info("version_revised", version=version.number, erasure=erasure.id)

    def _runtime(self, version: ModelVersion) -> Runtime:
        from lifecycle import models

        return models.load(version, self._store).runtime

    # reports

    def _withdraw(self, erasure: Erasure) -> Erasure:
        """Pages whose window held a row, or whose version did; and any of the time in which rows were being taken out."""
        verdicts = {verdict.start: verdict for verdict in self._ledger.latest(EVERY)}
        affected = {start for start, verdict in verdicts.items() if _shows(verdict, erasure)}
        gone = 0
        for name in self._pages():
            match = _REPORT.match(name)
            if match and (int(match[1]) in affected or int(match[1]) not in verdicts):
                self._files.remove(self._reports / name)
                gone += 1
        if gone:
            self._files.sync_folder(self._reports)
        if self._workspace is not None:
            self._workspace.keep_only({int(found[1]) for name in self._pages() if (found := _REPORT.match(name))})
        for verdict in self._ledger.reported():
            if verdict.start in affected:
                self._ledger.withdraw_report(verdict.start)
        return self._noted(erasure, removed=_larger(erasure.proof["removed"], reports=gone))

    def _pages(self) -> list[str]:
        return list(self._files.names(self._reports))

    # proof

    def _search(self, erasure: Erasure) -> Erasure:
        places = [self._tables.folder, self._store.root, self._reports]
        places += [self._workspace.folder] if self._workspace is not None else []
        found = search(places, erasure.token, until=erasure.requested_at)
        for table in self._tables.all:
            if isinstance(table.storage, ObjectStorage):
                found += search_storage(table.storage, erasure.token, until=erasure.requested_at)
        if not found.clean:
            self._noted(erasure, step=TABLES)  # rows may have come since, such as from an import
            raise Conflict(_found(found))
        return self._noted(erasure, searched={"files": found.files, "bytes": found.bytes, "found": 0})

    def _noted(self, erasure: Erasure, **facts: Any) -> Erasure:
        noted = replace(erasure, proof={**erasure.proof, **facts})
        if noted != erasure:
            self._ledger.save_erasure(noted)
        return noted

    def _tell(self, identifier: str, problem: str) -> None:
        """Keep with the erasure what holds it up, for whoever waits for it."""
        for erasure in unfinished(self._ledger):
            if erasure.id == identifier:
                self._noted(erasure, problem=problem)

    def _audit(self, erasure: Erasure, proof: dict[str, Any]) -> None:
        """Once, even if the end is reached twice."""
        told = (
            line["detail"].get("erasure") for line in self._ledger.audit_trail(AUDITED) if line["action"] == "erased"
        )
        if erasure.id not in told:
            self._ledger.audit(self._clock.now(), erasure.actor, "erased", {"erasure": erasure.id, **proof})


def unfinished(ledger: ErasureLedger) -> list[Erasure]:
    """The erasures that are still to be carried out, oldest first."""
    return [erasure for erasure in ledger.erasures() if erasure.finished_at is None]


def _found(traces: Traces) -> str:
    what = "still hold it" if traces.found else "cannot be looked into"
    names = traces.found or traces.unreadable
    return (
        f"the subject is not erased: {len(names)} file(s) {what}, such as {names[0]}; remove what is not the product's own, "
        "finish an import that was cut short, and it is tried again"
    )


def _shows(verdict: Verdict, erasure: Erasure) -> bool:
    """Whether a report of this window may show an erased row."""
    proof = erasure.proof
    meanwhile = verdict.scored_at >= proof["planned_at"] and verdict.start <= erasure.requested_at
    return meanwhile or verdict.start in proof["starts"] or str(verdict.version) in proof.get("versions", {})


def _larger(counts: dict[str, int], **found: int) -> dict[str, int]:
    """A second attempt finds only what the first left: the larger count is that of all."""
    return counts | {name: max(count, counts.get(name, 0)) for name, count in found.items()}


def _tally(counts: dict[str, int], name: str) -> Callable[[pa.Table], None]:
    """Counts the rows it is given as `name`."""
    counts[name] = 0

    def add(found: pa.Table) -> None:
        counts[name] += found.num_rows

    return add


def _holding(
    table: LogTable,
    condition: pc.Expression,
    columns: Sequence[str],
    take: Callable[[pa.Table], None],
    ids: tuple[str, str] = ("", "\U0010ffff"),
) -> list[DataFile]:
    """The files of a table with rows that fulfil `condition`, which is about `columns`; `take` is given those rows.

    Files whose ids all lie outside of `ids` are not looked into.
    """
    schema = table.schema(columns)
    if len(schema.names) < len(columns):
        return []  # nothing of the kind was ever recorded
    holding = []
    for file in table.files():
        if file.first_id > ids[1] or file.last_id < ids[0]:
            continue
        found = [rows for group in _groups(table, file) if len(rows := _read(table, group, schema, condition))]
        if found:
            holding.append(file)
            take(pa.concat_tables(found))
    return holding


def _rewrite(table: LogTable, files: Sequence[DataFile], condition: pc.Expression) -> None:
    """Each of `files` without the rows that fulfil `condition`; what they were before is deleted from disk."""
    kept = condition.is_null() | ~condition  # a comparison with null is null, and such a row is somebody else's
    schema = table.schema()
    for file in files:
        table.replace([file], table.merged(_groups(table, file), schema, kept))
        table.remove_now([file.path])


def _groups(table: LogTable, file: DataFile) -> list[Group]:
    with table.reading(file.path):
        return table.source(file).groups(table.keys[0])


def _read(table: LogTable, group: Group, schema: pa.Schema, condition: pc.Expression) -> pa.Table:
    with table.reading(group.source.path):
        return group.source.read(group.index, schema).filter(condition)
