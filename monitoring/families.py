"""Families of metrics, named alike: the prefix, a sentence, and values by their labels."""

from collections.abc import Mapping
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Labels = TypeVar("Labels", bound=tuple[str, ...])


def gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"evenkeel_{name}", documentation, value=value)


def counter(name: str, documentation: str, value: float) -> Metric:
    return CounterMetricFamily(f"evenkeel_{name}", documentation, value=value)


def family(name: str, documentation: str, labels: Labels, values: Mapping[Labels, float | None]) -> Metric:
    """A gauge for each combination of labels that has a value; a mapping, because no series may be told twice."""
    made = GaugeMetricFamily(f"evenkeel_{name}", documentation, labels=labels)
    for key, value in values.items():
        if value is not None:
            made.add_metric(key, value)
    return made
