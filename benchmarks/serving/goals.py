"""What serving is to reach against the peers, judged by the medians of one run. A failed cell never meets a goal."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.serving.results import Cell, Results, quickness

OURS, ARROW, WITHOUT_LOG, EMPTY = "evenkeel", "evenkeel, arrow", "evenkeel without log", "empty"
TIMES_FASTER = {"logistic": 5.0, "forest": 10.0, "boosting": 10.0}
"""Requests per second of one row against the fastest peer; other models have no goal."""
SHARE_OF_EMPTY = 0.5
ROWS_TIMES_FASTER = {OURS: 3.0, ARROW: 10.0}
LOG_COST = 0.05


@dataclass(frozen=True)
class Goal:
    """One goal under one load. `measured` is None when a side of the comparison is missing or failed."""

    what: str
    load: str
    wanted: str
    measured: str | None
    met: bool


def judge(results: Results) -> list[Goal]:
    """Every goal that concerns the models measured, in the order of the page."""
    found: list[Goal] = []
    for model in results.models:
        found += _model(results, model)
    return found


def _model(results: Results, model: str) -> Iterator[Goal]:
    many = max(results.connections)
    if 1 in results.rows:
        ours = _sound(results, model, 1, many, OURS)
        if model in TIMES_FASTER:
            fastest = results.fastest_peer(model, 1, many)
            yield _ratio("requests/s against the fastest peer", ours, fastest, TIMES_FASTER[model])
        empty = _sound(results, model, 1, many, EMPTY)
        yield _ratio("requests/s against the empty application", ours, empty, SHARE_OF_EMPTY)
    for rows in results.rows:
        if rows > 1:
            fastest = results.fastest_peer(model, rows, many)
            for name, times in ROWS_TIMES_FASTER.items():
                ours = _sound(results, model, rows, many, name)
                yield _ratio(f"rows/s of {name} against the fastest peer", ours, fastest, times)
        yield _log_cost(
            _sound(results, model, rows, many, OURS),
            _sound(results, model, rows, many, WITHOUT_LOG),
            (model, rows, many),
        )
        for connections in results.connections:
            ours = _sound(results, model, rows, connections, OURS)
            yield _tail(ours, results.best_peer(model, rows, connections, quickness), (model, rows, connections))


def _sound(results: Results, model: str, rows: int, connections: int, entrant: str) -> Cell | None:
    cell = results.cell(model, rows, connections, entrant)
    return cell if cell and not cell.errors else None


def _ratio(what: str, ours: Cell | None, other: Cell | None, wanted: float) -> Goal:
    least = f"at least {wanted:g}x"
    cell = ours or other
    load = load_words(cell.model, cell.rows, cell.connections) if cell else "not measured"
    if ours is None or other is None:
        return Goal(what, load, least, None, met=False)
    ratio = ours.requests_per_s.median / other.requests_per_s.median
    return Goal(what, load, least, f"{ratio:.2f}x of {other.entrant}", ratio >= wanted)


def _tail(ours: Cell | None, quickest: Cell | None, load: tuple[str, int, int]) -> Goal:
    what = "p99 below the quickest peer's p50"
    if ours is None or quickest is None:
        return Goal(what, load_words(*load), "less", None, met=False)
    mine, theirs = ours.p99_ms.median, quickest.p50_ms.median
    return Goal(what, load_words(*load), f"below {theirs:.2f} ms ({quickest.entrant})", f"{mine:.2f} ms", mine < theirs)


def _log_cost(recording: Cell | None, forgetting: Cell | None, load: tuple[str, int, int]) -> Goal:
    what, wanted = "what the feature log costs", f"at most {LOG_COST:.0%} of requests/s"
    if recording is None or forgetting is None:
        return Goal(what, load_words(*load), wanted, None, met=False)
    cost = 1 - recording.requests_per_s.median / forgetting.requests_per_s.median
    if cost < -LOG_COST:  # recording cannot make answers faster: the machine did something else meanwhile
        return Goal(what, load_words(*load), wanted, f"{cost:.1%}, so the machine was not quiet", met=False)
    return Goal(what, load_words(*load), wanted, f"{cost:.1%}", cost <= LOG_COST)


def load_words(model: str, rows: int, connections: int) -> str:
    """A load in a few words."""
    return f"{model}, {rows} {'row' if rows == 1 else 'rows'}, {connections} {'connection' if connections == 1 else 'connections'}"
