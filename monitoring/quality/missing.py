"""Values that are gone, or that no arithmetic survives."""

from collections.abc import Iterator

import numpy as np

from lifecycle.records import Finding
from monitoring.quality.pairs import Pair
from monitoring.rows import Numbers


def missing(pair: Pair, surge: float) -> Iterator[Finding]:
    """More missing values than the reference ever has over as many rows, by more than `surge`.

    A column that changed its type is stored apart, so here it is all missing.
    """
    share, usual = pair.share(pair.now.missing), pair.usual(pair.before.missing)
    if not share.exceeds(usual, surge):
        return
    against = f"against {usual.part:.1%} in the reference"
    if pair.now.missing.all():
        words = f"none of {len(pair.now)} rows has a value, {against} that lack one"
        yield pair.finding("missing_column", f"{words}; it may have changed its type, or be no longer sent")
    else:
        yield pair.finding("null_surge", f"{share.part:.0%} of the values are missing, {against}")


def infinite(pair: Pair, surge: float) -> Iterator[Finding]:
    """Infinities where the reference has none, or many more of them. No request can bring them, but an import can."""
    if not (isinstance(pair.now, Numbers) and isinstance(pair.before, Numbers)):
        return
    places = np.isinf(pair.now.floats)
    share, usual = pair.share(places), pair.usual(np.isinf(pair.before.floats))
    if (share.part > 0 and usual.part == 0) or share.exceeds(usual, surge):
        words = f"{int(places.sum())} of {len(places)} numbers are infinite, against {usual.part:.1%} in the reference"
        yield pair.finding("infinite", words)
