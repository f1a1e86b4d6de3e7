import numpy as np
import pytest

from lifecycle.versions import sampled_places
from monitoring.drift.methods import Column
from monitoring.drift.nulls import Null, block_size, noise, null
from monitoring.drift.series import ranks
from monitoring.rows import Floats, Numbers
from tests.unit.monitoring.drift.drawing import latent


def of(values: Floats, size: int, *, in_blocks: bool = False) -> Null:
    numbers = Numbers(values)
    deviates = ranks(numbers) if in_blocks else None
    return null(Column("ks", numbers).draw, len(values), size, in_blocks=in_blocks, seed=0, deviates=deviates)


@pytest.mark.parametrize(
    ("rows", "reference", "in_blocks", "size"),
    [
        (500, 20_000, False, 512),
        (10_000, 20_000, False, 4_096),
        (10_000, 20_000, True, 512),
        (100, 30, False, 8),
        (5, 3, True, 1),
    ],
)
def test_drawn_windows_are_as_long_as_the_real_ones_or_a_fair_share(
    rows: int, reference: int, size: int, *, in_blocks: bool
) -> None:
    assert block_size(rows, reference, in_blocks=in_blocks) == size


def test_independent_rows_stray_as_kolmogorov_says() -> None:
    found = of(latent(20_000, 0)[:, 0], 512)
    assert found.mean / noise(found.size, found.against) == pytest.approx(0.8687, rel=0.08)
    assert found.threshold(512, 20_000, 0.01) / noise(512, 20_000) == pytest.approx(1.628, rel=0.12)


def test_memory_of_traffic_raises_the_threshold() -> None:
    alike = of(latent(20_000, 0, 1, memory=0.9)[:, 0], 512, in_blocks=True)
    assert alike.threshold(512, 20_000, 0.01) > 2.5 * of(latent(20_000, 0)[:, 0], 512).threshold(512, 20_000, 0.01)


def test_shuffling_the_blocks_away_would_not() -> None:
    """The broken variant: rows drawn singly, where traffic has memory."""
    values = latent(20_000, 0, 1, memory=0.9)[:, 0]
    blocks, singly = of(values, 512, in_blocks=True), of(values, 512)
    assert singly.threshold(512, 20_000, 0.01) < 0.5 * blocks.threshold(512, 20_000, 0.01)


def test_longer_windows_stray_less_as_independent_rows_do() -> None:
    found = of(latent(20_000, 1)[:, 0], 512, in_blocks=True)
    assert found.order > 0.8
    assert found.shrunk(8_192, 20_000) < 0.45


def test_a_trend_does_not_shrink_with_longer_windows() -> None:
    trend = np.linspace(0, 5, 20_000) + latent(20_000, 1)[:, 0]
    found = of(trend, 512, in_blocks=True)
    assert found.order < 0.1
    assert found.shrunk(8_192, 20_000) > 0.8


def test_neighbours_are_alike_where_traffic_has_memory() -> None:
    slow = np.repeat(latent(400, 2)[:, 0], 50)
    assert of(slow, 16, in_blocks=True).neighbours(16) > 0.5
    assert of(latent(20_000, 3)[:, 0], 64, in_blocks=True).neighbours(64) < 0.12


def test_few_blocks_are_trusted_less() -> None:
    few, many = (Null(100, 1_000, 0.1, 0.02, blocks) for blocks in (20, 200))
    assert few.threshold(100, 1_000, 1e-3) > many.threshold(100, 1_000, 1e-3)


def test_equal_seeds_give_equal_nulls() -> None:
    values = latent(2_000, 4)[:, 0]
    assert of(values, 128) == of(values, 128)


def test_a_sample_in_stretches_knows_how_much_traffic_changes_in_the_time_of_a_window() -> None:
    """Every fourteenth row would span fourteen times the time, and so call too little ordinary."""
    stream = np.repeat(latent(140, 5)[:, 0], 2_000) + latent(280_000, 6)[:, 0]
    stretched = of(stream[sampled_places(280_000, 20_000, in_stretches=True)], 512, in_blocks=True)
    thinned = of(stream[sampled_places(280_000, 20_000, in_stretches=False)], 512, in_blocks=True)
    assert stretched.threshold(512, 20_000, 0.01) > 1.5 * thinned.threshold(512, 20_000, 0.01)
