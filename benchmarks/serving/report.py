"""The page about a run: machine, goals, tables. What stands between the marks of the notes is kept when it is rewritten."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.detection import page as sections
from benchmarks.serving.goals import Goal, judge
from benchmarks.serving.results import Cell, Results
from benchmarks.serving.samples import Spread, spread

NOTES, NOTES_END = "<!-- notes -->", "<!-- /notes -->"
NO_NOTES = "Nothing has been noted about this run."
INTRODUCTION = """\
Servers of the same four models on one machine, measured in one run by `make bench-serving`, which writes this page and
[the raw numbers](benchmarks.json). Every server has two serving processes and one thread for each prediction, its
documented way of starting, and its own environment with the same versions of scikit-learn, NumPy and pandas. The peers get
what makes them faster where that is one documented setting: access logs off, uvloop and httptools present, numbers as a
matrix instead of a frame, and they answer labels alone. Evenkeel runs as it comes: each row is validated and its answer with
probabilities recorded before it is sent, metrics on. *Evenkeel without log* records nothing; *empty* is an application that
reads the body and answers fixed words, on the same server as Evenkeel.

Before it is measured, each server proves that its answers to every body are scikit-learn's own. The load is one thread of
`wrk`, with 16 different bodies in turn; in each cell the servers are measured in turn, several rounds, and a cell with
any error is failed as a whole. The client has the same cores as the server. Numbers are medians of the rounds, with the
lowest and highest in brackets; latencies are as the client sees them.
"""


def write(page: Path, raw: Mapping[str, Any]) -> None:
    """Write `page` from the raw numbers, keeping its notes and the sections of other benchmarks."""
    before = page.read_text() if page.exists() else ""
    whole = text(raw, kept_notes(before))
    for name, section in sections.kept_sections(before).items():
        if name != "notes":
            whole = sections.with_section(whole, name, section)
    page.write_text(whole)


def kept_notes(page: str) -> str:
    """What stands between the marks; a sentence when there are none."""
    _, found, rest = page.partition(NOTES)
    return rest.partition(NOTES_END)[0].strip() if found else NO_NOTES


def text(raw: Mapping[str, Any], notes: str) -> str:
    """The whole page."""
    results = Results.read(raw)
    parts = ["# Benchmarks of serving", INTRODUCTION, *_run(raw), "## Goals", goals_table(judge(results))]
    parts += ["## Notes", f"{NOTES}\n{notes}\n{NOTES_END}"]
    for model, title in results.models.items():
        parts += [f"## {title}", closed_table(results, model), *_open(results, model), *_servers(raw, model)]
    parts += _failures(raw)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def goals_table(goals: Iterable[Goal]) -> str:
    """One line per goal."""
    rows = [[goal.what, goal.load, goal.wanted, goal.measured or "not measured", _met(goal)] for goal in goals]
    return table(["Goal", "Load", "Wanted", "Measured", "Met"], rows)


def closed_table(results: Results, model: str) -> str:
    """Every entrant under every load of always busy connections."""
    heads = [
        "Rows",
        "Connections",
        "Server",
        "Requests/s",
        "Rows/s",
        "p50 ms",
        "p99 ms",
        "Errors",
        "Of the fastest peer",
    ]
    lines = [
        _closed_line(cell, results.fastest_peer(model, rows, connections))
        for rows in results.rows
        for connections in results.connections
        for entrant in results.entrants
        if (cell := results.cell(model, rows, connections, entrant))
    ]
    return table(heads, lines)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float) -> str:
    """Three significant digits, or all digits before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _spread(values: Spread) -> str:
    return f"{number(values.median)} ({number(values.low)} to {number(values.high)})"


def _met(goal: Goal) -> str:
    if goal.measured is None:
        return "-"
    return "yes" if goal.met else "**no**"


def _closed_line(cell: Cell, fastest: Cell | None) -> list[str]:
    load = [str(cell.rows), str(cell.connections), cell.entrant]
    if cell.errors:
        return [*load, "failed", "-", "-", "-", f"{cell.errors:,}", "-"]
    ratio = f"{cell.requests_per_s.median / fastest.requests_per_s.median:.2f}x" if fastest else "-"
    latencies = [number(cell.p50_ms.median), number(cell.p99_ms.median)]
    return [*load, _spread(cell.requests_per_s), number(cell.rows_per_s), *latencies, "0", ratio]


def _open(results: Results, model: str) -> Iterator[str]:
    lines = [
        _open_line(results, model, rows, entrant)
        for rows in results.rows
        for entrant in results.entrants
        if results.opened(model, rows, entrant)
    ]
    if not lines:
        return
    yield (
        "Latency when requests do not wait for answers, at half of each server's own peak (or what the client can send, "
        "marked *): Poisson arrivals over 64 connections, counted from the moment a request was due."
    )
    yield table(["Rows", "Server", "Requests/s", "p50 ms", "p99 ms", "p99.9 ms", "Client late p99 ms", "Errors"], lines)


def _open_line(results: Results, model: str, rows: int, entrant: str) -> list[str]:
    samples = results.opened(model, rows, entrant)
    limited = any(sample.rate < sample.wanted_rate for sample in samples)
    columns = [
        [sample.latency_ms.p50 for sample in samples],
        [sample.latency_ms.p99 for sample in samples],
        [sample.latency_ms.p999 for sample in samples],
        [sample.late_p99_ms for sample in samples],
    ]
    rate = number(samples[0].rate) + ("*" if limited else "")
    errors = f"{sum(sample.errors for sample in samples):,}"
    return [str(rows), entrant, rate, *(number(spread(column).median) for column in columns), errors]


def _servers(raw: Mapping[str, Any], model: str) -> Iterator[str]:
    lines = [_server_line(entry) for entry in raw["servers"] if entry["model"] == model]
    if lines:
        yield "Seconds from the start to the first answer, memory after the load, and cores in use while nobody asks."
        yield table(["Server", "Ready s", "Processes", "Largest RSS MiB", "All (PSS) MiB", "Idle cores"], lines)


def _server_line(entry: Mapping[str, Any]) -> list[str]:
    processes = entry.get("processes", [])
    largest = max((item["rss_mib"] for item in processes), default=0.0)
    together = sum(item["pss_mib"] for item in processes)
    memory = [str(len(processes)), number(largest), number(together)]
    return [entry["server"], number(entry["ready_s"]), *memory, f"{entry.get('idle_cores', 0.0):.2f}"]


def _run(raw: Mapping[str, Any]) -> Iterator[str]:
    machine, settings = raw["machine"], raw["settings"]
    yield (
        f"Measured on {raw['measured_at'][:10]} in {raw['took_s'] / 60:.0f} minutes; rounds: {settings['repeats']}, of "
        f"{settings['seconds']:g} s each: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']:g} GiB, "
        f"{machine['kernel']}, Python {machine['python']}, wrk {machine['wrk']}; "
        f"load average before: {machine.get('load', 'not noted')}."
    )
    lines = [
        [server, ", ".join(f"{name} {version}" for name, version in packages.items())]
        for server, packages in raw["versions"].items()
    ]
    yield table(["Server", "Versions"], lines)


def _failures(raw: Mapping[str, Any]) -> Iterator[str]:
    if raw["failures"]:
        yield "## Not measured"
        yield "\n".join(f"- {item['model']}, {item['entrant']}: {_plain(item['reason'])}" for item in raw["failures"])


def _plain(reason: str) -> str:
    return reason.replace("\n", " ").replace("|", "/").replace("[", "(").replace("]", ")").replace("`", "'")
