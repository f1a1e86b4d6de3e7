"""How far probabilities are from what came true."""

from collections.abc import Mapping, Sequence

import numpy as np

from lifecycle.classified import matrix
from lifecycle.reliability import Reliability
from monitoring.performance.answers import class_places
from monitoring.rows import Categories, Floats, Values


def calibration_gap(labels: Values, probabilities: Mapping[str, Floats], classes: Sequence[str]) -> float:
    """How far the probability of the likeliest class is from the share of rows that it is right for: 0 is calibrated.

    The root mean square over ten bins of equally many rows, freed of what chance adds, so that few rows do not look worse
    (Kumar, Liang and Ma, 2019). Rows without a label or a probability take no part; raises ValueError where none is left.
    """
    given = matrix(probabilities, classes)
    if given is None or not isinstance(labels, Categories):
        raise ValueError("has no probabilities of every class")
    known = ~np.isnan(given).any(axis=1) & ~labels.missing
    if not known.any():
        raise ValueError("has no row with both a label and probabilities")
    best = given[known].argmax(axis=1)
    return Reliability.of(
        given[known].max(axis=1), (best == class_places(labels, classes)[known]).astype(np.float64)
    ).gap
