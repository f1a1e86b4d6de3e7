"""The proof that a compiled pipeline answers as scikit-learn does, row by row, before it may serve.

It asks both for the whole reference, and for the reference with each column in turn missing (where the contract allows
it), of an unseen category, or beyond what was seen. Labels must be identical; probabilities and values may differ by a
millionth. A difference below a part in 10^12 of the largest number answered is rounding, whatever it is relative to.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lifecycle.compilation.features import CannotCompile
from lifecycle.contract import Column, Columns, Contract
from lifecycle.ports import Runtime

TOLERANCE, ROUNDING = 1e-6, 1e-12
VARIANT_ROWS, ALL_VARIANT_ROWS, FEWEST_VARIANT_ROWS = 1_000, 50_000, 20
SINGLE_ROWS = 100
UNSEEN = "\N{WHITE SQUARE} a category that nobody has seen"
Answers = tuple[list[Any], dict[str, list[float]]]


@dataclass(frozen=True)
class Verified:
    """How far two runtimes differed at most, relative, over how many rows."""

    difference: float
    rows: int


def verify(contract: Contract, exact: Runtime, compiled: Runtime, reference: Columns) -> Verified:
    """Compare the two on the reference and its variants. Raises CannotCompile with the first difference found."""
    variants = [("the reference", reference), *_variants(contract, reference)]
    together = {name: [value for _, columns in variants for value in columns[name]] for name in contract.names}
    expected = _expected(contract, exact, variants, together)
    scale = _scale(expected)
    difference = _compare(expected, compiled.predict(together), scale)
    for index in _spread(_rows(together), SINGLE_ROWS):  # one row goes another way through the runtime than many
        alone = compiled.predict({name: [values[index]] for name, values in together.items()})
        difference = max(difference, _compare(_row_of(expected, index), alone, scale))
    return Verified(difference, _rows(together))


def _expected(
    contract: Contract, exact: Runtime, variants: Sequence[tuple[str, Columns]], together: Columns
) -> Answers:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of categories never seen, which are asked for on purpose
            return exact.predict(together)
    except Exception as error:  # the estimator's own refusal, whatever it raises: find the rows that it refuses
        for what, columns in variants:
            try:
                exact.predict({name: columns[name] for name in contract.names})
            except Exception as cause:  # the same
                raise CannotCompile(
                    f"scikit-learn raises {type(cause).__name__} for {what}, so a request like it fails; prepare for it "
                    "in the trainer"
                ) from cause
        raise CannotCompile(f"scikit-learn raises {type(error).__name__}: {error}") from error


def _variants(contract: Contract, reference: Columns) -> Iterator[tuple[str, Columns]]:
    changes = [(what, column.name, value) for column in contract.columns for what, value in _changes(column, reference)]
    size = max(min(VARIANT_ROWS, ALL_VARIANT_ROWS // max(len(changes), 1)), FEWEST_VARIANT_ROWS)
    chosen = _spread(_rows(reference), size)
    rows = {name: [values[index] for index in chosen] for name, values in reference.items()}
    for what, name, value in changes:
        yield f"{what} in column {name!r}", rows | {name: [value] * len(chosen)}
    missing = {column.name: [None] * len(chosen) for column in contract.columns if column.nullable}
    unseen = {column.name: [UNSEEN] * len(chosen) for column in contract.columns if column.kind == "categorical"}
    if len(missing) > 1:
        yield "missing values in every column that may be missing", rows | missing
    if len(unseen) > 1:
        yield "unseen categories in every column", rows | unseen


def _changes(column: Column, reference: Columns) -> Iterator[tuple[str, Any]]:
    if column.nullable:
        yield "missing values", None
    if column.kind == "categorical":
        yield "unseen categories", UNSEEN
    elif column.kind == "boolean":
        yield "only true", True
        yield "only false", False
    else:
        seen = [value for value in reference[column.name] if value is not None]
        low, high = min(seen, default=0), max(seen, default=0)
        yield "values above all seen", high + (high - low) + 1
        yield "values below all seen", low - (high - low) - 1


def _spread(rows: int, size: int) -> list[int]:
    """At most `size` of the indices of `rows` rows, evenly."""
    found: list[int] = np.unique(np.linspace(0, rows - 1, min(size, rows)).astype(int)).tolist()
    return found


def _rows(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _row_of(answers: Answers, index: int) -> Answers:
    labels, probabilities = answers
    return [labels[index]], {name: [values[index]] for name, values in probabilities.items()}


def _scale(answers: Answers) -> float:
    """The size of what is answered: 1 for probabilities, the largest value of a regression."""
    labels, _ = answers
    if not labels or not isinstance(labels[0], float):
        return 1.0
    values = np.abs(labels)
    return float(values[np.isfinite(values)].max(initial=0.0))


def _compare(expected: Answers, found: Answers, scale: float) -> float:
    (labels, probabilities), (found_labels, found_probabilities) = expected, found
    regression = bool(labels) and isinstance(labels[0], float)
    if not regression and labels != found_labels:
        wrong = sum(one != other for one, other in zip(labels, found_labels, strict=True))
        raise CannotCompile(f"{wrong} of {len(labels)} labels differ from scikit-learn's")
    if probabilities.keys() != found_probabilities.keys():
        raise CannotCompile("the compiled form answers other classes than scikit-learn")
    pairs = [(labels, found_labels)] if regression else []
    pairs += [(values, found_probabilities[name]) for name, values in probabilities.items()]
    difference = max((largest_difference(one, other, scale) for one, other in pairs), default=0.0)
    if not difference <= TOLERANCE:
        what = "values" if regression else "probabilities"
        raise CannotCompile(f"{what} differ from scikit-learn's by up to {difference:.1e}, more than {TOLERANCE:.0e}")
    return difference


def largest_difference(expected: Sequence[float], found: Sequence[float], scale: float) -> float:
    """The largest relative difference; rounding (of `scale`) counts as none, a number beside a NaN as infinite."""
    one, other = np.asarray(expected, dtype=np.float64), np.asarray(found, dtype=np.float64)
    if not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return float("inf")
    one, other = one[np.isfinite(one)], other[np.isfinite(other)]
    apart, size = np.abs(one - other), np.maximum(np.abs(one), np.abs(other))
    real = apart > ROUNDING * scale
    return float((apart[real] / size[real]).max(initial=0.0))
