"""The service with a feature log that keeps nothing, for BentoML's workers to load. Measures what recording costs."""

from typing import Any

from lifecycle.ports import FeatureLog
from lifecycle.records import Label, LogSchema, PredictionBatch
from service import app
from service.app import EvenkeelService

__all__ = ["EvenkeelService"]


class NullFeatureLog:
    """A feature log that forgets."""

    def append_predictions(self, batch: PredictionBatch, schema: LogSchema) -> None:
        """Keep nothing."""

    def append_labels(self, labels: list[Label]) -> None:
        """Keep nothing."""

    def seal_if_old(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""


def forget(parts: Any) -> None:
    """Give the parts of a serving process a feature log that keeps nothing, before anything has asked for the real one."""
    if "writer" in vars(parts):
        raise RuntimeError("the service has opened its feature log already; load this module before it is used")
    log: FeatureLog = NullFeatureLog()
    parts.writer = log  # takes the place of the cached property's value


forget(app.parts)
