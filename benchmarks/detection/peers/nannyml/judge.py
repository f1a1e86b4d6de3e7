"""NannyML's calculators as they come, run in its own environment: a request is a line of JSON, and so is its answer.

A request names two Parquet files, the `reference` and the `windows` one after another, and how NannyML is to cut both into
`chunks`, in its own words. The answer says of each chunk whether any column alarms, and whether the rebuilding of rows from
their principal components does.
"""

import json
import sys
import warnings
from typing import Any

import nannyml  # type: ignore[import-not-found]  # it is in its own environment alone
import pandas as pd


def alarms(reference: pd.DataFrame, windows: pd.DataFrame, chunks: dict[str, Any]) -> dict[str, list[bool]]:
    names = [name for name in reference.columns if name != chunks.get("timestamp_column_name")]
    univariate = nannyml.UnivariateDriftCalculator(column_names=names, **chunks)
    together = nannyml.DataReconstructionDriftCalculator(column_names=names, **chunks)
    return {"any column": told(univariate, reference, windows), "reconstruction": told(together, reference, windows)}


def told(calculator: Any, reference: pd.DataFrame, windows: pd.DataFrame) -> list[bool]:
    """Whether any alert of the calculator is raised for a window."""
    frame = calculator.fit(reference).calculate(windows).filter(period="analysis").to_df()
    flags = frame[[column for column in frame.columns if column[-1] == "alert"]]
    return [bool(flag) for flag in flags.any(axis=1)]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        asked = json.loads(line)
        reference, windows = (pd.read_parquet(asked[side]) for side in ("reference", "windows"))
        print(json.dumps(alarms(reference, windows, asked["chunks"])), flush=True)
