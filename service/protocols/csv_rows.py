"""Rows as CSV, typed by the contract: an empty cell is missing, and a number is the double that JSON would give.

A cell that its column's kind cannot read stays the text it is, so that the contract refuses it by row and field.
"""

import csv
import io
import math
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from lifecycle.contract import Contract
from service.exchange import Refused
from service.protocols.rows import Columnar, RowReader, malformed

_WORDS = {"true": True, "false": False, "1": True, "0": False}


def read(body: bytes, contract: Contract, reader: RowReader) -> tuple[Columnar, bool]:
    """The rows of `body`, and whether its first line was a header.

    A header is a first line that holds nothing but names of columns that the contract knows, after an empty cell where
    pandas wrote its index; without one the cells are the features in their order.
    """
    lines = _lines(body, reader)
    known = {*contract.names, *(column.name for column in contract.set_aside)}
    header = lines[0] if lines else []
    indexed = len(header) > 1 and not header[0]
    if not header or not known.issuperset(header[indexed:]):
        return _typed(reader.arrays(lines, "row", contract.names), contract), False
    if len(set(header)) < len(header):
        raise malformed("the header names a column twice; send each column once")
    found = reader.arrays(lines[1:], "row", header)
    columns = {name: cells for name, cells in found.columns.items() if name}
    return _typed(Columnar(columns, found.count), contract), True


def _lines(body: bytes, reader: RowReader) -> list[list[str]]:
    """The lines of `body` that are not blank; no more are looked at than rows, and a header, may be."""
    try:
        text = body.decode("utf-8-sig")
        lines = list(islice(csv.reader(io.StringIO(text, newline=""), strict=True), reader.limit + 2))
    except UnicodeDecodeError as error:
        raise malformed(f"the body is not UTF-8: byte {error.start} cannot be read; send CSV in UTF-8") from error
    except csv.Error as error:
        raise malformed(f"the body is not CSV: {error}; quote cells that hold commas, quotes or line breaks") from error
    if len(lines) > reader.limit + 1:
        raise Refused(413, "too_large", f"a request takes at most {reader.limit} rows; send several")
    return [line for line in lines if line]


def _typed(found: Columnar, contract: Contract) -> Columnar:
    kinds = {column.name: column.kind for column in contract.columns}
    columns = {name: _READERS.get(kinds.get(name, ""), _texts)(cells) for name, cells in found.columns.items()}
    return Columnar(columns, found.count)


def _numbers(cells: Sequence[str]) -> list[Any]:
    return _each(cells, _number)


def _integers(cells: Sequence[str]) -> list[Any]:
    return _each(cells, _integer)


def _booleans(cells: Sequence[str]) -> list[Any]:
    return [_WORDS.get(cell.lower(), cell or None) for cell in cells]


def _texts(cells: Sequence[str]) -> list[Any]:
    return [cell or None for cell in cells]


_READERS: dict[str, Callable[[Sequence[str]], list[Any]]] = {
    "numeric": _numbers,
    "integer": _integers,
    "boolean": _booleans,
}


def _each(cells: Sequence[str], read_one: Callable[[str], float | int | None]) -> list[Any]:
    """What `read_one` makes of each cell; the cell itself where it makes nothing, None where the cell is empty."""
    joined = "".join(cells)
    if "_" in joined or not joined.isascii():  # Python reads 1_000 and digits of every script; JSON does not
        return [_careful(cell, read_one) for cell in cells]
    return [_read(cell, read_one) for cell in cells]


def _careful(cell: str, read_one: Callable[[str], float | int | None]) -> Any:
    return _read(cell, read_one) if "_" not in cell and cell.isascii() else cell


def _read(cell: str, read_one: Callable[[str], float | int | None]) -> Any:
    if not cell:
        return None
    value = read_one(cell)
    return cell if value is None else value


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    return 0.0 if cell == "-0" else value  # in JSON that is an integer, which has no sign at zero


def _integer(cell: str) -> float | int | None:
    try:
        return int(cell)
    except ValueError:
        return _number(cell)
