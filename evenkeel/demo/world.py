"""The world of the demo: scikit-learn's handwritten digits, read by a scanner whose paper guide one day slips.

Each image is a row of 64 brightnesses with its digit as the label. After the slip every image sits one line of pixels
lower: nothing is broken, every value is an ordinary brightness, yet a model of the old world fails.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

TARGET = "digit"
SIDE = 8
REFERENCE_ROWS = 700
STEADY_ROWS = 350
UNSEEN_ROWS = 360
UNSEEN_PARTS = 3
SEED = 7

Pair = tuple[dict[str, Any], int]


class DigitsWorld:
    """1,797 real images, in four parts that share none: reference, steady traffic, drifted traffic, and unseen."""

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(SEED).permutation(len(images))
        self._images: npt.NDArray[np.int64] = images[order].astype(np.int64).reshape(-1, SIDE, SIDE)
        self._labels: npt.NDArray[np.int64] = labels[order]

    def write_reference(self, path: Path) -> int:
        """Write the reference rows as a CSV; returns how many."""
        rows = pd.DataFrame([row | {TARGET: label} for row, label in self._pairs(0, REFERENCE_ROWS, slipped=False)])
        rows.to_csv(path, index=False)
        return len(rows)

    def steady(self) -> Iterator[Pair]:
        """Images of the old world, for as long as wanted."""
        return self._endless(REFERENCE_ROWS, REFERENCE_ROWS + STEADY_ROWS, slipped=False)

    def drifted(self) -> Iterator[Pair]:
        """Slipped images, for as long as wanted; none of them was sent in the steady part."""
        return self._endless(REFERENCE_ROWS + STEADY_ROWS, len(self._images) - UNSEEN_ROWS, slipped=True)

    def unseen(self, part: int) -> Iterator[Pair]:
        """Slipped images that were never sent before, each once: what recovery is measured on, in UNSEEN_PARTS parts."""
        size = UNSEEN_ROWS // UNSEEN_PARTS
        start = len(self._images) - UNSEEN_ROWS + part * size
        return self._pairs(start, start + size, slipped=True)

    def _endless(self, start: int, end: int, *, slipped: bool) -> Iterator[Pair]:
        while True:
            yield from self._pairs(start, end, slipped=slipped)

    def _pairs(self, start: int, end: int, *, slipped: bool) -> Iterator[Pair]:
        for image, label in zip(self._images[start:end], self._labels[start:end], strict=True):
            pixels = _lower(image) if slipped else image
            names = (f"pixel_{line}_{column}" for line in range(SIDE) for column in range(SIDE))
            yield dict(zip(names, pixels.ravel().tolist(), strict=True)), int(label)


def _lower(image: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The image one line lower: a blank line comes in at the top, the last line is lost."""
    return np.vstack([np.zeros_like(image[:1]), image[:-1]])
