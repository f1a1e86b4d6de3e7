"""Makes verdicts with everything in them that people are told, and their parts."""

from typing import Any

from lifecycle.records import (
    ColumnScore,
    Estimate,
    FairnessGap,
    Finding,
    Performance,
    SegmentScore,
    Verdict,
)
from tests.unit.monitoring.making import verdict

REFERENCE = {"loss": 1.0, "loss_upper": 1.2, "trivial_loss": 3.0, "threshold": 1.5}


def measured(loss: float, rows: int = 100, coverage: float = 0.8) -> Performance:
    """Lost above 1.5, by labels that came two hours later."""
    metrics = {"loss": loss, "loss_lower": loss - 0.1, "r2": 0.5}
    intervals = {"loss": (loss - 0.2, loss + 0.2)}
    return Performance(rows, coverage, metrics, REFERENCE, intervals, {"median": 3.5, "last_value": 2.5}, 7_200.0)


def estimated(loss: float = 2.0, *, lost: bool = True, trusted: bool = True) -> Estimate:
    validity = "the error model explains 40 % of the errors" if trusted else "the hold-out has 12 rows"
    return Estimate("error_model", 500, loss, (loss - 0.3, loss + 0.3), REFERENCE, trusted, validity, lost and trusted)


def drifted(column: str, ratio: float, weight: float | None = None, **changes: Any) -> ColumnScore:
    """A score of so many thresholds, for the second window in a row when it is over."""
    fields: dict[str, Any] = {"method": "ks", "weight": weight, "streak": 2 if ratio > 1 else 0}
    return ColumnScore(column, score=0.1 * ratio, threshold=0.1, **(fields | changes))


def segment(value: str, rows: int = 60, loss: float | None = 2.0, **changes: Any) -> SegmentScore:
    fields: dict[str, Any] = {
        "column": "town",
        "value": value,
        "rows": rows,
        "labelled": 40,
        "drift_column": "x",
        "drift_score": 0.4,
        "drift_threshold": 0.2,
        "loss": loss,
        "interval": None if loss is None else (loss - 0.5, loss + 0.5),
        "reference_loss": 1.0,
    }
    return SegmentScore(**(fields | changes))


def full(index: int = 0, state: str = "drift", **changes: Any) -> Verdict:
    """A verdict that says something of everything, hostile names among it."""
    fields: dict[str, Any] = {
        "scores": (drifted("x", 4.0, 0.1), drifted("<b>n</b>", 2.0, 0.6), drifted("town", 0.5, 0.3), drifted("y", 0.0)),
        "reference": "the 2000 training rows of version 1",
        "performance": measured(2.0),
        "estimate": estimated(),
        "findings": (Finding("x", "null_surge", "30 % are missing"), Finding(None, "time_gap", "9 minutes silent")),
        "segments": (segment("<script>Ghent"), segment("Turin", 90, 1.1), segment("Bergen", 10, None)),
        "fairness": (
            FairnessGap("sex", "selection_rate", 0.3, (0.2, 0.4), "f", "m", {"f": 0.2, "m": 0.5}, {"f": 99, "m": 101}),
        ),
    }
    return verdict(index, state, **(fields | changes))
