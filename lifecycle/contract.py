"""The contract between callers and the model: which columns, of which kind, and what a label may be.

It accepts or refuses rows on structure alone (fields, types, nulls). A value that is merely new, such as an unseen
category or a number outside the observed range, is accepted: that is the monitor's business.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lifecycle.clock import from_datetime
from lifecycle.errors import InputRejected, Problem

Kind = Literal["numeric", "integer", "boolean", "categorical", "datetime"]
Task = Literal["binary", "multiclass", "regression"]
Scalar = None | bool | int | float | str
Columns = dict[str, list[Any]]
"""Feature name -> one value per row, already of the column's kind (datetimes as microseconds since 1970)."""

MOST_PROBLEMS = 100
LONGEST_TEXT = 1_000
LARGEST_INTEGER = 2**63


class Column(BaseModel):
    """One feature: its kind, whether it may be missing, and what the reference held."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()

    @property
    def is_categorical(self) -> bool:
        return self.kind in ("categorical", "boolean")


class Target(BaseModel):
    """What is predicted. For classification `classes` lists every label, in the order of the probabilities."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    task: Task
    classes: tuple[bool | int | str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def is_regression(self) -> bool:
        return self.task == "regression"

    @property
    def class_texts(self) -> tuple[str, ...]:
        return tuple(label_text(value) for value in self.classes)


class SetAside(BaseModel):
    """A column of the source that is not a feature, and the sentence that says why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    reason: str


class Contract(BaseModel):
    """The whole promise: columns in order, target, and what was set aside."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: Target
    columns: tuple[Column, ...]
    set_aside: tuple[SetAside, ...] = ()
    time: str | None = None
    id: str | None = None
    segments: tuple[str, ...] = Field(default=())

    @model_validator(mode="after")
    def _names_that_tables_tell_apart(self) -> "Contract":
        for what, names in (("columns", self.names), ("classes", self.target.class_texts)):
            if alike := same_but_for_case(names):
                raise ValueError(
                    f"the {what} {alike[0]!r} and {alike[1]!r} differ at most in upper and lower case, which the feature log "
                    "cannot tell apart; rename one of them"
                )
        return self

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def check(self, rows: Sequence[object]) -> Columns:
        """Turn JSON rows into columns of the contract's kinds.

        Columns that were set aside (identifier, time, target, dropped) are ignored, so a row of the source file can be
        sent whole. Raises InputRejected with every problem found, up to a hundred.
        """
        problems: list[Problem] = []
        ignored = {column.name for column in self.set_aside}
        known = set(self.names)
        values: Columns = {name: [] for name in self.names}
        for index, row in enumerate(rows):
            if not isinstance(row, Mapping):
                problems.append(Problem(index, None, "is not an object of field: value pairs"))
            else:
                strange = row.keys() - known - ignored
                problems += [Problem(index, str(field)[:100], "is not a field of this model") for field in strange]
                for column in self.columns:
                    value, problem = _convert(column, row.get(column.name), present=column.name in row)
                    values[column.name].append(value)
                    if problem:
                        problems.append(Problem(index, column.name, problem))
            if len(problems) >= MOST_PROBLEMS:
                break
        if problems:
            raise InputRejected(_summary(problems, len(rows)), tuple(problems[:MOST_PROBLEMS]))
        return values

    def frame(self, columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
        """The frame the model sees: one column per feature, in the contract's order.

        Numbers, booleans and datetimes become float64 (datetimes as seconds since 1970, missing as NaN); categories
        stay text in an object column, missing as None.
        """
        return pd.DataFrame({column.name: _model_values(column, columns[column.name]) for column in self.columns})

    def label(self, value: object) -> float | str:
        """The stored form of a label: a float for regression, the class's text otherwise.

        Raises InputRejected when it is not a finite number, or not one of the classes.
        """
        if self.target.is_regression:
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise InputRejected("the label is not a finite number")
            return float(value)
        text = label_text(value)
        if text not in self.target.class_texts:
            raise InputRejected(f"the label is not one of the model's {len(self.target.classes)} classes")
        return text

    def answer(self, stored: float | str) -> Scalar:
        """The label as callers know it, from its stored form."""
        if self.target.is_regression:
            return float(stored)
        return self.target.classes[self.target.class_texts.index(str(stored))]


def same_but_for_case(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two names that a table takes for one: Delta compares column names without regard to case."""
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            return seen[name.lower()], name
        seen[name.lower()] = name
    return None


def label_text(value: object) -> str:
    """One text per class, the same for 1 and 1.0, and as JSON writes it for booleans."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _summary(problems: Sequence[Problem], rows: int) -> str:
    first = problems[0]
    where = f"row {first.row}" + (f", field {first.field!r}" if first.field else "")
    return f"{len(problems)} problem(s) in {rows} row(s); the first: {where} {first.problem}"


def _convert(column: Column, value: object, *, present: bool) -> tuple[object, str | None]:
    if value is None:
        if column.nullable:
            return None, None
        return None, "must not be null" if present else "is missing"
    converted = _CONVERTERS[column.kind](value)
    if converted is None:
        return None, f"must be {_EXPECTED[column.kind]}, not {_described(value)}"
    return converted, None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    number = float(value) if abs(value) < 1e308 else math.inf
    return number if math.isfinite(number) else None


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
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        return None
    return value


def _moment(value: object) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        return from_datetime(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        return None


_CONVERTERS = {
    "numeric": _number,
    "integer": _integer,
    "boolean": _boolean,
    "categorical": _text,
    "datetime": _moment,
}
_EXPECTED = {
    "numeric": "a finite number",
    "integer": "a whole number within 64 bits",
    "boolean": "true or false",
    "categorical": f"a text of at most {LONGEST_TEXT} characters",
    "datetime": "a date and time in ISO 8601",
}


def _described(value: object) -> str:
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), "something else")


def _model_values(column: Column, values: Sequence[Any]) -> "pd.Series[Any] | np.ndarray[Any, Any]":
    if column.kind == "categorical":
        texts = [None if value is None else str(value) for value in values]
        return pd.Series(texts, dtype=object)  # said, because pandas would choose by the values
    numbers = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    return numbers / 1e6 if column.kind == "datetime" else numbers
