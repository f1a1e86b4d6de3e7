"""Rows as the JSON and CSV protocols write them: objects, arrays in the order of the features, columns, split frames.

What comes out goes to the data plane, which alone decides whether the values are right; only shapes are looked at here.
A wrong shape is a sentence that names the place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.errors import InputRejected, Problem
from service.exchange import Refused, Request
from service.plane import Answers, DataPlane

NAMES_SHOWN = 20
NAME_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Columnar:
    """`count` rows as columns by name, as long as each other where the sender was right."""

    columns: Mapping[str, list[Any]]
    count: int


Given = list[Any] | Columnar
"""Rows as a list of objects, or as columns."""


async def predict(plane: DataPlane, given: Given, request: Request) -> Answers:
    """The plane's answers to `given`."""
    if isinstance(given, Columnar):
        return await plane.predict_columns(given.columns, given.count, request)
    return await plane.predict(given, request)


@dataclass(frozen=True)
class RowReader:
    """Reads rows for a model with the features `names`, in this order; at most `limit` of them."""

    names: tuple[str, ...]
    limit: int

    @classmethod
    def of(cls, plane: DataPlane, request: Request) -> "RowReader":
        """For the model that answers `request`. Raises ModelUnavailable when there is none."""
        return cls(plane.live(request).model.contract.names, plane.limits.rows)

    def rows(self, found: object, place: str) -> Given:
        """A list of objects, of arrays in the order of the features, or of bare values where there is one feature."""
        if not isinstance(found, list):
            raise malformed(f"{place} must be a list of rows, not {described(found)}")
        kinds = set(map(type, found))
        if kinds <= {dict}:
            return found
        if kinds == {list}:
            return self.arrays(found, place, self.names)
        if len(self.names) == 1 and not kinds & {dict, list}:
            return Columnar({self.names[0]: found}, len(found))
        index = _odd_one(found)
        raise rejected(index, f"{place}[{index}] is {described(found[index])}; {self._wanted(found[0])}")

    def one_or_many(self, found: object, place: str) -> Given:
        """As `rows`, or one object."""
        return [found] if isinstance(found, dict) else self.rows(found, place)

    def columns(self, found: Mapping[str, object], place: str) -> Columnar:
        """Columns by name, each a list with one value (or a list of one value) per row."""
        columns: dict[str, list[Any]] = {}
        for name, values in found.items():
            if not isinstance(values, list):
                short = name[:NAME_CHARACTERS]
                raise malformed(f"{place}.{short} must be a list with one value per row, not {described(values)}")
            columns[name] = _flat(values)
        return Columnar(columns, len(next(iter(columns.values()), ())))

    def split(self, found: object, place: str) -> Columnar:
        """`{"columns": [name], "data": [[value]], "index"?}` as pandas writes it; without columns, all features in order."""
        if not isinstance(found, dict):
            raise malformed(f"{place} must be an object with columns and data, not {described(found)}")
        rows, names = found.get("data"), found.get("columns", list(self.names))
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise malformed(f"{place}.columns must be a list of feature names")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise malformed(f"{place}.columns names {twice[:NAME_CHARACTERS]!r} twice; send each column once")
        if not isinstance(rows, list):
            raise malformed(f"{place}.data must be a list of rows, each a list of values, not {described(rows)}")
        self.check_count(len(rows))
        for index, row in enumerate(rows):
            if not isinstance(row, list):
                raise rejected(index, f"{place}.data[{index}] must be a list of values, not {described(row)}")
        return self.arrays(rows, f"{place}.data", names)

    def arrays(self, rows: list[Any], place: str, names: Sequence[str]) -> Columnar:
        """Rows of values in the order of `names`."""
        self.check_count(len(rows))
        if not {len(names)}.issuperset(map(len, rows)):
            index = next(index for index, row in enumerate(rows) if len(row) != len(names))
            raise rejected(
                index,
                f"{place}[{index}] has {len(rows[index])} value(s) where there are {len(names)} columns, in this order: "
                f"{listed_names(names)}",
            )
        return Columnar(dict(zip(names, map(list, zip(*rows, strict=True)), strict=bool(rows))), len(rows))

    def check_count(self, count: int) -> None:
        """Raises Refused for more rows than a request may have, before they are turned into columns."""
        if count > self.limit:
            raise Refused(413, "too_large", f"a request takes at most {self.limit} rows, not {count}; send several")

    def _wanted(self, first: object) -> str:
        if isinstance(first, dict):
            return "the rows before it are objects"
        if isinstance(first, list):
            return "the rows before it are arrays"
        return (
            f"a row is an object, or an array of {len(self.names)} value(s) in this order: {listed_names(self.names)}"
        )


def _odd_one(found: list[Any]) -> int:
    """The first row that is neither an object nor an array, or not what the first is."""
    strange = (index for index, row in enumerate(found) if type(row) is not dict and type(row) is not list)
    other = (index for index, row in enumerate(found) if type(row) is not type(found[0]))
    return next(strange, next(other, 0))


def malformed(message: str) -> Refused:
    """The refusal of a body that is not of the protocol's form."""
    return Refused(400, "malformed_request", message)


def rejected(row: int, message: str) -> InputRejected:
    """The refusal of a row that does not fit the model."""
    return InputRejected(message, (Problem(row, None, message),))


def object_of(content: object) -> dict[str, Any]:
    """A decoded body that must be an object."""
    if not isinstance(content, dict):
        raise malformed(f"the body must be an object, not {described(content)}; see GET /docs.json")
    return content


def one_of(content: Mapping[str, Any], fields: Sequence[str]) -> str:
    """The one of `fields` that `content` has."""
    found = [field for field in fields if field in content]
    if len(found) != 1:
        wanted = " or ".join(f'"{field}"' for field in fields)
        what = "none of them" if not found else " and ".join(f'"{field}"' for field in found)
        raise malformed(f"the body must have exactly one of {wanted}; it has {what}")
    return found[0]


def listed_names(names: Sequence[str]) -> str:
    """Names for a sentence, cut where there are many."""
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"


def described(value: object) -> str:
    """What a decoded value is, for a sentence."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), "null")


def _flat(values: list[Any]) -> list[Any]:
    """A column of shape [n, 1] as one of shape [n]; any other as it is."""
    if values and all(type(value) is list and len(value) == 1 for value in values):
        return [value[0] for value in values]
    return values
