"""A real stream: two years of a city's shared bicycles by the hour (Fanaee-T and Gama, 2014), judged a day at a time.

The first fifth is what a version knows: a regressor is fitted on most of it, and the rest is its hold-out. Then seasons
turn and the system grows, so that much of what is told is true; nobody knows which days were false.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from benchmarks.detection.ours import Verdicts
from benchmarks.detection.peers.evidently_defaults import Defaults
from benchmarks.detection.peers.nannyml.peer import NannyML
from benchmarks.detection.traffic import HOUR
from lifecycle.config import MonitoringSection
from lifecycle.contract import Column, Contract, Target
from lifecycle.records import ModelVersion
from lifecycle.versions import AT, LABEL, PREDICTION
from monitoring.references import Reference
from monitoring.rows import Integers, Rows, kept_rows

NUMBERS = ("hr", "temp", "atemp", "hum", "windspeed")
TEXTS = ("holiday", "weekday", "workingday", "weathersit")
FEATURES = (*NUMBERS, *TEXTS)
"""Without the month and the season, of which five months of reference cannot know the others."""
REFERENCE_SHARE, TRAINING_SHARE = 0.2, 0.7
DAY = 24 * HOUR
DAILY = MonitoringSection(window_minutes=24 * 60, minimum_rows=10, minimum_labels=10)
"""A day has 24 rows, fewer than verdicts ask for by themselves."""
CONTRACT = Contract(
    target=Target(name="cnt", task="regression"),
    columns=(
        *(Column(name=name, kind="numeric") for name in NUMBERS),
        *(Column(name=name, kind="categorical") for name in TEXTS),
    ),
    time="dteday",
)
WORDS = """\
Two years of a city's shared bicycles by the hour: the first 20 % are the reference, and the other days a window each, of 24 rows.
Temperatures follow the seasons and the system grows, so most of what is told is true, and nobody knows what is not.
The numbers are days in alarm. *Weekday*: against the reference's rows of the same weekday (a day has all the hours, so that a season by
hour would change nothing). Ours also have the labels, which came at once.
"""


def judged(path: Path, work: Path) -> dict[str, Any]:
    """Every product's days in alarm by month; the rows of `path` are those of the data set's `hour.csv`."""
    stream = _stream(path)
    rows = kept_rows(CONTRACT, stream)
    known = _known(rows)
    reference = _reference(rows, known)
    days = list(_days(rows, known))
    told = dict(_told(reference, days)) | dict(_told_by_peers(reference, rows.taken(slice(known, None)), days, work))
    months = [str(np.datetime64(int(_day(day)[0]), "D").astype("datetime64[M]")) for day in days]
    return {"words": WORDS, "months": [_month(month, months, told) for month in sorted(set(months))]}


def _stream(path: Path) -> pd.DataFrame:
    """With the label, the answer of a regressor that was fitted on the first rows, and the moment of each row."""
    stream = pd.read_csv(path)
    training = int(REFERENCE_SHARE * TRAINING_SHARE * len(stream))
    inputs, labels = stream[list(FEATURES)].to_numpy(np.float64), stream["cnt"].to_numpy(np.float64)
    with threadpool_limits(1):
        model = HistGradientBoostingRegressor(random_state=0).fit(inputs[:training], labels[:training])
        answers = model.predict(inputs)
    at = pd.to_datetime(stream["dteday"]) + pd.to_timedelta(stream["hr"], unit="h")
    moments = (at - pd.Timestamp(0)) // pd.Timedelta(microseconds=1)
    return stream.assign(**{LABEL: labels, PREDICTION: answers, AT: moments})


def _reference(rows: Rows, known: int) -> Reference:
    fitted = int(TRAINING_SHARE * known)
    return Reference(
        key="bikes",
        words=f"the {known} rows of the first days",
        version=ModelVersion(1, 0, "promoted", "0" * 64, None, {}, {}),
        contract=CONTRACT,
        rows=rows.taken(slice(0, known)),
        holdout=rows.taken(slice(fitted, known)),
        in_time_order=True,
    )


def _known(rows: Rows) -> int:
    """The rows of the whole days in the first fifth."""
    days = _day(rows)
    return int(np.searchsorted(days, days[int(REFERENCE_SHARE * len(rows))]))


def _days(rows: Rows, first: int) -> Iterator[Rows]:
    days = _day(rows)
    for day in np.unique(days[first:]):
        yield rows.taken(days == day)


def _day(rows: Rows) -> Integers:
    """Of each row, counted from 1970."""
    assert rows.at is not None, "every row has its moment"
    return rows.at // DAY


def _told(reference: Reference, days: Sequence[Rows]) -> Iterator[tuple[str, list[str]]]:
    """Our state of each day, against all of the reference and against its same weekdays."""
    yield "evenkeel", list(Verdicts(DAILY).states(((reference, day) for day in days), whole=True))
    pairs = ((_of_weekday(reference, int(_day(day)[0])), day) for day in days)
    yield "evenkeel, weekday", list(Verdicts(DAILY).states(pairs, whole=True))


def _of_weekday(reference: Reference, day: int) -> Reference:
    same = (_day(reference.rows) - day) % 7 == 0
    return replace(reference, key=f"{reference.key}/{day % 7}", rows=reference.rows.taken(same))


def _told_by_peers(
    reference: Reference, rows: Rows, days: Sequence[Rows], work: Path
) -> Iterator[tuple[str, list[str]]]:
    flags = {
        name: [alarm for [alarm] in runs] for name, runs in Defaults(reference).judged([day] for day in days).items()
    }
    with NannyML(work) as nannyml:
        flags |= nannyml.days(reference, rows)
    for verdict, alarms in flags.items():
        yield verdict, ["alarm" if alarm else "ok" for alarm in alarms]


def _month(month: str, months: Sequence[str], told: dict[str, list[str]]) -> dict[str, Any]:
    """How many of its days each verdict was in each state."""
    states = {
        verdict: dict(Counter(state for one, state in zip(months, days, strict=True) if one == month))
        for verdict, days in told.items()
    }
    return {"month": month, "days": months.count(month), "states": states}
