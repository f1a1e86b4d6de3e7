"""Rows as they are scored: arrays by column, alike for a reference and for a window.

Datetimes become seconds since 1970 and booleans text. Reference and window go through the same conversion, so a
difference between them is a difference in the world.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lifecycle.contract import Contract, Kind, label_text
from lifecycle.feature_log.placing import column_of
from lifecycle.feature_log.table import FEATURE, PROBABILITY, LogTables
from lifecycle.records import About
from lifecycle.versions import AT, LABEL, PREDICTION, sampled_places
from lifecycle.versions import PROBABILITY as KEPT_PROBABILITY

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Number = TypeVar("Number", np.float64, np.int32)
Places = npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice
MOST_NAMES = 100_000
MANY_OTHERS = "(one of many others)"
"""What a category is called that comes after so many different ones: memory must not follow what callers send."""
TEXT_KINDS = ("categorical", "boolean")


@dataclass(frozen=True)
class Numbers:
    """One float64 per row; NaN is missing. Infinities can be among them: imports may hold what a request cannot."""

    floats: Floats

    def __len__(self) -> int:
        return len(self.floats)

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        return np.isnan(self.floats)

    def taken(self, places: Places) -> "Numbers":
        return Numbers(self.floats[places])


@dataclass(frozen=True)
class Categories:
    """`names[codes[i]]` is the text of row i; -1 is missing. Every name is used or was known before; none is there twice."""

    codes: Codes
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        return self.codes < 0

    def taken(self, places: Places) -> "Categories":
        return Categories(self.codes[places], self.names)

    def texts(self) -> list[str | None]:
        """The text of each row, None where it is missing."""
        return [None if code < 0 else self.names[code] for code in self.codes.tolist()]

    @classmethod
    def of(cls, texts: Iterable[str | None], most_names: int = MOST_NAMES) -> "Categories":
        coder = _Coder(most_names)
        coder.add(list(texts))
        return coder.finished()


Values = Numbers | Categories


@dataclass(frozen=True)
class Scored:
    """One scored column of the log: its name, its kind, and whether it is a feature or the answer."""

    name: str
    kind: Kind
    about: About = "feature"

    @property
    def is_numeric(self) -> bool:
        return self.kind not in TEXT_KINDS


@dataclass(frozen=True)
class Rows:
    """Rows of one version. Every array has one entry per row.

    `columns` holds the features and the answer (see `prediction_name`). `at` is the moment of the answer, in microseconds since
    1970, ascending; None where it is not known. `weights` are how many rows each stands for (1 / sampling rate), None when
    that is the same for all. `labels` are NaN or -1 where there is none yet, `delays` the seconds from answer to label, NaN
    likewise. `probabilities` are by class text.
    """

    columns: Mapping[str, Values]
    at: Integers | None = None
    weights: Floats | None = None
    labels: Values | None = None
    delays: Floats | None = None
    probabilities: Mapping[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def taken(self, places: Places) -> "Rows":
        """Only the rows at `places` (an array of places or a mask, or a slice), in that order."""
        return Rows(
            {name: values.taken(places) for name, values in self.columns.items()},
            None if self.at is None else self.at[places],
            None if self.weights is None else self.weights[places],
            None if self.labels is None else self.labels.taken(places),
            None if self.delays is None else self.delays[places],
            {name: values[places] for name, values in self.probabilities.items()},
        )

    def thinned(self, most: int) -> "Rows":
        """At most `most` of them, evenly spread, in order."""
        return self if len(self) <= most else self.taken(np.linspace(0, len(self) - 1, most).astype(np.intp))

    def labelled(self) -> "Rows":
        """Those that have a label."""
        if self.labels is None:
            return self.taken(slice(0, 0))
        return self.taken(~self.labels.missing)

    def frame(self) -> pd.DataFrame:
        """The columns as float64 and object, for libraries that ask for a frame."""
        return pd.DataFrame(
            {
                name: values.floats if isinstance(values, Numbers) else pd.Series(values.texts(), dtype=object)
                for name, values in self.columns.items()
            }
        )


def prediction_name(contract: Contract) -> str:
    """What the prediction is called among the columns; in brackets when a feature has the plain name."""
    name = "prediction"
    while name in contract.names:
        name = f"({name})"
    return name


def answer_kind(contract: Contract) -> Kind:
    """The kind of predictions and labels."""
    return "numeric" if contract.target.is_regression else "categorical"


def scored_columns(contract: Contract) -> tuple[Scored, ...]:
    """What of the feature log is scored, in the contract's order, the answer last.

    Without the features that the log does not keep: there is nothing to score them by.
    """
    kept = [column for column in contract.columns if column.name not in contract.dropped]
    answer = Scored(prediction_name(contract), answer_kind(contract), "prediction")
    return (*(Scored(column.name, column.kind) for column in kept), answer)


def kept_rows(contract: Contract, rows: pd.DataFrame) -> Rows:
    """Rows that a version keeps (see `load_reference`, `load_holdout`) as they are scored, in the order they have."""
    sources = {
        scored.name: (PREDICTION if scored.about == "prediction" else scored.name)
        for scored in scored_columns(contract)
    }
    kind = answer_kind(contract)
    at = rows[AT].to_numpy(np.float64) if AT in rows else None
    return Rows(
        {scored.name: _from_pandas(rows[sources[scored.name]], scored.kind) for scored in scored_columns(contract)},
        at=at.astype(np.int64) if at is not None and not np.isnan(at).any() else None,
        labels=_from_pandas(rows[LABEL], kind) if LABEL in rows else None,
        probabilities={
            name: rows[KEPT_PROBABILITY + name].to_numpy(np.float64)
            for name in contract.target.class_texts
            if KEPT_PROBABILITY + name in rows
        },
    )


def counts_by_version(tables: LogTables, start: int, end: int) -> dict[int, int]:
    """How many rows of [`start`, `end`) each version answered."""
    found: dict[int, int] = {}
    for batch in tables.window(start, end, ["version"]):
        if batch.num_rows:
            for entry in batch["version"].value_counts().to_pylist():
                found[int(entry["values"])] = found.get(int(entry["values"]), 0) + int(entry["counts"])
    return found


def logged_rows(
    tables: LogTables,
    contract: Contract,
    start: int,
    end: int,
    *,
    version: int | None = None,
    labels: bool = True,
    most: int | None = None,
    in_stretches: bool = False,
) -> Rows:
    """Rows of the feature log in [`start`, `end`), in order of time, as they are scored under `contract`.

    `version` limits them to those it answered, and `most` to so many, evenly spread (see `sampled_places`). A column that the log lacks is all
    missing. Memory is that of the rows. Raises StoreUnavailable.
    """
    scored = scored_columns(contract)
    features = [FEATURE + item.name for item in scored if item.about == "feature"]
    classes = [PROBABILITY + name for name in contract.target.class_texts]
    present = set(tables.predictions.schema().names)
    wanted = ["at", "version", "prediction", "sampling_rate", *features, *(name for name in classes if name in present)]
    count = None if most is None else sum(_of(version, counts_by_version(tables, start, end)))
    many = count is not None and most is not None and count > most
    keep = sampled_places(count or 0, most or 0, in_stretches=in_stretches) if many else None
    window = tables.window(start, end, wanted if present else None, labels=labels)
    gathered = _Gathered(contract, scored, window.schema, min(count or 0, most or 0))
    passed = 0
    for batch in window:
        rows = _answered_by(version, batch)
        if keep is not None:
            inside = keep[np.searchsorted(keep, passed) : np.searchsorted(keep, passed + rows.num_rows)] - passed
            passed += rows.num_rows
            rows = rows.take(pa.array(inside))
        if rows.num_rows:
            gathered.add(rows)
        del batch, rows
        pa.default_memory_pool().release_unused()  # or what was read stays beside what was made of it
    return gathered.finished()


def _answered_by(version: int | None, batch: pa.RecordBatch) -> pa.RecordBatch:
    if version is None or not batch.num_rows:
        return batch
    answered = pc.equal(batch["version"], version)
    return batch if pc.all(answered).as_py() else batch.filter(answered)  # filtering copies


def _of(version: int | None, counts: Mapping[int, int]) -> list[int]:
    return [count for number, count in counts.items() if version is None or number == version]


class _Gathered:
    """The columns of many batches, as arrays."""

    def __init__(self, contract: Contract, scored: Sequence[Scored], schema: pa.Schema, expected: int = 0) -> None:
        kind = answer_kind(contract)
        self._columns = {
            item.name: _Source(
                schema, "prediction" if item.about == "prediction" else FEATURE + item.name, item.kind, expected
            )
            for item in scored
        }
        self._label = _Source(schema, "label", kind, expected)
        self._classes = {
            name: _Source(schema, PROBABILITY + name, "numeric", expected)
            for name in contract.target.class_texts
            if PROBABILITY + name in schema.names
        }
        self._at = _Source(schema, "at", "datetime", expected, scale=1.0)
        self._received = _Source(schema, "received_at", "datetime", expected, scale=1.0)
        self._rate = _Source(schema, "sampling_rate", "numeric", expected)

    def add(self, batch: pa.RecordBatch) -> None:
        for source in (
            *self._columns.values(),
            *self._classes.values(),
            self._label,
            self._at,
            self._received,
            self._rate,
        ):
            source.add(batch)

    def finished(self) -> Rows:
        at = self._at.numbers().astype(np.int64)
        rates = self._rate.numbers()
        rates = np.where((rates > 0) & (rates <= 1), rates, 1.0)  # of before rates were recorded, or imported
        uneven = len(rates) > 0 and bool((rates != rates[0]).any())
        return Rows(
            {name: source.finished() for name, source in self._columns.items()},
            at=at,
            weights=1 / rates if uneven else None,
            labels=self._label.finished(),
            delays=(self._received.numbers() - at) / 1e6,
            probabilities={name: source.numbers() for name, source in self._classes.items()},
        )


class _Source:
    """One column of the log, batch after batch, of which so many rows are `expected`."""

    def __init__(self, schema: pa.Schema, name: str, kind: Kind, expected: int, scale: float = 1e6) -> None:
        self._stored = column_of(schema, name, kind)
        self._scale = scale
        self._coder = _Coder(expected=expected) if kind in TEXT_KINDS else None
        self._numbers = _Growing[np.float64](np.dtype(np.float64), 0 if self._coder else expected)

    def add(self, batch: pa.RecordBatch) -> None:
        values = batch[self._stored] if self._stored else None
        if self._coder:
            self._coder.add_arrow(values, batch.num_rows)
        elif values is None:
            self._numbers.add(np.full(batch.num_rows, np.nan))
        else:
            if pa.types.is_timestamp(values.type):
                values = pc.cast(pc.cast(values, pa.timestamp("us")), pa.int64())
                values = pc.divide(pc.cast(values, pa.float64(), safe=False), self._scale)
            self._numbers.add(pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False))

    def numbers(self) -> Floats:
        return self._numbers.finished()

    def finished(self) -> Values:
        return self._coder.finished() if self._coder else Numbers(self.numbers())


class _Coder:
    """Gives each text a number, in the order they come."""

    def __init__(self, most_names: int = MOST_NAMES, expected: int = 0) -> None:
        self._most_names = most_names
        self._known: dict[str, int] = {}
        self._codes = _Growing[np.int32](np.dtype(np.int32), expected)

    def add(self, texts: Sequence[str | None]) -> None:
        self._codes.add(np.array([-1 if text is None else self._code(text) for text in texts], dtype=np.int32))

    def add_arrow(self, values: pa.Array | None, count: int) -> None:
        if values is None:
            self._codes.add(np.full(count, -1, dtype=np.int32))
            return
        if pa.types.is_boolean(values.type):
            values = pc.if_else(values, "true", "false")
        encoded = pc.dictionary_encode(values)
        codes = np.array([self._code(text) for text in encoded.dictionary.to_pylist()] + [-1], dtype=np.int32)
        places = pc.fill_null(encoded.indices, len(codes) - 1).to_numpy(zero_copy_only=False)
        self._codes.add(codes[places])

    def _code(self, text: str) -> int:
        if text not in self._known and len(self._known) >= self._most_names:
            text = MANY_OTHERS
        return self._known.setdefault(text, len(self._known))

    def finished(self) -> Categories:
        return Categories(self._codes.finished(), tuple(self._known))


class _Growing(Generic[Number]):
    """An array that is filled part by part. Parts are copied, so that nothing of the batches they come from is held."""

    def __init__(self, dtype: np.dtype[Number], expected: int) -> None:
        self._room: npt.NDArray[Number] = np.empty(expected, dtype)
        self._filled = 0

    def add(self, part: npt.NDArray[Number]) -> None:
        end = self._filled + len(part)
        if end > len(self._room):
            larger = np.empty(max(end, 2 * len(self._room)), self._room.dtype)
            larger[: self._filled] = self._room[: self._filled]
            self._room = larger
        self._room[self._filled : end] = part
        self._filled = end

    def finished(self) -> npt.NDArray[Number]:
        """What was added, in one piece."""
        return self._room[: self._filled]


def _from_pandas(values: "pd.Series[Any]", kind: Kind) -> Values:
    if kind in TEXT_KINDS:
        return Categories.of(map(_text, values.tolist()))
    if pd.api.types.is_datetime64_any_dtype(values):
        moments = pd.to_datetime(values, utc=True).dt.tz_localize(None)
        return Numbers(np.asarray((moments - pd.Timestamp(0)).dt.total_seconds(), dtype=np.float64))
    numbers = np.asarray(pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan))
    return Numbers(numbers / 1e6 if kind == "datetime" else numbers)


def _text(value: Any) -> str | None:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return label_text(value) if isinstance(value, bool | np.bool_) else str(value)
