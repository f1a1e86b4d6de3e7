"""The contract between callers and the model: which columns, of which kind, and what a label may be.

It accepts or refuses rows on structure alone (fields, types, nulls). A value that is merely new, such as an unseen
category or a number outside the observed range, is accepted: that is the monitor's business.
"""

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lifecycle.checking import Checker
from lifecycle.errors import InputRejected

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["numeric", "integer", "boolean", "categorical", "datetime"]
Task = Literal["binary", "multiclass", "regression"]
Treatment = Literal["drop", "pseudonymise", "subject"]
"""What the feature log does with a column: leaves it out, replaces it by a pseudonym, or knows by it whom a row is about."""
Scalar = None | bool | int | float | str
Columns = dict[str, Any]
"""Feature name -> one value per row, already of the column's kind (datetimes as microseconds since 1970).

A list with None for what is missing, or an array: float64 with NaN for what is missing, int64, or bool.
"""


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
    """The whole promise: columns in order, target, what was set aside, and what must not be kept as it was sent.

    `id` names the column of the callers' own ids. `privacy` says how columns are treated, features and those set aside;
    of the latter only the id and the subject are ever recorded, so to mark another is harmless. `segments` and `sensitive` name
    features that the log keeps, by whose values quality is looked at, the latter for fairness. `key_check` tells the key of
    its pseudonyms from any other (`Pseudonyms.check`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: Target
    columns: tuple[Column, ...]
    set_aside: tuple[SetAside, ...] = ()
    time: str | None = None
    id: str | None = None
    segments: tuple[str, ...] = Field(default=())
    sensitive: tuple[str, ...] = Field(default=())
    privacy: dict[str, Treatment] = Field(default_factory=dict)
    key_check: str | None = None

    @model_validator(mode="after")
    def _treatments_that_can_be_kept(self) -> "Contract":
        aside = {column.name for column in self.set_aside}
        kinds = {column.name: column.kind for column in self.columns}
        subjects = [name for name, treatment in self.privacy.items() if treatment == "subject"]
        if len(subjects) > 1:
            raise ValueError(f"privacy names two subjects, {subjects[0]!r} and {subjects[1]!r}; a row is about one")
        for name, treatment in self.privacy.items():
            if name == self.target.name:
                raise ValueError(
                    f"privacy marks {name!r}, which is the target: labels are what is learnt from; unmark it"
                )
            if name not in kinds and name not in aside:
                raise ValueError(
                    f"privacy marks {name!r}, which is neither a feature nor set aside; correct the name, or set it aside"
                )
            if treatment == "subject" and name in kinds:
                raise ValueError(f"the subject {name!r} is a feature, which nothing could be erased from; set it aside")
            if treatment == "pseudonymise" and kinds.get(name, "categorical") != "categorical":
                raise ValueError(
                    f"privacy pseudonymises the {kinds[name]} feature {name!r}, and only categories can be; make it "
                    "categorical, set it aside, or drop it"
                )
            if treatment == "drop" and name == self.id:
                raise ValueError(f"privacy drops {name!r}, which is the id; pseudonymise it, or name no id")
        return self

    @model_validator(mode="after")
    def _groups_that_the_log_can_tell(self) -> "Contract":
        for what, names in (("segments", self.segments), ("sensitive", self.sensitive)):
            for name in names:
                if name not in self.names:
                    raise ValueError(f"{what} names {name!r}, which is not a feature; correct the name, or take it out")
                if self.privacy.get(name) == "drop":
                    raise ValueError(
                        f"{what} names {name!r}, which privacy drops, so that the log cannot tell its values apart; keep "
                        "the one or the other"
                    )
        return self

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

    @cached_property
    def accepted(self) -> frozenset[str]:
        """The columns of which values are looked at: the features, the id and the subject."""
        return frozenset({*self.names, *filter(None, [self.id, self.subject])})

    @cached_property
    def subject(self) -> str | None:
        """The column that says whom a row is about."""
        return next((name for name, treatment in self.privacy.items() if treatment == "subject"), None)

    @cached_property
    def pseudonymised(self) -> tuple[str, ...]:
        """The features of which everything but the caller knows pseudonyms only."""
        return tuple(name for name in self.names if self.privacy.get(name) == "pseudonymise")

    @cached_property
    def dropped(self) -> tuple[str, ...]:
        """The features that the model sees and the log does not keep."""
        return tuple(name for name in self.names if self.privacy.get(name) == "drop")

    @cached_property
    def hides_id(self) -> bool:
        """Whether the callers' ids are kept as pseudonyms."""
        return self.id is not None and self.privacy.get(self.id) in ("pseudonymise", "subject")

    @cached_property
    def needs_key(self) -> bool:
        """Whether anything is kept as a pseudonym."""
        return self.hides_id or self.subject is not None or bool(self.pseudonymised)

    @cached_property
    def is_plain(self) -> bool:
        """Whether features are recorded as they come, and nothing beside them."""
        return self.id is None and not self.privacy

    @cached_property
    def classes_by_text(self) -> dict[str, bool | int | str]:
        """Each class as callers know it, by its stored form."""
        return dict(zip(self.target.class_texts, self.target.classes, strict=True))

    @cached_property
    def checker(self) -> Checker:
        beside = [*(column.name for column in self.set_aside), *filter(None, [self.id, self.subject])]
        return Checker(self.columns, beside, self.pseudonymised)

    def check(self, rows: Sequence[object]) -> Columns:
        """Turn JSON rows into columns of the contract's kinds.

        Columns that were set aside (identifier, time, target, dropped) are ignored, so a row of the source file can be
        sent whole. Raises InputRejected with every problem found, up to a hundred.
        """
        return self.checker.rows(rows)

    def frame(self, columns: Columns) -> "pd.DataFrame":
        """The frame the model sees: one column per feature, in the contract's order.

        Numbers, booleans and datetimes become float64 (datetimes as seconds since 1970, missing as NaN); categories
        stay text in an object column, missing as None.
        """
        import pandas as pd  # here, so that a process that serves a compiled model never loads it

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
        return self.classes_by_text[str(stored)]


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


def _model_values(column: Column, values: Any) -> "pd.Series[Any] | np.ndarray[Any, Any]":
    if column.kind == "categorical":
        import pandas as pd

        texts = [None if value is None else str(value) for value in values]
        return pd.Series(texts, dtype=object)  # said, because pandas would choose by the values
    if isinstance(values, np.ndarray):
        numbers = values.astype(np.float64)
    else:
        numbers = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    return numbers / 1e6 if column.kind == "datetime" else numbers
