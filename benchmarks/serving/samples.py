"""What is measured, as values: latencies, one sample of a closed or an open loop, and the middle and spread of several."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Latency:
    """Percentiles of the time from sending to answer, in milliseconds."""

    p50: float
    p90: float
    p99: float
    p999: float
    max: float


@dataclass(frozen=True)
class ClosedSample:
    """One measurement with every connection always busy."""

    model: str
    rows: int
    connections: int
    entrant: str
    repeat: int
    requests: int
    requests_per_s: float
    latency_ms: Latency
    errors: int


@dataclass(frozen=True)
class OpenSample:
    """One measurement with requests at moments that do not wait for answers, `rate` a second on average.

    `wanted_rate` is half of the peak; `rate` is lower when the client cannot send so fast. `late_p99_ms` is how late the
    client itself was, which is part of the latency.
    """

    model: str
    rows: int
    entrant: str
    repeat: int
    wanted_rate: float
    rate: float
    requests: int
    latency_ms: Latency
    late_p99_ms: float
    errors: int


@dataclass(frozen=True)
class Spread:
    """The middle of several measurements, and their ends."""

    median: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread:
    """Of at least one value."""
    found = sorted(values)
    return Spread(statistics.median(found), found[0], found[-1])


def latency(seconds: Sequence[float]) -> Latency:
    """Percentiles of measured seconds (nearest rank), in milliseconds."""
    ordered = sorted(seconds)
    return Latency(*(percentile(ordered, share) * 1e3 for share in (0.5, 0.9, 0.99, 0.999, 1.0)))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the sorted values do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def closed_cell(
    samples: Iterable[ClosedSample], model: str, rows: int, connections: int, entrant: str
) -> list[ClosedSample]:
    """The repeats of one cell for one entrant."""
    wanted = (model, rows, connections, entrant)
    return [item for item in samples if (item.model, item.rows, item.connections, item.entrant) == wanted]


def middle(samples: Sequence[ClosedSample], of: Callable[[ClosedSample], float]) -> float | None:
    """The median of a number of the repeats; None when there are none."""
    return statistics.median(of(item) for item in samples) if samples else None


def rate_of(sample: ClosedSample) -> float:
    return sample.requests_per_s
