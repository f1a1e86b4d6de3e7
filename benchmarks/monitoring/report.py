"""The section of the page about what monitoring costs."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.serving.report import number, table

SECTION = "monitoring"
SHARE = 20
LARGEST_DIFFERENCE = 1e-12
MOST_CPU_S, MOST_MB = 10, 1_024
INTRODUCTION = """\
## Cost of monitoring

What a window costs, measured by `make bench-monitoring`, which writes this section and [the raw
numbers](benchmarks_monitoring.json): processor seconds of fresh processes, one after another in turn, medians. *Ours* are the
drift scores of 100,000 rows of 53 columns and the answers, all series together, once thresholds are derived; the *preset* is
Evidently's `Report([DataDriftPreset()])` over the same rows. Imports are left out. The log is a feature log of a million rows of 50
columns in one hour, read and scored; its memory is all of the process's, imports too.
"""


def text(raw: Mapping[str, Any]) -> str:
    """The whole section."""
    machine = raw["machine"]
    run = (
        f"Measured on {raw['measured_at'][:10]}, {raw['runs']} runs: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gib']:g} GiB, Python {machine['python']}; load average before: {machine['load']}."
    )
    return "\n\n".join(part.strip() for part in (INTRODUCTION, run, _goals(raw), _windows(raw)))


def _goals(raw: Mapping[str, Any]) -> str:
    lines = [
        [what, wanted, measured, "yes" if met else "**no**"]
        for what, wanted, measured, met in (*_of_windows(raw), *_of_log(raw))
    ]
    return table(["Goal", "Wanted", "Measured", "Met"], lines)


def _of_windows(raw: Mapping[str, Any]) -> Iterator[tuple[str, str, str, bool]]:
    for window in raw["windows"]:
        ratio = window["preset"]["cpu_s"] / window["ours"]["cpu_s"]
        against = f"against a reference of {window['reference_rows']:,} rows"
        yield f"processor time, {against}", f"at most 1/{SHARE} of the preset's", f"1/{ratio:.0f}", ratio >= SHARE
        difference = window["ours"]["from_scipy"]
        yield (
            f"Kolmogorov-Smirnov statistics, {against}",
            f"SciPy's to {LARGEST_DIFFERENCE:g}",
            f"to {difference:.1g}",
            difference <= LARGEST_DIFFERENCE,
        )


def _of_log(raw: Mapping[str, Any]) -> Iterator[tuple[str, str, str, bool]]:
    for how, words in (("alone", "alone"), ("beside", "while reports render beside it")):
        found = raw["log"][how]
        measured = f"{number(found['cpu_s'])} s, {number(found['resident_mb'])} MiB, in {number(found['seconds'])} s"
        met = found["cpu_s"] <= MOST_CPU_S and found["resident_mb"] <= MOST_MB
        yield f"a million rows out of the log, {words}", f"at most {MOST_CPU_S} s of processor and 1 GiB", measured, met


def _windows(raw: Mapping[str, Any]) -> str:
    heads = ["Reference rows", "", "Processor s", "Seconds", "Memory MiB", "Thresholds, once s", "Data quality s"]
    lines = [
        [f"{window['reference_rows']:,}", who, *(_figure(window[who], measure) for measure in MEASURES)]
        for window in raw["windows"]
        for who in ("ours", "preset")
    ]
    return table(heads, lines)


MEASURES = ("cpu_s", "seconds", "megabytes", "deriving_cpu_s", "quality_cpu_s")


def _figure(found: Mapping[str, float], measure: str) -> str:
    return number(found[measure]) if measure in found else "-"
