"""Checking what callers send against a contract, at the speed of a request.

Each column is tried as a whole first, by proofs that run at C speed; only a column that fails its proof is looked at
value by value, which also finds the words for what is wrong. Both ways accept the same values.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from lifecycle.clock import from_datetime
from lifecycle.errors import InputRejected, Problem

if TYPE_CHECKING:
    from lifecycle.contract import Column, Columns, Kind

MOST_PROBLEMS = 100
BULK_ROWS = 32
"""From here on, numbers are checked and kept as arrays."""
LONGEST_TEXT = 1_000
LONGEST_ID = 200
LARGEST_NUMBER = 1e308
LARGEST_INTEGER = 2**63
FIRST_DAY, DAY_AFTER_LAST = "0001-01-01", "10000-01-01"
MOMENT_UNITS = frozenset({"D", "s", "ms", "us", "ns"})
ABSENT = object()
Values = TypeVar("Values", bound=Sequence[Any])
NULL, MISSING = "must not be null", "is missing"
EXACT_NUMBER = 2**53
"""From here on a float no longer says which whole number was meant."""
PSEUDONYM: Literal["pseudonym"] = "pseudonym"
"""The kind of a categorical field of which only pseudonyms are known: numbers are taken as the texts they are."""
TEXTUAL = frozenset({"categorical", PSEUDONYM})
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_HALVES = re.compile(r"[\ud800-\udfff]")
ID_WORDS = f"a text of at most {LONGEST_ID} characters without control characters, or a number that is exact"


class Field(NamedTuple):
    """One column as the loop needs it."""

    name: str
    kind: "Kind | Literal['pseudonym']"
    nullable: bool


class Checker:
    """Turns rows or columns of a request into columns of the contract's kinds; made once per contract."""

    def __init__(
        self, columns: "Sequence[Column]", ignored: Sequence[str], pseudonymised: Collection[str] = ()
    ) -> None:
        self._fields = [
            Field(column.name, PSEUDONYM if column.name in pseudonymised else column.kind, column.nullable)
            for column in columns
        ]
        self._names = [field.name for field in self._fields]
        self._others = [field for field in self._fields if field.kind != "numeric"]
        self._number_names = [field.name for field in self._fields if field.kind == "numeric"]
        self._numbers: Callable[[dict[str, Any]], Sequence[Any]] = (
            itemgetter(*self._number_names) if len(self._number_names) > 1 else _none
        )
        self._known = frozenset(column.name for column in columns)
        self._ignored = frozenset(ignored)
        self._all_required = not any(column.nullable for column in columns)

    def rows(self, rows: Sequence[object]) -> "Columns":
        """Columns of JSON rows. Raises InputRejected with every problem found, up to a hundred."""
        if any(type(row) is not dict for row in rows):
            wrong = [index for index, row in enumerate(rows) if not isinstance(row, Mapping)]
            raise _rejected(
                [Problem(index, None, "is not an object of field: value pairs") for index in wrong], len(rows)
            )
        found: list[dict[str, Any]] = rows  # type: ignore[assignment]  # each is a dict: it was looked at above
        columns = self._one(found[0]) if len(found) == 1 else self._many(found)
        if columns is None or not all(map(self._known_only, found)):
            raise _rejected(self._problems(found), len(rows))
        return columns

    def columns(self, columns: Mapping[str, "Sequence[Any] | npt.NDArray[Any]"], count: int) -> "Columns":
        """Columns of whole columns of `count` values each, lists or arrays. Raises InputRejected as `rows` does.

        An array has no other way to say that a number is missing than NaN, so that is how NaN is read in one. Arrays of
        datetime64 are moments in UTC.
        """
        problems = [Problem(0, name[:100], "is not a field of this model") for name in self._strange(columns)]
        checked: Columns = {}
        proven = self._all_usable(columns, count)
        for field in self._fields:
            values = columns.get(field.name)
            if values is None:
                if field.nullable:
                    checked[field.name] = [None] * count
                else:
                    problems.append(Problem(0, field.name, MISSING))
            elif len(values) != count:
                problems.append(Problem(0, field.name, f"has {len(values)} values where there are {count} rows"))
            elif proven and field.kind == "numeric":
                checked[field.name] = np.ascontiguousarray(values)
            else:
                checked[field.name] = self._column(field, values, problems)
            if len(problems) >= MOST_PROBLEMS:
                break
        if problems:
            raise _rejected(problems, count)
        return checked

    def _all_usable(self, columns: Mapping[str, Any], count: int) -> bool:
        """Whether all numeric fields are arrays of usable numbers: one look at all of them together."""
        arrays = [columns.get(name) for name in self._number_names]
        if not arrays or any(
            type(array) is not np.ndarray or array.dtype != np.float64 or array.shape != (count,) for array in arrays
        ):
            return False
        together = np.array(arrays)
        return bool((np.abs(together, out=together) < LARGEST_NUMBER).all())

    def _column(self, field: Field, values: Any, problems: list[Problem]) -> Any:
        if isinstance(values, np.ndarray):
            array = _whole_array(field, values)
            if array is not None:
                return array
            values = _listed(values)
        proven = _proven(field, values)
        if proven is not None:
            return proven
        converted: list[Any] = []
        for index, value in enumerate(values):
            stored, problem = _convert(field, value)
            converted.append(stored)
            if problem:
                problems.append(Problem(index, field.name, problem))
                if len(problems) >= MOST_PROBLEMS:
                    break
        return converted

    def _one(self, row: dict[str, Any]) -> "Columns | None":
        """The columns of one row, or None when something is wrong with it."""
        columns: Columns = dict.fromkeys(self._names) if self._others else {}
        get = row.get
        for name in self._number_names:
            value = get(name, ABSENT)
            if type(value) is float and -LARGEST_NUMBER < value < LARGEST_NUMBER:
                columns[name] = [value]
            else:
                return self._one_of_all(row)
        for field in self._others:
            stored, problem = _convert(field, get(field.name, ABSENT))
            if problem:
                return None
            columns[field.name] = [stored]
        return columns

    def _one_of_all(self, row: dict[str, Any]) -> "Columns | None":
        """As `_one`, for a row with numbers that are missing or whole."""
        columns: Columns = {}
        for field in self._fields:
            stored, problem = _convert(field, row.get(field.name, ABSENT))
            if problem:
                return None
            columns[field.name] = [stored]
        return columns

    def _many(self, rows: Sequence[dict[str, Any]]) -> "Columns | None":
        columns: Columns = dict.fromkeys(self._names)
        together = self._numbers_of(rows) if len(rows) >= BULK_ROWS else None
        if together is not None:
            columns.update(zip(self._number_names, together, strict=True))
        for field in self._fields if together is None else self._others:
            name = field.name
            try:
                values = list(map(itemgetter(name), rows))
            except KeyError:
                values = [row.get(name, ABSENT) for row in rows]
            proven = _proven(field, values)
            if proven is None:
                proven = []
                for value in values:
                    stored, problem = _convert(field, value)
                    if problem:
                        return None
                    proven.append(stored)
            columns[name] = proven
        return columns

    def _numbers_of(self, rows: Sequence[dict[str, Any]]) -> npt.NDArray[np.float64] | None:
        """The numeric fields of `rows`, an array each, when all are there, are floats and are usable; else None."""
        try:
            table = list(map(self._numbers, rows))
        except KeyError:
            return None
        if set(map(type, chain.from_iterable(table))) != {float}:
            return None
        found = np.ascontiguousarray(np.array(table, dtype=np.float64).T)
        return found if (np.abs(found) < LARGEST_NUMBER).all() else None

    def _problems(self, rows: Sequence[dict[str, Any]]) -> list[Problem]:
        """All that is wrong with `rows`, row by row, as far as the limit."""
        problems: list[Problem] = []
        for index, row in enumerate(rows):
            problems += [Problem(index, str(name)[:100], "is not a field of this model") for name in self._strange(row)]
            for field in self._fields:
                problem = _convert(field, row.get(field.name, ABSENT))[1]
                if problem:
                    problems.append(Problem(index, field.name, problem))
            if len(problems) >= MOST_PROBLEMS:
                break
        return problems[:MOST_PROBLEMS]

    def _known_only(self, row: dict[str, Any]) -> bool:
        """Whether a row whose every field was accepted holds nothing else: by its size alone when none may be missing."""
        if self._all_required and len(row) == len(self._fields):
            return True
        return row.keys() <= self._known or not self._strange(row)

    def _strange(self, row: Mapping[str, Any]) -> list[str]:
        return [name for name in row if name not in self._known and name not in self._ignored]


def _rejected(problems: Sequence[Problem], rows: int) -> InputRejected:
    first = problems[0]
    where = f"row {first.row}" + (f", field {first.field!r}" if first.field else "")
    message = f"{len(problems)} problem(s) in {rows} row(s); the first: {where} {first.problem}"
    return InputRejected(message, tuple(problems[:MOST_PROBLEMS]))


def _none(_: dict[str, Any]) -> tuple[()]:
    """Too few numbers to be worth a look at all of them together."""
    return ()


def _proven(field: Field, values: Values) -> Values | None:
    """`values` in stored form when a look at the whole list proves them right; None when it proves nothing."""
    types = set(map(type, values))
    if len(types) != 1:
        return None
    (only,) = types
    if field.kind == "numeric":
        # A sum is finite only if every number is; one that overflows proves nothing.
        finite = only is float and math.isfinite(sum(values))
        return values if finite and min(values) > -LARGEST_NUMBER and max(values) < LARGEST_NUMBER else None
    if field.kind == "integer":
        return values if only is int and min(values) >= -LARGEST_INTEGER and max(values) < LARGEST_INTEGER else None
    if field.kind == "boolean":
        return values if only is bool else None
    if field.kind in ("categorical", PSEUDONYM):
        return values if only is str and max(map(len, values)) <= LONGEST_TEXT else None
    return None


def _whole_array(field: Field, values: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """As `_proven`, for an array: float64 with NaN for missing, int64 (moments too), or bool."""
    if values.ndim != 1 or values.dtype.kind not in "fiubM":
        return None
    if field.kind == "datetime" and values.dtype.kind == "M":
        return _moments(values)
    if field.kind == "numeric" and values.dtype.kind in "fiu":
        numbers = np.ascontiguousarray(values, dtype=np.float64)
        missing = np.isnan(numbers)
        usable = np.abs(numbers) < LARGEST_NUMBER
        if field.nullable and missing.any():
            usable |= missing
        return numbers if usable.all() else None
    if field.kind == "integer" and values.dtype.kind in "iu":
        return np.ascontiguousarray(values, dtype=np.int64) if values.dtype != np.uint64 else None
    if field.kind == "boolean" and values.dtype.kind == "b":
        return np.ascontiguousarray(values)
    return None


def _listed(values: npt.NDArray[Any]) -> list[Any]:
    """The values of an array one by one, None for NaN; nanoseconds as microseconds, of which Python knows moments."""
    if values.dtype.kind == "M" and np.datetime_data(values.dtype)[0] == "ns":
        values = values.astype("datetime64[us]")
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values.tolist()]


def _moments(values: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """Moments in UTC as microseconds since 1970; None when one is missing, or outside the years that can be written."""
    unit, step = np.datetime_data(values.dtype)
    if unit not in MOMENT_UNITS or step != 1:
        return None
    if unit != "ns":  # which holds 1677 to 2262 only, so that neither bound can be written in it
        first, after_last = np.array([FIRST_DAY, DAY_AFTER_LAST], dtype=values.dtype)
        within = (values >= first) & (values < after_last)
    else:
        within = ~np.isnat(values)
    return np.ascontiguousarray(values.astype("datetime64[us]").view(np.int64)) if within.all() else None


def _convert(field: Field, value: object) -> tuple[Any, str | None]:
    """One value in stored form, or the words for what is wrong with it."""
    if value is None or value is ABSENT:
        if field.nullable:
            return None, None
        return None, NULL if value is None else MISSING
    converted = _CONVERTERS[field.kind](value)
    if converted is None:
        described = unfit(value) if field.kind in TEXTUAL else _described(value)
        return None, f"must be {_EXPECTED[field.kind]}, not {described}"
    return converted, None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -LARGEST_NUMBER < value < LARGEST_NUMBER else None


def _integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and -LARGEST_INTEGER <= value < LARGEST_INTEGER else None


def _boolean(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= LONGEST_TEXT else None


def _plain_text(value: object) -> str | None:
    """A text, or a number as JSON writes it, a whole one without a point."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return str(value) if abs(value) < LARGEST_INTEGER * 2 else None
    if not math.isfinite(value) or abs(value) >= EXACT_NUMBER:
        return None
    return str(int(value)) if value.is_integer() else repr(value)


def id_text(value: object) -> str | None:
    """An id of the caller's as it is kept; None when it cannot be one."""
    text = _plain_text(value)
    return text if text and len(text) <= LONGEST_ID and not _CONTROLS.search(text) else None


def id_texts(name: str, values: Sequence[Any] | npt.NDArray[Any]) -> list[str | None]:
    """The values of the column `name` as ids; None for what is null, NaN or an empty text.

    Raises InputRejected with every problem found, up to a hundred.
    """
    if isinstance(values, np.ndarray):
        values = _listed(values)
    found: list[str | None] = []
    problems: list[Problem] = []
    for index, value in enumerate(values):
        text = None
        if value is not None and value != "":  # 0 is an id
            text = id_text(value)
            if text is None and len(problems) < MOST_PROBLEMS:
                problems.append(Problem(index, name, f"must be {ID_WORDS}, not {unfit(value)}"))
        found.append(text)
    if problems:
        raise _rejected(problems, len(values))
    return found


def _moment(value: object) -> int | None:
    """From a text, or from what an array holds."""
    try:
        if isinstance(value, str):
            return from_datetime(datetime.fromisoformat(value))
        if isinstance(value, datetime):
            return from_datetime(value)
        return (
            from_datetime(datetime(value.year, value.month, value.day, tzinfo=UTC)) if isinstance(value, date) else None
        )
    except (ValueError, OverflowError):
        return None


_CONVERTERS = {
    "numeric": _number,
    "integer": _integer,
    "boolean": _boolean,
    "categorical": _text,
    "datetime": _moment,
    PSEUDONYM: _plain_text,
}
_EXPECTED = {
    "numeric": "a finite number",
    "integer": "a whole number within 64 bits",
    "boolean": "true or false",
    "categorical": f"a text of at most {LONGEST_TEXT} characters",
    "datetime": "a date and time in ISO 8601",
    PSEUDONYM: f"a text of at most {LONGEST_TEXT} characters, or a number that is exact",
}


def unfit(value: object) -> str:
    """As `_described`, and of a text, where one was asked for, what is wrong with it."""
    if not isinstance(value, str):
        return _described(value)
    if not value:
        return "an empty one"
    if len(value) > LONGEST_ID:
        return f"one of {len(value)} characters"
    if _HALVES.search(value):
        return "one with half of a surrogate pair, which is no character"
    return "one with control characters"


def _described(value: object) -> str:
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "a text", list: "a list", dict: "an object"}
    if isinstance(value, date):
        return "a date"
    return names.get(type(value), "something else")
