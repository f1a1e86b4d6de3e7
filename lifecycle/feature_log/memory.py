"""A feature log that keeps what is appended in two lists: for unit tests, where nothing has to outlive the process."""

from lifecycle.errors import StoreUnavailable
from lifecycle.records import Label, LogSchema, PredictionBatch


class MemoryFeatureLog:
    """Appends to `predictions` and `labels`; refuses everything while `failing`, as a full disk does."""

    def __init__(self) -> None:
        self.predictions: list[PredictionBatch] = []
        self.labels: list[Label] = []
        self.schemas: dict[int, LogSchema] = {}
        self.failing = False
        self.closed = False

    def append_predictions(self, batch: PredictionBatch, schema: LogSchema) -> None:
        self._refuse_when_failing()
        self.schemas[schema.version] = schema
        self.predictions.append(batch)

    def append_labels(self, labels: list[Label]) -> None:
        self._refuse_when_failing()
        self.labels.extend(labels)

    def seal_if_old(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        self.closed = True

    def _refuse_when_failing(self) -> None:
        if self.failing:
            raise StoreUnavailable("the feature log in memory was told to fail; set `failing` to False")
