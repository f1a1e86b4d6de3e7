"""The models that are served, and the rows that are sent: tables that scikit-learn bundles or a seed makes."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

TARGET = "outcome"
SEED = 7
MIXED_ROWS = 4_000
BODIES = 16
"""Different bodies that each measurement sends in turn, so that no answer can be one that was kept."""
TRAINERS = Path(__file__).parent / "trainers"
Record = dict[str, Any]


@dataclass(frozen=True)
class Rows:
    """Rows of one request. `positions` are theirs in the case's table; None is a missing value."""

    names: tuple[str, ...]
    records: list[Record]
    positions: list[int]
    is_matrix: bool

    @property
    def values(self) -> list[list[Any]]:
        """The rows as lists, in the order of `names`."""
        return [list(record.values()) for record in self.records]

    @property
    def as_peers_take_them(self) -> list[list[Any]] | list[Record]:
        """Lists of numbers when all columns are numbers, objects by column name otherwise."""
        return self.values if self.is_matrix else self.records


@dataclass(frozen=True)
class Case:
    """One model: its name, what it is, and whether its table is numbers alone."""

    name: str
    title: str
    is_matrix: bool

    @property
    def trainer(self) -> Path:
        """A trainer as a project has one; the peers' estimator is made by the same function."""
        return TRAINERS / f"{self.name}.py"

    @cached_property
    def table(self) -> pd.DataFrame:
        """Features, and TARGET as 0 or 1."""
        return _numbers() if self.is_matrix else _mixed()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(str(name) for name in self.table.columns if name != TARGET)

    @property
    def records(self) -> list[Record]:
        """The features of the whole table, row by row."""
        features = self.table[list(self.names)].astype(object)
        found = features.where(features.notna(), None).to_dict("records")
        return [{str(name): value for name, value in record.items()} for record in found]

    def bodies(self, rows: int) -> Iterator[Rows]:
        """The rows of BODIES requests of `rows` rows each, taken round the table."""
        records = self.records
        for body in range(BODIES):
            positions = [(body * rows + index) % len(records) for index in range(rows)]
            yield Rows(self.names, [records[position] for position in positions], positions, self.is_matrix)


CASES = (
    Case("logistic", "Logistic regression pipeline, 30 numbers", is_matrix=True),
    Case("forest", "Random forest of 100 trees, 30 numbers", is_matrix=True),
    Case("boosting", "HistGradientBoosting, 30 numbers", is_matrix=True),
    Case("mixed", "Mixed types: 6 numbers with gaps and 4 categories", is_matrix=False),
)


def _numbers() -> pd.DataFrame:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer(as_frame=True)
    table: pd.DataFrame = bunch.data.rename(columns=lambda name: name.replace(" ", "_"))
    return table.assign(**{TARGET: bunch.target}).sample(frac=1, random_state=SEED).reset_index(drop=True)


def _mixed() -> pd.DataFrame:
    chance = random.Random(SEED)
    return pd.DataFrame([_customer(chance) for _ in range(MIXED_ROWS)])


def _customer(chance: random.Random) -> Record:
    plan = chance.choice(("free", "basic", "premium"))
    tenure = chance.randint(0, 120)
    age = round(chance.gauss(45, 14), 1)
    visits = round(chance.expovariate(0.2), 2)
    likely = 0.01 * tenure + 0.05 * visits + {"free": -1.2, "basic": 0.0, "premium": 0.8}[plan] - 0.01 * age
    return {
        "age": None if chance.random() < 0.08 else age,
        "income": None if chance.random() < 0.1 else round(chance.lognormvariate(10, 0.5), 2),
        "balance": round(chance.gauss(0, 900), 2),
        "tenure_months": tenure,
        "visits": visits,
        "score": round(chance.random(), 4),
        "plan": plan,
        "region": chance.choice(("north", "south", "east", "west", "centre", "abroad")),
        "channel": chance.choice(("web", "shop", "phone", "partner", "mail")),
        "device": chance.choice(("phone", "tablet", "laptop", "desktop")),
        TARGET: int(likely + chance.gauss(0, 0.6) > 0),
    }
