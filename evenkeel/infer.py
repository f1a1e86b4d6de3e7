"""The contract, inferred from a table: what is predicted, which columns are features of which kind, which are set aside.

Every column that is not a feature is set aside with a sentence. What cannot be understood is refused, never guessed.
"""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pandas as pd

from evenkeel.amounts import amount
from evenkeel.choices import TaskChoice
from evenkeel.column_types import id_texts, moments, stored, typed
from evenkeel.infer_features import counts_rows, describe, unfit
from evenkeel.infer_target import MOST_CLASSES, infer_target, stored_labels
from lifecycle.contract import Column, Contract, SetAside, Treatment, same_but_for_case
from lifecycle.errors import ProjectInvalid
from lifecycle.pseudonyms import Pseudonyms
from lifecycle.versions import AT, LABEL, PREDICTION, SUBJECT

MINIMUM_ROWS = 50


@dataclass(frozen=True)
class Wishes:
    """What the caller said about the columns; the rest is inferred."""

    target: str
    time: str | None = None
    id: str | None = None
    drop: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    task: TaskChoice = "auto"
    subject: str | None = None
    pseudonymise: tuple[str, ...] = ()
    unlogged: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()

    @property
    def need_key(self) -> bool:
        """Whether anything becomes a pseudonym."""
        return self.subject is not None or bool(self.pseudonymise)


@dataclass(frozen=True)
class Inference:
    """The contract, the labelled rows in its kinds with LABEL beside them, and sentences about what was done on the way.

    The rows are in time order when there is a time column, else in the file's; with a subject, SUBJECT is beside them too,
    and AT where the time column holds moments.
    Of what is pseudonymised they hold pseudonyms only; `sent` has, of the last row, what a caller would send for these
    columns, the id and the subject.
    """

    contract: Contract
    rows: pd.DataFrame
    notes: tuple[str, ...]
    sent: dict[str, str] = field(default_factory=dict)


def infer(source: pd.DataFrame, wishes: Wishes, pseudonyms: Pseudonyms | None = None) -> Inference:
    """Read `source` as `wishes` say. Raises ProjectInvalid with one sentence when that is not possible.

    `pseudonyms` may be None where `wishes` need no key.
    """
    assert pseudonyms or not wishes.need_key, "pseudonyms are wished for, but there is no key"
    _refuse_unknown_names(source, wishes)
    _refuse_contradictions(wishes)
    notes: list[str] = []
    labels = typed(source[wishes.target], "name another target")
    table = _with_known(source, labels, "label", notes)
    if wishes.time:
        times = moments(table[wishes.time])
        table = _with_known(table, times, "time", notes)
        table = table.loc[times.loc[table.index].sort_values(kind="stable").index]
    _refuse_few(table)
    _refuse_amounts(labels)
    target, labels = infer_target(labels.loc[table.index], wishes.task)
    set_aside = _set_aside_by_wish(wishes)
    sent = _last_texts(table, wishes)
    if pseudonyms:
        table = _pseudonymised(table, [name for name in wishes.pseudonymise if name not in set_aside], pseudonyms.of)
    columns, rows = _features(table, wishes, set_aside, notes)
    _refuse_no_features(columns, set_aside)
    _refuse_names_alike(columns)
    _refuse_groups_of_no_feature(wishes, columns)
    contract = Contract(
        target=target,
        columns=tuple(columns),
        set_aside=tuple(SetAside(name=name, reason=reason) for name, reason in set_aside.items()),
        time=wishes.time,
        id=wishes.id,
        segments=wishes.segments,
        sensitive=wishes.sensitive,
        privacy=_privacy(wishes),
        key_check=pseudonyms.check if pseudonyms else None,
    )
    rows[LABEL] = stored_labels(target, labels)
    if wishes.time and pd.api.types.is_datetime64_any_dtype(times.dtype):
        rows[AT] = times.loc[table.index].dt.as_unit("us").astype("int64")
    if wishes.subject and pseudonyms:
        rows[SUBJECT] = _pseudonymised(table, [wishes.subject], pseudonyms.subject)[wishes.subject]
    recorded = {*contract.names, *filter(None, [contract.id, contract.subject])}
    told = {name: text for name, text in sent.items() if name in recorded}
    return Inference(contract, pd.DataFrame(rows).reset_index(drop=True), tuple(notes), told)


def _privacy(wishes: Wishes) -> dict[str, Treatment]:
    marks: dict[str, Treatment] = dict.fromkeys(wishes.pseudonymise, "pseudonymise")
    marks |= dict.fromkeys(wishes.unlogged, "drop")
    return marks | ({wishes.subject: "subject"} if wishes.subject else {})


def _pseudonymised(table: pd.DataFrame, names: Iterable[str], of: Callable[[str], str]) -> pd.DataFrame:
    """`table` with pseudonyms in the columns `names`, so that nothing made of it, not even a sentence, holds a value."""
    hidden = {name: [text and of(text) for text in id_texts(table[name])] for name in names}
    return table.assign(**{name: pd.Series(values, table.index, dtype=object) for name, values in hidden.items()})


def _last_texts(table: pd.DataFrame, wishes: Wishes) -> dict[str, str]:
    last = table.tail(1)
    names = [name for name in (wishes.id, wishes.subject, *wishes.pseudonymise) if name]
    return {name: text for name in names if (text := id_texts(last[name]).iloc[0]) is not None}


def _features(
    table: pd.DataFrame, wishes: Wishes, set_aside: dict[str, str], notes: list[str]
) -> tuple[list[Column], dict[str, pd.Series]]:
    """The features and their values; adds to `set_aside` what is none, and to `notes` what a person should know."""
    columns: list[Column] = []
    rows: dict[str, pd.Series] = {}
    for name in [name for name in table.columns if name not in set_aside]:
        values = table[name] if name in wishes.pseudonymise else typed(table[name])
        reason = unfit(values)
        if example := amount(values):
            taken = "was set aside" if reason else "is taken for categories"
            notes.append(
                f"{name} holds amounts written as text ({example}), so it {taken}; to use it as a number, write it without signs "
                f"and separators (such as 1234.5) and start again, or leave it out with --drop {name}"
            )
        if reason:
            set_aside[name] = reason
            continue
        column = describe(values)
        columns.append(column)
        rows[name] = stored(values, column.kind)
        if column.kind == "datetime" and not wishes.time and counts_rows(rows[name].dropna()):
            notes.append(
                f"{name} goes up with the rows like a clock; with --time {name} the newest rows would be the hold-out"
            )
    return columns, rows


def _with_known(table: pd.DataFrame, values: pd.Series, what: str, notes: list[str]) -> pd.DataFrame:
    """Only the rows that have one of `values`."""
    name, known = values.name, values.notna()
    if not known.any():
        raise ProjectInvalid(
            f"the {what} column {name!r} is empty in all {len(table)} rows; name one that is filled in"
        )
    if missing := int((~known).sum()):
        notes.append(f"{missing:,} of {len(table):,} rows have no {what} ({name}) and were set aside")
    return table[known]


def _set_aside_by_wish(wishes: Wishes) -> dict[str, str]:
    reasons = {wishes.target: "is the target, what is predicted"}
    reasons |= dict.fromkeys(wishes.drop, "was left out with --drop")
    if wishes.id:
        reasons[wishes.id] = "identifies the row (--id), so it is no feature"
    if wishes.subject:
        reasons[wishes.subject] = (
            "says whom the row is about (--subject), so it is no feature; only a pseudonym is kept"
        )
    if wishes.time:
        reasons[wishes.time] = "says when the row was (--time): it orders the rows and is no feature"
    return reasons


def _refuse_unknown_names(source: pd.DataFrame, wishes: Wishes) -> None:
    named = [("--target", wishes.target), ("--time", wishes.time), ("--id", wishes.id), ("--subject", wishes.subject)]
    named += [("--pseudonymise", name) for name in wishes.pseudonymise]
    named += [("--unlogged", name) for name in wishes.unlogged]
    named += [("--drop", name) for name in wishes.drop] + _grouping(wishes)
    for option, name in named:
        if name is not None and name not in source.columns:
            raise ProjectInvalid(
                f"{option} names {name!r}, but there is no such column; {_nearest(name, source.columns)}"
            )
        if option != "--target" and name == wishes.target:
            raise ProjectInvalid(
                f"{option} names the target {name!r}; name another column, or leave out {option} {name}"
            )
    for name in (PREDICTION, LABEL, SUBJECT, AT):
        if name in source.columns:
            raise ProjectInvalid(f"the column name {name!r} is used by Evenkeel itself; rename the column in the file")


def _refuse_contradictions(wishes: Wishes) -> None:
    if wishes.subject in wishes.pseudonymise:
        raise ProjectInvalid(
            f"--subject and --pseudonymise both name {wishes.subject!r}; leave out --pseudonymise: of a subject only a pseudonym "
            "is kept anyway"
        )
    for option, names in (
        ("--id", {wishes.id}),
        ("--subject", {wishes.subject}),
        ("--pseudonymise", wishes.pseudonymise),
        ("--segment", wishes.segments),
        ("--sensitive", wishes.sensitive),
    ):
        if both := [name for name in wishes.unlogged if name in names]:
            raise ProjectInvalid(
                f"--unlogged and {option} both name {both[0]!r}, which cannot be kept and not be kept; leave one of them out"
            )
    if wishes.subject and wishes.subject == wishes.time:
        raise ProjectInvalid(
            f"--subject and --time both name {wishes.subject!r}; name the column that says whom a row is about"
        )


def _nearest(name: str, columns: Iterable[str]) -> str:
    known = [str(column) for column in columns]
    folded = {column.casefold(): column for column in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
    return (f"did you mean {folded[close[0]]!r}? The" if close else "the") + f" columns are: {shown}"


def _refuse_few(table: pd.DataFrame) -> None:
    if len(table) < MINIMUM_ROWS:
        raise ProjectInvalid(
            f"there are {len(table)} usable rows, too few to train and check a model; collect at least {MINIMUM_ROWS}"
        )


def _refuse_no_features(columns: list[Column], set_aside: dict[str, str]) -> None:
    if not columns:
        reasons = "; ".join(f"{name} {reason}" for name, reason in list(set_aside.items())[:5])
        raise ProjectInvalid(f"no column is left to predict from ({reasons}); name a file that has features")


def _refuse_names_alike(columns: list[Column]) -> None:
    if alike := same_but_for_case(column.name for column in columns):
        raise ProjectInvalid(
            f"the columns {alike[0]!r} and {alike[1]!r} differ only in upper and lower case and cannot be stored side by side; "
            f"rename one in the file, or leave one out with --drop {alike[1]}"
        )


def _refuse_amounts(labels: pd.Series) -> None:
    if labels.nunique() > MOST_CLASSES and (example := amount(labels)):
        raise ProjectInvalid(
            f"the target {labels.name!r} holds amounts written as text ({example}); write them without signs and separators "
            "(such as 1234.5), or name another target"
        )


def _refuse_groups_of_no_feature(wishes: Wishes, columns: list[Column]) -> None:
    features = {column.name for column in columns}
    for option, name in _grouping(wishes):
        if name not in features:
            raise ProjectInvalid(f"{option} names {name!r}, which is not a feature of this model; name one that is")


def _grouping(wishes: Wishes) -> list[tuple[str, str]]:
    """The columns by whose values rows are grouped, each behind the option that names it."""
    return [("--segment", name) for name in wishes.segments] + [("--sensitive", name) for name in wishes.sensitive]
