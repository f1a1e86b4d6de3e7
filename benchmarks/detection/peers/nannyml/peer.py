"""NannyML in an environment of its own: one process that judges files."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import pandas as pd

from benchmarks.serving import environments
from benchmarks.serving.entrants import Server
from monitoring.references import Reference
from monitoring.rows import Rows

HERE = Path(__file__).parent
ANY_COLUMN, RECONSTRUCTION = "nannyml, any column", "nannyml, reconstruction"
MOMENT = "moment"
VERDICTS = {"any column": ANY_COLUMN, "reconstruction": RECONSTRUCTION}
ENVIRONMENT = Server("nannyml", lambda _: [], ("nannyml", "numpy", "pandas"), HERE / "requirements.lock")
"""Made as those of the benchmark of serving are."""


class NannyML:
    """NannyML's verdicts; the process lives as long as it is used as a context."""

    def __init__(self, work: Path) -> None:
        self._program = environments.programs(ENVIRONMENT, work) / "python"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [str(self._program), str(HERE / "judge.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "NML_DISABLE_USAGE_LOGGING": "1", "OMP_NUM_THREADS": "1"},
        )
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            assert self._process.stdin is not None, "it was asked for"
            self._process.stdin.close()

    def judged(self, reference: Reference, runs: Iterable[Iterable[Rows]]) -> dict[str, list[list[bool]]]:
        """Both verdicts on every window of every run; all windows have as many rows."""
        cut = [[_frame(reference, window) for window in run] for run in runs]
        windows = [frame for run in cut for frame in run]
        flags = self._alarms(_frame(reference, reference.rows), pd.concat(windows), {"chunk_size": len(windows[0])})
        return {name: _cut(each, [len(run) for run in cut]) for name, each in flags.items()}

    def days(self, reference: Reference, rows: Rows) -> dict[str, list[bool]]:
        """Both verdicts on every day of `rows`, in order of time."""
        before, now = (_timed(_frame(reference, side), side) for side in (reference.rows, rows))
        return self._alarms(before, now, {"chunk_period": "D", "timestamp_column_name": MOMENT})

    def _alarms(self, reference: pd.DataFrame, windows: pd.DataFrame, chunks: dict[str, Any]) -> dict[str, list[bool]]:
        """Of each chunk, by each verdict. Raises RuntimeError when the process has ended."""
        assert self._process.stdin is not None, "it was asked for"
        assert self._process.stdout is not None, "it was asked for"
        with tempfile.TemporaryDirectory() as folder:
            paths = {"reference": f"{folder}/reference.parquet", "windows": f"{folder}/windows.parquet"}
            reference.to_parquet(paths["reference"], index=False)
            windows.to_parquet(paths["windows"], index=False)
            print(json.dumps(paths | {"chunks": chunks}), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("NannyML's process ended without an answer; what it said is above")
        found: dict[str, list[bool]] = json.loads(answer)
        return {VERDICTS[name]: flags for name, flags in found.items()}


def _frame(reference: Reference, rows: Rows) -> pd.DataFrame:
    """The features alone."""
    return rows.frame()[[scored.name for scored in reference.columns if scored.about == "feature"]]


def _timed(frame: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    assert rows.at is not None, "only rows that know when they were have days"
    return frame.assign(**{MOMENT: rows.at.astype("datetime64[us]")})


def _cut(flags: list[bool], lengths: list[int]) -> list[list[bool]]:
    remaining = iter(flags)
    return [[next(remaining) for _ in range(length)] for length in lengths]
