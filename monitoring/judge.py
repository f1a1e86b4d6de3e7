"""One window, end to end: rows, reference, scores, findings, performance, verdict. It writes nothing.

The window is compared with the reference of the version that answered most of its rows, and quality is measured on
that version's rows alone. A window that cannot be compared still gets a verdict that says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from lifecycle import versions
from lifecycle.config import MonitoringSection
from lifecycle.contract import Target
from lifecycle.errors import ModelUnavailable
from lifecycle.feature_log.placing import ARROW, column_of
from lifecycle.feature_log.table import LogTables
from lifecycle.ports import Clock, DriftScorer, ModelStore, VersionLedger
from lifecycle.records import ModelVersion, Performance, Verdict
from monitoring import performance, quality
from monitoring.columns import Reference, prepare_reference, prepare_window, thinned
from monitoring.scores import Methods, score_columns
from monitoring.thresholds import Thresholds
from monitoring.verdicts import Evidence, decide
from monitoring.windows import Window

NOT_FOLDED = "the feature log was not fully folded when this window was judged; rows may be missing from it"
KEPT_REFERENCES = 4


@dataclass
class References:
    """Prepared references by version; the newest few are kept."""

    store: ModelStore
    ledger: VersionLedger

    def __post_init__(self) -> None:
        self._known: dict[int, tuple[ModelVersion, Reference]] = {}

    def of(self, number: int) -> tuple[ModelVersion, Reference]:
        """The version and its reference. Raises ModelUnavailable when either cannot be had."""
        if number not in self._known:
            version = self.ledger.version(number)
            if version is None:
                raise ModelUnavailable(f"version {number} answered but is not in the ledger; restore the ledger")
            contract = versions.load_contract(version, self.store)
            rows = versions.load_reference(version, self.store)
            while len(self._known) >= KEPT_REFERENCES:
                del self._known[next(iter(self._known))]
            self._known[number] = version, prepare_reference(number, contract, rows)
        return self._known[number]


class Judge:
    """Judges windows; `judge` twice over the same rows and earlier verdicts gives the same verdict."""

    def __init__(
        self,
        tables: LogTables,
        references: References,
        scorer: DriftScorer,
        clock: Clock,
        settings: MonitoringSection,
        seed: int,
    ) -> None:
        self._tables = tables
        self._references = references
        self._scorer = scorer
        self._clock = clock
        self._settings = settings
        self._methods = Methods(settings.numeric_method, settings.categorical_method)
        self._thresholds = Thresholds(scorer, self._methods, settings.minimum_effect, seed)

    def judge(self, window: Window, earlier: Sequence[Verdict]) -> Verdict:
        """The verdict on `window`; `earlier` are the verdicts before it, newest first."""
        rows = self._tables.rows(window.start, window.end, labels=True)
        evidence = self._evidence(rows) if rows.num_rows or window.complete else Evidence(0, None, obstacle=NOT_FOLDED)
        decision = decide(evidence, earlier, self._settings)
        notes = () if window.complete else (NOT_FOLDED,)
        return Verdict(
            start=window.start,
            end=window.end,
            rows=rows.num_rows,
            state=decision.state,
            version=evidence.version,
            scores=evidence.scores,
            reasons=(*notes, *decision.reasons),
            drifting=decision.drifting,
            performance=evidence.performance,
            scored_at=self._clock.now(),
        )

    def relabel(self, verdict: Verdict, earlier: Sequence[Verdict]) -> Verdict | None:
        """`verdict` with the labels there are now; None when none arrived since.

        Scores stand; a data-quality verdict keeps its state, because its findings outrank performance.
        """
        if verdict.version is None:
            return None
        columns = ("id", "version", "prediction")
        rows = self._tables.rows(verdict.start, verdict.end, columns, labels=True)
        found = self._performance(_of_version(rows, verdict.version), verdict.version)
        if found == verdict.performance or (verdict.performance and found.rows <= verdict.performance.rows):
            return None
        if verdict.state == "data_quality":
            return replace(verdict, performance=found)
        evidence = Evidence(verdict.rows, verdict.version, verdict.scores, (), found)
        decision = decide(evidence, earlier, self._settings)
        notes = tuple(reason for reason in verdict.reasons if reason == NOT_FOLDED)
        reasons = (*notes, *decision.reasons)
        return replace(verdict, performance=found, state=decision.state, drifting=decision.drifting, reasons=reasons)

    def compared(self, verdict: Verdict) -> tuple[Reference, pa.Table]:
        """What the scores of `verdict` were computed from: its reference and its (sampled) rows."""
        assert verdict.version is not None, "only a scored verdict was compared with anything"
        return self._references.of(verdict.version)[1], self._sample(self._tables.rows(verdict.start, verdict.end))

    def _sample(self, rows: pa.Table) -> pa.Table:
        return thinned(rows, self._settings.sample_rows)

    def _evidence(self, rows: pa.Table) -> Evidence:
        count = rows.num_rows
        if not count:
            return Evidence(0, None)
        number = _main_version(rows)
        if count < self._settings.minimum_rows:
            return Evidence(count, number)
        try:
            _, reference = self._references.of(number)
        except ModelUnavailable as error:
            return Evidence(count, number, obstacle=f"the window could not be compared: {error}")
        window = prepare_window(reference, self._sample(rows))
        thresholds = self._thresholds.of(reference, len(window))
        scores = score_columns(self._scorer, self._methods, reference, window, thresholds)
        found = quality.findings(reference, window, self._settings)
        return Evidence(count, number, scores, found, self._performance(_of_version(rows, number), number))

    def _performance(self, rows: pa.Table, number: int) -> Performance:
        version, reference = self._references.of(number)
        target = reference.contract.target
        return performance.measure(
            target, _answers(rows, target), version.metrics, self._settings.performance_tolerance
        )


def _answers(rows: pa.Table, target: Target) -> pa.Table:
    """Predictions and labels of the kind that `target` has, side by side."""
    kind = "numeric" if target.is_regression else "categorical"
    found = {name: column_of(rows.schema, name, kind) for name in ("prediction", "label")}
    missing = pa.nulls(rows.num_rows, ARROW[kind])
    return pa.table({name: rows[stored] if stored else missing for name, stored in found.items()})


def _main_version(rows: pa.Table) -> int:
    """The version that answered most rows; of equals, the newest."""
    counts = rows["version"].value_counts().to_pylist()
    return int(max(counts, key=lambda entry: (entry["counts"], entry["values"]))["values"])


def _of_version(rows: pa.Table, number: int) -> pa.Table:
    return rows.filter(pc.equal(rows["version"], number)) if rows.num_rows else rows
