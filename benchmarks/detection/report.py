"""The section of the page about detection: goals, false alarms, power, and what was said of the bike stream."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.detection import tally as tallies
from benchmarks.detection.goals import judge
from benchmarks.detection.measure import VERDICT
from benchmarks.detection.tally import Tally
from benchmarks.detection.traffic import CHANGES, NOTHING
from benchmarks.serving.report import table

SECTION = "detection"
QUIET_STATES = ("ok", "warning")
INTRODUCTION = """\
## Detection of drift

How often verdicts are wrong, measured by `make bench-detection`, which writes this section and [the raw
numbers](benchmarks_detection.json). Rows are generated from seeds: 13 columns (4 normal, Student's t with 3 and with 2
degrees of freedom, 2 lognormal, 2 of whole numbers, categories of 3, 12 and 200 levels) and the answers of a classifier whose
probabilities are right. Each column is a function of a normal deviate, so that rows can be correlated with the rows before
them, and a change be as large in every column: a shift by 0.25 standard deviations is one of the deviate. References of
correlated rows are in order of time, the others in none.

*Evenkeel* is a project that changes no setting and has windows of an hour: its budget is one false alarm in 720 windows, for
all its series together. Its verdicts are reached by the product's own code, persistence over two windows included.
*Evidently* are the stat tests and thresholds that `DataDriftPreset` chooses by itself: the data set drifts when half of the
columns do, or any column that does is taken for an alarm. *NannyML* are its univariate calculator, where any column's alert
is taken for an alarm, and its reconstruction of rows from their principal components, both as they come.
"""
QUIET = """\
### Nothing has changed

Of *evenkeel* the alarms that began, and how many that is in a month of hourly windows, with the exact upper bound of 95 %.
Windows share the chance of their reference, so the references with any alarm are counted too. Of the peers the share of
windows in alarm. In a *whole* case labels, calibration, data quality, realised and estimated performance may alarm as well,
and all counts.
"""
POWERFUL = """\
### Something has changed

The share of changes that were found: by an alarm in one of the first two windows after it.
"""


def text(raw: Mapping[str, Any]) -> str:
    """The whole section."""
    found = tallies.read(raw["tallies"])
    nulls = [tally for tally in found if tally.change == NOTHING]
    changed = [tally for tally in found if tally.change != NOTHING]
    parts = [INTRODUCTION, _run(raw), _goals(found), QUIET, _quiet(nulls), POWERFUL, _powerful(changed), *_stream(raw)]
    return "\n\n".join(part.strip() for part in parts)


def _run(raw: Mapping[str, Any]) -> str:
    machine, versions = raw["machine"], ", ".join(f"{name} {version}" for name, version in raw["versions"].items())
    return (
        f"Measured on {raw['measured_at'][:10]} in {raw['took_s'] / 60:.1f} minutes, with {raw['share']:g} of the full effort: "
        f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}; {versions}."
    )


def _goals(found: Sequence[Tally]) -> str:
    lines = [[goal.what, goal.wanted, goal.measured, goal.met] for goal in judge(found)]
    return table(["Goal", "Wanted", "Measured", "Met"], lines)


def _quiet(nulls: Iterable[Tally]) -> str:
    heads = ["Rows", "Reference", "Correlation", "Windows", "Alarms", "A month (at most)", "References with any"]
    peers = list(dict.fromkeys(tally.verdict for tally in nulls if tally.verdict != VERDICT))
    lines = []
    for case in _cases(nulls):
        ours = case.get(VERDICT)
        lines.append([*_case(case), *_ours(ours), *(_share(case.get(peer)) for peer in peers)])
    return table([*heads, *peers], lines)


def _ours(ours: Tally | None) -> list[str]:
    if ours is None:
        return ["-"] * 4
    return [
        f"{ours.all_windows:,}",
        str(sum(ours.onsets)),
        f"{ours.monthly:.2f} ({ours.monthly_at_most:.2f})",
        f"{ours.references_that_alarm} of {len(ours.onsets)}",
    ]


def _share(peer: Tally | None) -> str:
    return "-" if peer is None else f"{peer.share_in_alarm:.1%} of {peer.all_windows:,}"


def _powerful(changed: Iterable[Tally]) -> str:
    verdicts = list(dict.fromkeys(tally.verdict for tally in changed))
    lines = []
    for case in _cases(changed):
        change = CHANGES[next(iter(case.values())).change].words
        lines.append([change, *_case(case), *(_power(case.get(verdict)) for verdict in verdicts)])
    return table(["Change", "Rows", "Reference", "Correlation", *verdicts], lines)


def _power(tally: Tally | None) -> str:
    return "-" if tally is None else f"{tally.power:.1%} of {tally.all_runs}"


def _case(case: Mapping[str, Tally]) -> list[str]:
    one = next(iter(case.values()))
    return [f"{one.rows:,}", f"{one.reference_rows:,}", f"{one.memory:g}" + (", *whole*" if one.whole else "")]


def _cases(found: Iterable[Tally]) -> list[dict[str, Tally]]:
    """Tallies of the same case by verdict."""
    together: dict[tuple[Any, ...], dict[str, Tally]] = {}
    for tally in found:
        key = (tally.change, tally.rows, tally.reference_rows, tally.memory, tally.whole)
        together.setdefault(key, {})[tally.verdict] = tally
    return list(together.values())


def _stream(raw: Mapping[str, Any]) -> Iterator[str]:
    """What was said of each month of the bike stream; nothing when it was not given."""
    if not raw.get("stream"):
        return
    stream = raw["stream"]
    names = list(stream["months"][0]["states"])
    lines = [
        [month["month"], str(month["days"]), *(_states(month["states"][name]) for name in names)]
        for month in stream["months"]
    ]
    yield "### A real stream"
    yield stream["words"]
    yield table(["Month", "Days", *names], lines)


def _states(days: Mapping[str, int]) -> str:
    """The alarms and warnings; a hyphen when all was well."""
    told = sorted((state, count) for state, count in days.items() if state not in QUIET_STATES)
    return ", ".join(f"{state} {count}" for state, count in told) or "-"
