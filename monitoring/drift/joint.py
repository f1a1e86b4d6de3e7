"""How columns go together, apart from how each is distributed: what no column's own score can see.

Each column becomes a few functions of its ranks among its own rows, so that only dependence is left, and the products of two
columns' functions are averaged. How far these averages are from the reference's is a kernel two-sample statistic on
the copula of each pair (Gretton et al., 2012; the kernel is a sum of products of cosines). The largest pair is the score.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from monitoring.rows import Floats, Numbers, Rows, Values

WAVES = (1, 2)
COMMONEST = 3
MOST_COLUMNS = 60
MOST_ROWS = 20_000
"""Rows that are enough: beyond them chance is far below any change that matters."""


class Change(NamedTuple):
    """The pair whose dependence differs most, and by how much: 0 not at all, about 1 from none to full correlation."""

    score: float
    pair: tuple[str, str]


@dataclass(frozen=True)
class _Feature:
    """A column as ranks or as places among its commonest names: whole numbers, -1 where it is missing."""

    codes: npt.NDArray[np.intp]
    is_ordered: bool


class Together:
    """The dependences of a reference's `names`, of at least two columns, to be compared with many windows."""

    def __init__(self, rows: Rows, names: tuple[str, ...]) -> None:
        self.names = names[:MOST_COLUMNS]
        self._rows = rows.thinned(MOST_ROWS)
        self._commonest = {name: _commonest(self._rows.columns[name]) for name in self.names}
        self._features = self._coded(self._rows)
        self._owner = np.concatenate([np.full(_width(item), place) for place, item in enumerate(self._features)])
        self._whole = _products(self._features, None)

    @property
    def count(self) -> int:
        """Rows of the reference that take part."""
        return len(self._rows)

    def change(self, rows: Rows) -> Change:
        """How `rows` differ from the reference."""
        return self._largest(_products(self._coded(rows.thinned(MOST_ROWS)), None), self._whole)

    def draw(self, places: npt.NDArray[np.intp]) -> float:
        """How the reference's rows at `places` differ from its other rows."""
        drawn = _products(self._features, places)
        share = len(places) / self.count
        others = (self._whole - share * drawn) / (1 - share)
        return self._largest(drawn, others).score

    def _coded(self, rows: Rows) -> list[_Feature]:
        return [_coded(rows.columns[name], self._commonest[name]) for name in self.names]

    def _largest(self, now: Floats, before: Floats) -> Change:
        squares = (now - before) ** 2
        count = len(self.names)
        indicator = np.zeros((len(self._owner), count))
        indicator[np.arange(len(self._owner)), self._owner] = 1
        pairs = np.triu(indicator.T @ squares @ indicator, k=1)
        first, second = divmod(int(pairs.argmax()), count)
        return Change(float(np.sqrt(pairs[first, second])), (self.names[first], self.names[second]))


def _commonest(values: Values) -> tuple[str, ...]:
    if isinstance(values, Numbers):
        return ()
    counts = np.bincount(values.codes[values.codes >= 0], minlength=len(values.names))
    order = sorted(range(len(values.names)), key=lambda code: (-counts[code], values.names[code]))
    return tuple(values.names[code] for code in order[:COMMONEST] if counts[code])


def _coded(values: Values, commonest: tuple[str, ...]) -> _Feature:
    if isinstance(values, Numbers):
        codes = np.full(len(values), -1, dtype=np.intp)
        codes[~values.missing] = np.unique(values.floats[~values.missing], return_inverse=True)[1]
        return _Feature(codes, is_ordered=True)
    place = {name: number for number, name in enumerate(commonest)}
    of_code = np.array([*(place.get(name, len(commonest)) for name in values.names), -1], dtype=np.intp)
    return _Feature(of_code[values.codes], is_ordered=False)


def _width(feature: _Feature) -> int:
    return len(WAVES) if feature.is_ordered else COMMONEST


def _products(features: list[_Feature], places: npt.NDArray[np.intp] | None) -> Floats:
    """The averages of products of all functions with each other, over the rows at `places` or all."""
    parts = [_functions(feature.codes if places is None else feature.codes[places], feature) for feature in features]
    values = np.hstack(parts)
    return np.asarray(values.T @ values / max(len(values), 1))


def _functions(codes: npt.NDArray[np.intp], feature: _Feature) -> Floats:
    """One row per row and one column per function: each has the mean 0, and the variance 1 unless it is constant."""
    present = codes >= 0
    found = np.zeros((len(codes), _width(feature)))
    if not present.any():
        return found
    counts = np.bincount(codes[present])
    if feature.is_ordered:
        ranks = ((np.cumsum(counts) - counts / 2) / present.sum())[codes[present]]
        functions = np.column_stack([np.cos(np.pi * wave * ranks) for wave in WAVES])
    else:
        functions = np.column_stack([codes[present] == place for place in range(COMMONEST)]).astype(np.float64)
    functions -= functions.mean(axis=0)
    spread = functions.std(axis=0)
    found[present] = functions / np.where(spread > 1e-9, spread, 1.0)
    return found
