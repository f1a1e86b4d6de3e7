"""The raw file, read back as values, with the questions that the page and the goals ask of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.serving.samples import ClosedSample, Latency, OpenSample, Spread, closed_cell, rate_of, spread


@dataclass(frozen=True)
class Cell:
    """One entrant under one load: the spread of its repeats. `errors` of any repeat fail the whole cell."""

    model: str
    rows: int
    connections: int
    entrant: str
    requests_per_s: Spread
    p50_ms: Spread
    p99_ms: Spread
    errors: int

    @property
    def rows_per_s(self) -> float:
        return self.requests_per_s.median * self.rows


@dataclass(frozen=True)
class Results:
    """Everything measured in one run."""

    raw: Mapping[str, Any]
    closed: Sequence[ClosedSample]
    open: Sequence[OpenSample]

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Results":
        """From the decoded raw file."""
        return cls(
            raw, [_sample(ClosedSample, item) for item in raw["closed"]], [_sample(OpenSample, i) for i in raw["open"]]
        )

    @property
    def models(self) -> dict[str, str]:
        """Name and title of each model measured."""
        return dict(self.raw["settings"]["models"])

    @property
    def rows(self) -> list[int]:
        return list(self.raw["settings"]["rows"])

    @property
    def connections(self) -> list[int]:
        return list(self.raw["settings"]["connections"])

    @property
    def entrants(self) -> list[str]:
        return list(self.raw["settings"]["entrants"])

    @property
    def peers(self) -> list[str]:
        return list(self.raw["settings"]["peers"])

    def cell(self, model: str, rows: int, connections: int, entrant: str) -> Cell | None:
        """None when it was not measured."""
        samples = closed_cell(self.closed, model, rows, connections, entrant)
        if not samples:
            return None
        return Cell(
            model=model,
            rows=rows,
            connections=connections,
            entrant=entrant,
            requests_per_s=spread(map(rate_of, samples)),
            p50_ms=spread(sample.latency_ms.p50 for sample in samples),
            p99_ms=spread(sample.latency_ms.p99 for sample in samples),
            errors=sum(sample.errors for sample in samples),
        )

    def best_peer(self, model: str, rows: int, connections: int, by: Callable[[Cell], float]) -> Cell | None:
        """The peer with the highest `by` under this load, among those that made no error."""
        cells = [self.cell(model, rows, connections, peer) for peer in self.peers]
        return max((cell for cell in cells if cell and not cell.errors), key=by, default=None)

    def fastest_peer(self, model: str, rows: int, connections: int) -> Cell | None:
        """The peer with the most requests per second."""
        return self.best_peer(model, rows, connections, throughput)

    def opened(self, model: str, rows: int, entrant: str) -> list[OpenSample]:
        """The repeats of an entrant's open loop."""
        wanted = (model, rows, entrant)
        return [sample for sample in self.open if (sample.model, sample.rows, sample.entrant) == wanted]


def throughput(cell: Cell) -> float:
    return cell.requests_per_s.median


def quickness(cell: Cell) -> float:
    """Higher is a shorter median latency."""
    return -cell.p50_ms.median


def _sample(kind: Any, item: Mapping[str, Any]) -> Any:
    return kind(**{**item, "latency_ms": Latency(**item["latency_ms"])})
