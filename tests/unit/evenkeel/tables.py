"""Makes source tables for tests of `init`: one column of each kind, and a target that follows from them."""

from pathlib import Path

import numpy as np
import pandas as pd


def table(rows: int = 200, *, seed: int = 0) -> pd.DataFrame:
    """Columns of each kind, `price` (a number) and `sold` (a class) that depend on them, and `key` that names the row."""
    random = np.random.default_rng(seed)
    size = random.uniform(20, 200, rows).round(1)
    rooms = random.integers(1, 7, rows)
    garden = random.random(rows) < 0.5
    town = random.choice(["Ghent", "Turin", "York"], rows)
    built = pd.Series(pd.Timestamp("1990-01-01") + pd.to_timedelta(random.integers(0, 12_000, rows), unit="D"))
    price = 3 * size + 10 * rooms + 40 * garden + random.normal(0, 10, rows)
    return pd.DataFrame(
        {
            "key": [f"house {index}" for index in range(rows)],
            "size": size,
            "rooms": rooms,
            "garden": garden,
            "town": town,
            "built": built.dt.strftime("%Y-%m-%d"),
            "price": price.round(2),
            "sold": np.where(price + random.normal(0, 30, rows) > np.median(price), "yes", "no"),
        }
    )


def write(folder: Path, frame: pd.DataFrame, name: str = "houses.csv") -> Path:
    """`frame` as the file `name` in `folder`."""
    path = folder / name
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path
