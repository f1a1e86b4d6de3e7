"""Encoders are lowered by asking them: the fitted transformer itself encodes every code of a column, one column at a time.

What comes out is a table per output column. That is right only if each output column depends on one input column alone,
and if all unseen values are treated alike; both are checked, and a transformer that fails is refused with the reason.
"""

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lifecycle.compilation.features import CannotCompile, Code, Feature, Source, Table

UNSEEN_TEXTS = ("\N{WHITE SQUARE}unseen", "another unseen \N{WHITE SQUARE}", "\N{WHITE SQUARE}")
LARGEST_BLOCK = 20_000_000
COMBINATIONS = 64


def tabulate(transformer: Any, features: Sequence[Code | Table]) -> list[Feature]:
    """The transformer's output columns as tables. Raises CannotCompile with the reason when they are not."""
    sources = list(dict.fromkeys(feature.source for feature in features))
    choices = [_codes(source) for source in sources]
    blocks = [_varied(index, codes, len(sources)) for index, codes in enumerate(choices)]
    mixed = _combinations(choices)
    rows = np.concatenate([*blocks, mixed])
    outputs = _evaluate(transformer, features, sources, rows)
    tables: list[Table] = []
    starts = np.cumsum([0, *(len(block) for block in blocks)])
    parts = [outputs[start:end] for start, end in pairwise(starts.tolist())]
    for column in range(outputs.shape[1]):
        moved = [index for index, part in enumerate(parts) if not _constant(part[:, column])]
        if len(moved) > 1:
            names = " and ".join(repr(sources[index].name) for index in moved[:2])
            raise CannotCompile(f"{_named(transformer)} mixes columns {names} in one number")
        owner = moved[0] if moved else 0
        values = parts[owner][:, column]
        tables.append(Table(sources[owner], _per_code(transformer, sources[owner], values)))
    _refuse_interactions(transformer, tables, sources, mixed, outputs[starts[-1] :])
    return list(tables)


def _codes(source: Source) -> npt.NDArray[np.int64]:
    """The codes to ask for: all values, the unseen ones (several negative codes), and missing where it can occur."""
    unseen = [-1 - index for index in range(len(UNSEEN_TEXTS))]
    return np.array([*range(len(source.known)), *unseen, *([source.codes - 1] if source.nullable else [])])


def _varied(index: int, codes: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.int64]:
    rows = np.zeros((len(codes), width), dtype=np.int64)
    rows[:, index] = codes
    return rows


def _combinations(choices: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    random = np.random.default_rng(0)
    return np.stack([random.choice(codes, COMBINATIONS) for codes in choices], axis=1)


def _per_code(transformer: Any, source: Source, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    known = len(source.known)
    unseen = values[known : known + len(UNSEEN_TEXTS)]
    if not _constant(unseen) and unseen.tolist() != list(UNSEEN_TEXTS):  # passed on as they are: an encoder follows
        raise CannotCompile(f"{_named(transformer)} tells unseen values of {source.name!r} apart")
    missing = values[-1] if source.nullable else unseen[0]
    found = np.empty(source.codes, dtype=values.dtype)
    found[:known], found[known], found[known + 1] = values[:known], unseen[0], missing
    return found


def _refuse_interactions(
    transformer: Any,
    tables: Sequence[Table],
    sources: Sequence[Source],
    rows: npt.NDArray[np.int64],
    outputs: npt.NDArray[Any],
) -> None:
    for column, table in enumerate(tables):
        codes = rows[:, sources.index(table.source)]
        if not _same(_cells(table, codes), outputs[:, column]):
            raise CannotCompile(f"{_named(transformer)} mixes several columns in one number")


def _evaluate(
    transformer: Any, features: Sequence[Code | Table], sources: Sequence[Source], rows: npt.NDArray[np.int64]
) -> npt.NDArray[Any]:
    try:
        return _ask(transformer, features, sources, rows)
    except CannotCompile:
        raise
    except Exception as error:  # an encoder may refuse in any way it likes; which values it refuses is what matters
        for index, source in enumerate(sources):
            for kind, codes in (("unseen", [-1]), ("missing", [source.codes - 1] if source.nullable else [])):
                try:
                    _ask(transformer, features, sources, _varied(index, np.array(codes), len(sources))[: len(codes)])
                except Exception as cause:  # the same
                    raise CannotCompile(
                        f"{_named(transformer)} raises {type(cause).__name__} on {kind} values of {source.name!r}, so a "
                        "request that holds one fails; let it ignore them"
                    ) from cause
        raise CannotCompile(f"{_named(transformer)} raises {type(error).__name__}: {error}") from error


def _ask(
    transformer: Any, features: Sequence[Code | Table], sources: Sequence[Source], rows: npt.NDArray[np.int64]
) -> npt.NDArray[Any]:
    if not len(rows):
        return np.empty((0, 0))
    columns = [_cells(feature, rows[:, sources.index(feature.source)]) for feature in features]
    names = getattr(transformer, "feature_names_in_", None)
    frame = pd.DataFrame({index: pd.Series(cells, dtype=cells.dtype) for index, cells in enumerate(columns)})
    given: Any
    if names is not None:
        given = frame.set_axis(list(names), axis=1)
    elif all(np.issubdtype(cells.dtype, np.floating) for cells in columns):
        given = np.column_stack(columns)
    else:
        given = frame.to_numpy(dtype=object)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # encoders warn of unseen values, which are asked for on purpose
        found = transformer.transform(given)
    if np.prod(found.shape) > LARGEST_BLOCK:
        raise CannotCompile(f"{_named(transformer)} makes {found.shape[1]:,} columns of {len(rows):,} values, too many")
    found = found.toarray() if hasattr(found, "toarray") else np.asarray(found)
    return found.reshape(len(rows), -1)


def _cells(feature: Code | Table, codes: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """The feature's values for codes, where negative codes are unseen values of which each is another."""
    source = feature.source
    if isinstance(feature, Table):
        found = feature.encoded[np.where(codes < 0, len(source.known), codes)]
        if feature.encoded.dtype == object and feature.encoded[len(source.known)] == UNSEEN_TEXTS[0]:
            for index in np.flatnonzero(codes < 0).tolist():
                found[index] = UNSEEN_TEXTS[-1 - int(codes[index])]
        return found
    cells = [_cell(source, int(code)) for code in codes]
    numeric = any(isinstance(value, float) for value in source.known)
    return np.array(cells, dtype=np.float64 if numeric else object)


def _cell(source: Source, code: int) -> Any:
    numeric = any(isinstance(value, float) for value in source.known)
    if code < 0 or code == len(source.known):
        return max(source.known) + 1.25 - code if numeric else UNSEEN_TEXTS[max(-1 - code, 0)]
    if code == source.codes - 1:
        return float("nan") if numeric else None
    return source.known[code]


def _constant(values: npt.NDArray[Any]) -> bool:
    return _same(values, np.repeat(values[:1], len(values)))


def _same(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    if one.dtype == object:
        return all(a is b or a == b for a, b in zip(one.tolist(), other.tolist(), strict=True))
    return np.array_equal(one, other, equal_nan=True)


def _named(transformer: Any) -> str:
    return type(transformer).__name__
