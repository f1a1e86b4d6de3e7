"""What a version's quality is held against: its own on its hold-out, and the loss that is tolerated."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lifecycle.totals import Floats, whole
from monitoring.performance.answers import Labelled, labelled, without_features
from monitoring.performance.loss import loss_threshold
from monitoring.performance.samples import Sample, inertia
from monitoring.references import Reference
from monitoring.rows import Rows


@dataclass(frozen=True)
class Standard:
    """A version's own quality: on its hold-out or, for a version that was registered without, as it was measured then."""

    reference: Reference
    tolerance: float

    @cached_property
    def holdout(self) -> Labelled | None:
        """The rows it was not trained on."""
        rows = self.reference.holdout
        return labelled(self.reference.contract, rows) if rows is not None else None

    @cached_property
    def known(self) -> Labelled | None:
        """Rows from whose labels a trivial answer is learnt: the hold-out, or else the reference."""
        contract = self.reference.contract
        return self.holdout or labelled(contract, without_features(contract, self.reference.rows))

    @cached_property
    def inertia(self) -> float:
        """How many rows of the hold-out are worth one; 1 where their order in time is not known."""
        found = self.holdout
        if found is None:
            return 1.0
        return order_inertia(found.rows, found.answers.losses) if self.reference.in_time_order else 1.0

    @cached_property
    def loss(self) -> float | None:
        """The mean loss."""
        if self.holdout is not None:
            return float(np.average(self.holdout.answers.losses, weights=self.holdout.answers.weights))
        return self._kept("loss")

    @cached_property
    def trivial_loss(self) -> float | None:
        """The mean loss there of the best answer that is always the same."""
        if self.holdout is None:
            return self._kept("trivial_loss")
        answers = self.holdout.answers
        always = answers.losses_of(np.full(len(answers.losses), answers.constant))
        return float(np.average(always, weights=answers.weights))

    def losses_as(self, window: Sample) -> Sample | None:
        """The losses as a sample. What a version without a hold-out does not tell of them is taken from `window`."""
        if self.holdout is not None:
            return Sample.of(self.holdout.answers.losses, self.holdout.answers.weights, self.inertia)
        if self.loss is None:
            return None
        rows = self._kept("holdout_rows") or np.inf
        if not self.reference.contract.target.is_regression:
            spread = max(0.0, self.loss * (1 - self.loss))
            return Sample(self.loss, spread, spread * (1 - 2 * self.loss), rows)
        return Sample(self.loss, window.variance, window.third, rows)

    def tolerated(self) -> dict[str, float]:
        """`loss`, `trivial_loss` and `threshold`, as far as they are known."""
        if self.loss is None:
            return {}
        threshold = loss_threshold(self.loss, self.trivial_loss, self.tolerance)
        trivial = {} if self.trivial_loss is None else {"trivial_loss": self.trivial_loss}
        return {"loss": self.loss, "threshold": threshold} | trivial

    def metrics(self) -> dict[str, float]:
        """The other metrics on the hold-out."""
        if self.holdout is not None:
            return whole(self.holdout.answers)
        names = set(self.reference.version.metrics) - {"rows", "holdout_rows"}
        return {name: value for name in sorted(names) if (value := self._kept(name)) is not None}

    def _kept(self, name: str) -> float | None:
        value = self.reference.version.metrics.get(name)
        return None if value is None or not np.isfinite(value) else float(value)


def order_inertia(rows: Rows, losses: Floats) -> float:
    """How many rows are worth one; 1 where it is not known when they were."""
    return 1.0 if rows.at is None else inertia(losses)
