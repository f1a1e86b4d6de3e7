"""Which column of a table holds what. A feature may change its kind from one model version to the next, a column may not.

The first kind a name has gets the plain column, another kind gets one with the kind in front: `feature_age`, and
`categorical_feature_age` beside it. Names that differ in case alone are one name to the engine, and are told apart in the same way.
"""

import re
from collections.abc import Sequence

import pyarrow as pa

MOMENT = pa.timestamp("us", tz="UTC")
ARROW = {
    "numeric": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "categorical": pa.string(),
    "datetime": MOMENT,
}
_KIND = {kind: name for name, kind in ARROW.items()}


def placed(stored: pa.Schema, wanted: pa.Schema) -> dict[str, str]:
    """The stored name of each wanted column: one that is there already, or one that is free."""
    types = dict(zip(stored.names, stored.types, strict=True))
    result = {}
    for field in wanted:
        name = _existing(types, field.name, field.type) or _free(types, field.name, field.type)
        types[name] = field.type
        result[field.name] = name
    return result


def column_of(stored: pa.Schema, name: str, kind: str) -> str | None:
    """Where the values of `name` in this kind are; None when the table has none."""
    return _existing(dict(zip(stored.names, stored.types, strict=True)), name, ARROW[kind])


def columns_of(names: Sequence[str], name: str) -> list[str]:
    """All columns that hold values of `name`, whatever their kind."""
    form = re.compile(rf"(?:(?:{'|'.join(ARROW)})_)*{re.escape(name)}")
    return [found for found in names if form.fullmatch(found)]


def _existing(types: dict[str, pa.DataType], name: str, kind: pa.DataType) -> str | None:
    lowered = {known.lower() for known in types}
    while name.lower() in lowered:
        if types.get(name) == kind:
            return name
        name = f"{_KIND[kind]}_{name}"
    return None


def _free(types: dict[str, pa.DataType], name: str, kind: pa.DataType) -> str:
    lowered = {known.lower() for known in types}
    while name.lower() in lowered:
        name = f"{_KIND[kind]}_{name}"
    return name
