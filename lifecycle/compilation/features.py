"""What a column of the matrix between two steps of a pipeline is made of: a text, a function of one text, or a number."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lifecycle.errors import EvenkeelError

Floats = npt.NDArray[np.float64]
INPUT = "x"


class CannotCompile(EvenkeelError):
    """The pipeline has a part that is not lowered; the sentence says which and why."""


@dataclass(frozen=True)
class Source:
    """A column of codes: `index` of graph tensor `tensor`.

    Code i < k stands for `known[i]`, k for everything else, k + 1 for missing (which cannot occur unless `nullable`).
    """

    tensor: str
    index: int
    name: str
    known: tuple[Any, ...] = field(repr=False)
    nullable: bool

    @property
    def codes(self) -> int:
        """How many codes there are."""
        return len(self.known) + 2


@dataclass(frozen=True)
class Code:
    """A text column as it came in: no number yet."""

    source: Source


@dataclass(frozen=True, eq=False)
class Table:
    """A function of one column of codes: `encoded[code]`."""

    source: Source
    encoded: npt.NDArray[Any]

    def numbers(self) -> Floats:
        """The values as float64. Raises CannotCompile when they are texts."""
        try:
            return np.asarray(self.encoded, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise CannotCompile(f"column {self.source.name!r} is still text where numbers are computed") from error


@dataclass(frozen=True)
class Number:
    """Column `index` of the float64 graph tensor `tensor`."""

    tensor: str
    index: int


Feature = Code | Table | Number
