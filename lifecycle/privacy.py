"""What a contract's privacy does to rows on their way to the model and into the feature log.

A pseudonymised feature is replaced before the model sees it, in serving as in training, so model, reference and log know
the same values. Whom a row is about is only ever a pseudonym. Both need the key; a contract that marks nothing does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from lifecycle.checking import ID_WORDS, id_text, id_texts, unfit
from lifecycle.contract import Columns, Contract
from lifecycle.errors import InputRejected
from lifecycle.pseudonyms import Pseudonyms
from lifecycle.records import PredictionBatch

Texts = list[str | None]


class Marks(NamedTuple):
    """What rows carry beside their features, one each, as it is recorded; None where the contract names no such column."""

    external_ids: Texts | None
    subjects: Texts | None


class PrivacyRules:
    """The treatment of rows under one contract. `pseudonyms` may be None where `contract.needs_key` is false."""

    def __init__(self, contract: Contract, pseudonyms: Pseudonyms | None) -> None:
        assert pseudonyms or not contract.needs_key, "a contract that needs a key was given none"
        self._contract = contract
        self._pseudonyms = pseudonyms

    def of_rows(self, rows: Sequence[Mapping[str, Any]], columns: Columns) -> Marks:
        """The marks of JSON rows that were accepted as `columns`, of which the pseudonymised are replaced.

        Raises InputRejected for ids that cannot be kept.
        """
        contract = self._contract
        return self._treated(
            columns,
            None if contract.id is None else [row.get(contract.id) for row in rows],
            None if contract.subject is None else [row.get(contract.subject) for row in rows],
            len(rows),
        )

    def of_columns(self, given: Mapping[str, Any], columns: Columns, count: int) -> Marks:
        """As `of_rows`, for whole columns of `count` values as they were `given`."""
        contract = self._contract
        return self._treated(
            columns,
            None if contract.id is None else given.get(contract.id),
            None if contract.subject is None else given.get(contract.subject),
            count,
        )

    def external_id(self, value: object) -> str:
        """One of the callers' own ids as it is recorded. Raises InputRejected when it cannot be one, or there are none."""
        contract = self._contract
        if contract.id is None:
            raise InputRejected("the model's contract names no id column, so a label needs the id of its prediction")
        text = id_text(value)
        if text is None:
            raise InputRejected(f"external_id must be {ID_WORDS}, not {unfit(value)}")
        return self._pseudonyms.of(text) if self._pseudonyms and contract.hides_id else text

    def recorded(self, batch: PredictionBatch, marks: Marks) -> PredictionBatch:
        """`batch` with its marks, and without the values of what is dropped."""
        columns = batch.columns
        if self._contract.dropped:
            nothing = [None] * len(batch.ids)
            columns = {**columns, **dict.fromkeys(self._contract.dropped, nothing)}
        return replace(batch, columns=columns, external_ids=marks.external_ids, subjects=marks.subjects)

    def _treated(self, columns: Columns, ids: Any, subjects: Any, count: int) -> Marks:
        contract, pseudonyms = self._contract, self._pseudonyms
        external_ids = None if contract.id is None else _texts(contract.id, ids, count)
        about = None if contract.subject is None else _texts(contract.subject, subjects, count)
        if pseudonyms is not None:
            of, subject = pseudonyms.of, pseudonyms.subject
            if external_ids is not None and contract.hides_id:
                external_ids = [text and of(text) for text in external_ids]
            if about is not None:
                about = [text and subject(text) for text in about]
            for name in contract.pseudonymised:
                columns[name] = [None if text is None else of(text) for text in columns[name]]
        return Marks(external_ids, about)


def _texts(name: str, values: Any, count: int) -> Texts:
    if values is None:
        return [None] * count
    if len(values) != count:
        raise InputRejected(f"field {name!r} has {len(values)} values where there are {count} rows")
    return id_texts(name, values)
