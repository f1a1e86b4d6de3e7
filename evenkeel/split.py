"""Which rows train version 1 and which measure it: the newest fifth when rows are in time order, else a seeded draw.

For classification the draw takes the same share of every class; a class with a single row stays in training.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from lifecycle.contract import Contract
from lifecycle.errors import ProjectInvalid
from lifecycle.versions import LABEL

HOLDOUT_SHARE = 0.2


def split(contract: Contract, rows: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training rows and hold-out rows, each in the order they had.

    Raises ProjectInvalid when the older rows hold one class only.
    """
    if contract.time:
        cut = len(rows) - _share(len(rows))
        _refuse_one_class(contract, rows.iloc[:cut])
        return rows.iloc[:cut], rows.iloc[cut:]
    random = np.random.default_rng(seed)
    groups = (
        [np.arange(len(rows))]
        if contract.target.is_regression
        else list(rows.groupby(LABEL, sort=True).indices.values())
    )
    held = np.sort(np.concatenate([_draw(np.asarray(group), random) for group in groups]))
    return rows.drop(index=rows.index[held]), rows.iloc[held]


def _refuse_one_class(contract: Contract, rows: pd.DataFrame) -> None:
    if not contract.target.is_regression and rows[LABEL].nunique() < 2:
        raise ProjectInvalid(
            f"the oldest {len(rows)} rows by {contract.time!r}, which train version 1, all have the label "
            f"{str(rows[LABEL].iloc[0])[:40]!r}; leave out --time, or use a file in which both classes appear early"
        )


def _draw(group: npt.NDArray[np.intp], random: np.random.Generator) -> npt.NDArray[np.intp]:
    return random.permutation(group)[: _share(len(group))]


def _share(count: int) -> int:
    return min(count - 1, max(1, round(count * HOLDOUT_SHARE))) if count > 1 else 0
