"""The demo's world is real images in parts that share none, and its change moves every image one line down."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evenkeel.demo.world import (
    REFERENCE_ROWS,
    SIDE,
    STEADY_ROWS,
    TARGET,
    UNSEEN_PARTS,
    UNSEEN_ROWS,
    DigitsWorld,
    Pair,
)

IMAGES = 1_797
DRIFTED_ROWS = IMAGES - REFERENCE_ROWS - STEADY_ROWS - UNSEEN_ROWS


@pytest.fixture(scope="module")
def world() -> DigitsWorld:
    return DigitsWorld()


def images(pairs: Iterable[Pair]) -> list[np.ndarray]:
    return [np.array(list(row.values())).reshape(SIDE, SIDE) for row, _ in pairs]


def kept(pairs: Iterable[Pair], *, slipped: bool) -> list[bytes]:
    """What of each image the slip leaves, wherever it lies now."""
    return [(image[1:] if slipped else image[:-1]).tobytes() for image in images(pairs)]


def unseen_of(world: DigitsWorld) -> list[Pair]:
    return [pair for part in range(UNSEEN_PARTS) for pair in world.unseen(part)]


def test_the_reference_is_a_table_of_pixels_and_digits(world: DigitsWorld, tmp_path: Path) -> None:
    assert world.write_reference(tmp_path / "digits.csv") == REFERENCE_ROWS
    table = pd.read_csv(tmp_path / "digits.csv")
    assert table.shape == (REFERENCE_ROWS, SIDE * SIDE + 1)
    assert sorted(table[TARGET].unique()) == list(range(10))
    assert list(next(world.steady())[0]) == [name for name in table if name != TARGET]


def test_traffic_goes_round_and_unseen_images_come_once(world: DigitsWorld) -> None:
    steady = list(islice(world.steady(), STEADY_ROWS + 1))
    assert steady[0] == steady[-1]
    drifted = list(islice(world.drifted(), DRIFTED_ROWS + 1))
    assert drifted[0] == drifted[-1]
    assert len(unseen_of(world)) == UNSEEN_ROWS


def test_no_image_is_in_two_parts(world: DigitsWorld) -> None:
    steady = set(kept(islice(world.steady(), STEADY_ROWS), slipped=False))
    drifted = set(kept(islice(world.drifted(), DRIFTED_ROWS), slipped=True))
    unseen = set(kept(unseen_of(world), slipped=True))
    assert not steady & drifted
    assert not unseen & (steady | drifted)
    assert len(steady) + len(drifted) + len(unseen) > 0.99 * (IMAGES - REFERENCE_ROWS), "the images differ at all"


def test_the_slip_lowers_every_image_by_one_line_and_stays_within_ordinary_values(world: DigitsWorld) -> None:
    whole = DigitsWorld()._images
    for before, after in zip(whole[-UNSEEN_ROWS:], images(unseen_of(world)), strict=True):
        assert not after[0].any()
        assert (after[1:] == before[:-1]).all()
        assert after.max() <= 16


def test_the_world_is_the_same_each_time(world: DigitsWorld) -> None:
    assert unseen_of(world) == unseen_of(DigitsWorld())
