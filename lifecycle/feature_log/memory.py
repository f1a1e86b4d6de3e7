"""A feature log that keeps what is appended in two lists: for unit tests, where nothing has to outlive the process."""

from concurrent.futures import Future

from lifecycle.errors import StoreUnavailable
from lifecycle.records import Label, LogSchema, PredictionBatch


class MemoryFeatureLog:
    """Appends to `predictions` and `labels`; refuses everything while `failing`, as a full disk does.

    While `syncing`, records wait for `synced` as they do for a disk, and are kept only then.
    """

    def __init__(self, *, syncing: bool = False) -> None:
        self.predictions: list[PredictionBatch] = []
        self.labels: list[Label] = []
        self.schemas: dict[int, LogSchema] = {}
        self.failing = False
        self.syncing = syncing
        self.closed = False
        self._waiting: list[tuple[Future[None], list[PredictionBatch], list[Label]]] = []

    def append_predictions(self, batch: PredictionBatch, schema: LogSchema) -> Future[None] | None:
        future = self._keep([batch], [])
        self.schemas[schema.version] = schema
        return future

    def append_labels(self, labels: list[Label]) -> Future[None] | None:
        return self._keep([], labels)

    def seal_if_old(self) -> None:
        """Nothing waits for its age here."""

    def close(self) -> None:
        self.synced()
        self.closed = True

    @property
    def waiting(self) -> int:
        """Appends whose future is not done yet."""
        return len(self._waiting)

    def synced(self) -> None:
        """Keep what waits; or refuse it, while `failing`."""
        waiting, self._waiting = self._waiting, []
        for future, predictions, labels in waiting:
            if self.failing:
                future.set_exception(_refusal())
            else:
                self.predictions += predictions
                self.labels += labels
                future.set_result(None)

    def _keep(self, predictions: list[PredictionBatch], labels: list[Label]) -> Future[None] | None:
        if self.syncing:
            future: Future[None] = Future()
            future.set_running_or_notify_cancel()
            self._waiting.append((future, predictions, list(labels)))
            return future
        if self.failing:
            raise _refusal()
        self.predictions += predictions
        self.labels += labels
        return None


def _refusal() -> StoreUnavailable:
    return StoreUnavailable("the feature log in memory was told to fail; set `failing` to False")
