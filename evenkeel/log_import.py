"""`evenkeel log import`: brings history into the feature log, checked by the contract as requests are.

A file is imported as a whole or not at all, and once: its digest is kept in the audit trail. What is marked in the contract's
privacy is treated here as it is by the service.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evenkeel.actions import person
from evenkeel.column_types import as_text, moments_where_readable
from evenkeel.read_source import read_source
from evenkeel.replay import check_columns
from evenkeel.source_rows import request_labels, request_rows
from lifecycle.clock import from_datetime
from lifecycle.contract import Columns, Contract, Scalar
from lifecycle.errors import Conflict, InputRejected, Problem, ProjectInvalid
from lifecycle.feature_log.files import LOCAL_FILES, FileSystem
from lifecycle.feature_log.imports import Imports, imported
from lifecycle.feature_log.table import PROBABILITY
from lifecycle.feature_log.writer import SegmentWriter
from lifecycle.ids import uuid7
from lifecycle.privacy import Marks, PrivacyRules
from lifecycle.project import Project
from lifecycle.pseudonyms import Pseudonyms
from lifecycle.records import Label, LogSchema, PredictionBatch

CHUNK_ROWS = 1_000
MOST_SHOWN = 10
PROTOCOL = "import"
NO_VERSION = 0
"""The version of answers that no version of this project gave."""
FOREVER_SECONDS = 1e9
TIME, PREDICTION, LABEL, VERSION = "at", "prediction", "label", "version"


@dataclass(frozen=True)
class ImportOptions:
    """Which columns hold what, None for the usual ones, and what becomes of rows that are refused and of files seen before."""

    time: str | None = None
    prediction: str | None = None
    label: str | None = None
    version: int | None = None
    skip_bad: bool = False
    again: bool = False


@dataclass
class ImportResult:
    """What came of it. `problems` are the first of the rows that were skipped."""

    identifier: str
    rows: int = 0
    labels: int = 0
    skipped: int = 0
    problems: list[Problem] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        return {**asdict(self), "import": self.identifier}


@dataclass(frozen=True)
class _Source:
    """The file's rows, and what is known of each beside its features; a sentence where that cannot be."""

    frame: pd.DataFrame
    answered: Sequence[int | str]
    versions: Sequence[int | str]
    predictions: Sequence[Scalar]
    labels: Sequence[Scalar]
    probabilities: dict[str, Sequence[float]]


def bring_in(
    project: Project,
    file: Path,
    options: ImportOptions,
    *,
    files: FileSystem = LOCAL_FILES,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> ImportResult:
    """Import `file` into the feature log of `project`.

    Raises InputRejected when a row is refused and `skip_bad` is not set, ProjectInvalid when the file as a whole cannot be taken,
    Conflict when it was imported before, or another import runs; then nothing of it is in the log.
    """
    contract = project.contract()
    digest = _digest(file)
    source = _source(project, contract, read_source(file), options)
    rules = PrivacyRules(contract, _pseudonyms(project, contract))
    area = Imports(project.tables.folder, files)
    holding = _writer(project, project.tables.segments, files)
    try:
        holding.append_labels([])  # while its segment is open, nobody takes what was received before for all there is
        with area.running(project.ledger):
            _refuse_again(project, file, digest, again=options.again)
            writer = _writer(project, area.staged, files)
            try:
                found = _Import(project, contract, rules, source, writer, skip_bad=options.skip_bad).run(progress)
            finally:
                writer.close()
            facts = {"file": file.name[:200], "digest": digest, "rows": found.rows, "labels": found.labels}
            area.commit(found.identifier, project.clock.now(), person(), facts | {"skipped": found.skipped})
    finally:
        holding.close()
    return found


class _Import:
    """One pass over the rows: each is checked, and appended when it is right."""

    def __init__(
        self,
        project: Project,
        contract: Contract,
        rules: PrivacyRules,
        source: _Source,
        writer: SegmentWriter,
        *,
        skip_bad: bool,
    ) -> None:
        self._name = project.config.model.name
        self._clock = project.clock
        self._contract = contract
        self._rules = rules
        self._source = source
        self._writer = writer
        self._skip_bad = skip_bad
        self._schemas = {
            number: LogSchema.of(number, contract) for number in set(source.versions) if type(number) is int
        }
        self._result = ImportResult(uuid7())
        self._waiting: list[Future[None]] = []

    def run(self, progress: Callable[[int, int], None]) -> ImportResult:
        count = len(self._source.frame)
        for start in range(0, count, CHUNK_ROWS):
            self._chunk(start, min(start + CHUNK_ROWS, count))
            self._settle()
            progress(min(start + CHUNK_ROWS, count), count)
        self._writer.close()
        self._settle()
        result = self._result
        result.problems.sort(key=lambda problem: problem.row or 0)
        if result.problems and not self._skip_bad:
            raise _refusal(result, count)
        if not result.rows:
            raise _refusal(result, count)
        return result

    def _chunk(self, start: int, end: int) -> None:
        rows = _rows(self._contract, self._source.frame.iloc[start:end])
        places = list(range(end - start))
        problems = self._own_problems(start, end)
        while True:
            self._note([replace(problem, row=start + (problem.row or 0)) for problem in problems])
            wrong = {problem.row for problem in problems}
            places = [place for place in places if place not in wrong]
            chosen = [rows[place] for place in places]
            try:
                columns = self._contract.check(chosen) if chosen else {}
                marks = self._rules.of_rows(chosen, columns) if chosen else Marks(None, None)
                break
            except InputRejected as error:
                problems = [replace(problem, row=places[problem.row or 0]) for problem in error.problems]
                if not problems:
                    raise
        if places and (self._skip_bad or not self._result.problems):
            self._append([start + place for place in places], columns, marks)

    def _own_problems(self, start: int, end: int) -> list[Problem]:
        """What is wrong with the rows beside their features."""
        source = self._source
        found: list[Problem] = []
        for place, index in enumerate(range(start, end)):
            said = {TIME: source.answered[index], VERSION: source.versions[index]}
            said |= {
                PREDICTION: self._wrong(source.predictions[index], needed=True),
                LABEL: self._wrong(source.labels[index], needed=False),
                PROBABILITY: self._wrong_scores(index),
            }
            found += [Problem(place, name, words) for name, words in said.items() if isinstance(words, str)]
        return found

    def _wrong(self, value: Scalar, *, needed: bool) -> str | int:
        """The words for what is wrong with an answer or a label; a number when nothing is."""
        if value is None:
            return "is missing" if needed else 0
        try:
            self._contract.label(value)
        except InputRejected as error:
            return str(error).removeprefix("the label ")
        return 0

    def _wrong_scores(self, index: int) -> str | int:
        scores = [values[index] for values in self._source.probabilities.values()]
        return 0 if all(0 <= score <= 1 for score in scores) else "is not between 0 and 1"

    def _note(self, problems: Sequence[Problem]) -> None:
        self._result.problems += problems[: MOST_SHOWN - len(self._result.problems)]
        self._result.skipped += len({problem.row for problem in problems})

    def _append(self, rows: list[int], columns: Columns, marks: Marks) -> None:
        """Rows of one moment and version that follow each other are one record."""
        source = self._source
        places = range(len(rows))
        for (at, version), run in groupby(
            places, lambda place: (source.answered[rows[place]], source.versions[rows[place]])
        ):
            chosen = list(run)
            first, last = chosen[0], chosen[-1] + 1
            batch = self._batch(int(at), int(version), rows[first:last])
            batch.columns = {name: values[first:last] for name, values in columns.items()}
            own = Marks(*(None if texts is None else texts[first:last] for texts in marks))
            self._wait(self._writer.append_predictions(self._rules.recorded(batch, own), self._schemas[int(version)]))
            self._labels(batch.ids, rows[first:last])
        self._result.rows += len(rows)

    def _batch(self, at: int, version: int, rows: list[int]) -> PredictionBatch:
        source = self._source
        return PredictionBatch(
            request_id=self._result.identifier,
            at=at,
            model=self._name,
            version=version,
            generation=0,
            protocol=PROTOCOL,
            ids=[uuid7(at // 1000) for _ in rows],
            columns={},
            predictions=[self._contract.label(source.predictions[row]) for row in rows],
            probabilities={name: [values[row] for row in rows] for name, values in source.probabilities.items()},
            latency_us=0,
        )

    def _labels(self, ids: list[str], rows: list[int]) -> None:
        now = self._clock.now()
        labels = [
            Label(identifier, self._contract.label(value), int(self._source.answered[row]), now)
            for identifier, row in zip(ids, rows, strict=True)
            if (value := self._source.labels[row]) is not None
        ]
        if labels:
            self._wait(self._writer.append_labels(labels))
            self._result.labels += len(labels)

    def _wait(self, future: Future[None] | None) -> None:
        if future is not None:
            self._waiting.append(future)

    def _settle(self) -> None:
        """Return once everything appended is on disk."""
        for future in self._waiting:
            future.result()
        self._waiting.clear()


def _refusal(result: ImportResult, count: int) -> InputRejected:
    shown = "; ".join(
        f"row {(problem.row or 0) + 1}{f', {problem.field}' if problem.field else ''}: {problem.problem}"
        for problem in result.problems
    )
    return InputRejected(
        f"{result.skipped} of {count} rows are refused, so nothing was imported. The first problems: {shown}. "
        "Correct the file, or leave such rows out with --skip-bad",
        tuple(result.problems),
    )


def _source(project: Project, contract: Contract, frame: pd.DataFrame, options: ImportOptions) -> _Source:
    check_columns(frame, contract)
    prediction = _named(frame, options.prediction, (PREDICTION,), "--prediction", "the answers that were given")
    label = _optional(frame, options.label, (LABEL, contract.target.name), "--label")
    time = _named(frame, options.time, (TIME, *filter(None, (contract.time,))), "--time", "when each was answered")
    return _Source(
        frame,
        _moments(frame[time], project.clock.now()),
        _versions(project, frame, options.version),
        _answers(contract, frame, prediction),
        _answers(contract, frame, label) if label else [None] * len(frame),
        _probabilities(contract, frame),
    )


def _named(frame: pd.DataFrame, asked: str | None, usual: Sequence[str], option: str, what: str) -> str:
    found = _optional(frame, asked, usual, option)
    if found is None:
        names = ", ".join(map(repr, frame.columns[:30]))
        raise ProjectInvalid(
            f"the file has no column {' or '.join(map(repr, usual))}, {what}; name it with {option}. It has {names}"
        )
    return found


def _optional(frame: pd.DataFrame, asked: str | None, usual: Sequence[str], option: str) -> str | None:
    if asked is not None and asked not in frame.columns:
        raise ProjectInvalid(f"the file has no column {asked!r}, which {option} names; correct the name")
    return asked or next((name for name in usual if name in frame.columns), None)


def _moments(series: pd.Series, now: int) -> list[int | str]:
    found = moments_where_readable(series)
    if not isinstance(found.dtype, pd.DatetimeTZDtype):
        raise ProjectInvalid(
            f"the time column {str(series.name)!r} holds numbers; write times as 2026-01-31T14:05:00, in UTC or with an offset"
        )
    return [
        _unread(text) if pd.isna(value) else _moment(from_datetime(value.to_pydatetime(warn=False)), now)
        for value, text in zip(found, as_text(series), strict=True)
    ]


def _unread(text: str | None) -> str:
    return "is missing" if text is None else f"cannot be read as a time like the others ({text[:60]!r})"


def _moment(at: int, now: int) -> int | str:
    if at > now:
        return "is in the future"
    return at if at >= 0 else "is before 1970"


def _versions(project: Project, frame: pd.DataFrame, version: int | None) -> list[int | str]:
    known = {NO_VERSION} | {found.number for found in project.ledger.versions()}
    if version is not None and version not in known:
        raise ProjectInvalid(f"there is no version {version} in this project; `evenkeel models` lists all")
    if version is not None or VERSION not in frame.columns:
        return [version or NO_VERSION] * len(frame)
    numbers = pd.to_numeric(as_text(frame[VERSION]), errors="coerce").fillna(-1)
    wrong = "is not a version of this project, nor 0 for none"
    return [int(number) if number in known else wrong for number in numbers]


def _answers(contract: Contract, frame: pd.DataFrame, column: str) -> Sequence[Scalar]:
    """The values of `column` as callers know labels."""
    alone = frame[[column]].rename(columns={column: contract.target.name})
    try:
        return request_labels(contract, alone)
    except ProjectInvalid:  # one cell unlike the others: each is read for itself, and the contract refuses the row
        return _each(alone, lambda cell: request_labels(contract, cell))


def _probabilities(contract: Contract, frame: pd.DataFrame) -> dict[str, Sequence[float]]:
    names = {text: PROBABILITY + text for text in contract.target.class_texts}
    if not names or not set(names.values()) <= set(frame.columns):
        return {}
    return {
        text: pd.to_numeric(as_text(frame[name]), errors="coerce").astype(np.float64).tolist()
        for text, name in names.items()
    }


def _rows(contract: Contract, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as a caller would send them, with the caller's own id and whom they are about."""
    try:
        rows = request_rows(contract, frame)
    except ProjectInvalid:  # as with answers
        rows = _each(frame, lambda row: request_rows(contract, row))
    for name in dict.fromkeys(filter(None, (contract.id, contract.subject))):
        if name in frame.columns and name not in contract.names:
            for row, value in zip(rows, as_text(frame[name]), strict=True):
                row[name] = value
    return rows


def _each(frame: pd.DataFrame, read: Callable[[pd.DataFrame], Sequence[Any]]) -> list[Any]:
    return [read(frame.iloc[[place]])[0] for place in range(len(frame))]


def _pseudonyms(project: Project, contract: Contract) -> Pseudonyms | None:
    if not contract.needs_key:
        return None
    return Pseudonyms.read(project.path / project.config.feature_log.pseudonym_key, contract.key_check)


def _writer(project: Project, folder: Path, files: FileSystem) -> SegmentWriter:
    size = project.config.feature_log.seal_bytes
    return SegmentWriter(
        folder, project.clock, seal_bytes=size, seal_seconds=FOREVER_SECONDS, durability="disk", files=files
    )


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise ProjectInvalid(f"there is no file {file}; check the path (looked in {file.absolute().parent})") from error
    except OSError as error:
        raise ProjectInvalid(f"{file} cannot be opened ({error.strerror}); name a file that you may read") from error


def _refuse_again(project: Project, file: Path, digest: str, *, again: bool) -> None:
    before = next((facts for facts in imported(project.ledger) if facts["digest"] == digest), None)
    if before is not None and not again:
        raise Conflict(
            f"{file.name} was imported already, as {before['file']} with {before['rows']} rows; every row would be there twice. "
            "If that is what you want, say --again"
        )
