"""How well the champion did on the labelled rows of a window, and whether that is a loss of quality.

Quality is lost when the mean loss exceeds the champion's hold-out loss by the tolerated share of its advantage over the
trivial predictor, and the lower 95 % bound of the mean is above the hold-out loss too, so that few rows do not accuse.
"""

import math
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from lifecycle import measures
from lifecycle.contract import Target
from lifecycle.records import Performance

ONE_SIDED_95 = 1.645


def measure(target: Target, rows: pa.Table, hold_out: Mapping[str, float], tolerance: float) -> Performance:
    """Performance over the labelled ones of `rows` (one version's), which hold `prediction` and `label`."""
    labelled = rows.filter(pc.is_valid(rows["label"])) if rows.num_rows else rows
    coverage = labelled.num_rows / rows.num_rows if rows.num_rows else 0.0
    reference = _reference(hold_out, tolerance)
    if not labelled.num_rows:
        return Performance(0, 0.0, {}, reference)
    labels, predictions = labelled["label"].to_pylist(), labelled["prediction"].to_pylist()
    found = measures.metrics(target, labels, predictions)
    spread = float(measures.losses(target, labels, predictions).std())
    found["loss_lower"] = found["loss"] - ONE_SIDED_95 * spread / math.sqrt(labelled.num_rows)
    return Performance(labelled.num_rows, coverage, found, reference)


def is_lost(performance: Performance | None, minimum_labels: int) -> bool:
    """Whether the labelled rows show a loss of quality; False while there are too few of them."""
    if performance is None or performance.rows < minimum_labels or "threshold" not in performance.reference:
        return False
    above = performance.metrics["loss"] > performance.reference["threshold"]
    return above and performance.metrics["loss_lower"] > performance.reference["loss"]


def loss_threshold(loss: float, trivial_loss: float | None, tolerance: float) -> float:
    """The largest mean loss that is tolerated."""
    advantage = (trivial_loss or 0.0) - loss
    return loss + tolerance * advantage if advantage > 0 else loss * (1 + tolerance)


def _reference(hold_out: Mapping[str, float], tolerance: float) -> dict[str, float]:
    if "loss" not in hold_out:
        return {}
    known = {name: float(hold_out[name]) for name in ("loss", "trivial_loss") if name in hold_out}
    return known | {"threshold": loss_threshold(known["loss"], known.get("trivial_loss"), tolerance)}
