"""Rows that repeat each other, columns that stand still, silences, and jumps in volume."""

import numpy as np
import pandas as pd
import pytest

from lifecycle.records import Finding
from monitoring.quality import findings
from monitoring.quality.repeats import row_keys
from monitoring.rows import Integers, Numbers, Rows
from tests.unit.monitoring import quality_cases as cases

ROWS = 400
BEFORE = cases.world(2_000, np.random.default_rng(0))
SOUND = cases.world(ROWS, np.random.default_rng(1))
SECOND = 1_000_000


def found(rows: pd.DataFrame, before: pd.DataFrame = BEFORE) -> tuple[Finding, ...]:
    return cases.found(cases.reference(before), cases.window(rows))


def in_order(rows: pd.DataFrame, before: pd.DataFrame, every: int = 1) -> list[str]:
    """Kinds of findings against a reference in order of time, one row every so many seconds; the window has one a second."""
    at = np.arange(len(before)) * every * SECOND
    known = cases.reference(before, in_time_order=True, at=at)
    return cases.kinds(
        findings(known, cases.window(rows), cases.facts(len(rows), length=len(rows) * SECOND), cases.SETTINGS)
    )


# repeats


def test_rows_that_came_twice() -> None:
    (item,) = found(pd.concat([SOUND.head(200)] * 2, ignore_index=True))
    assert item.column is None
    assert item.sentence == (
        "50% of the rows repeat another one (200 different ones among 400), against at most 0.0% in the reference"
    )


def test_one_row_over_and_over() -> None:
    (item,) = found(pd.concat([SOUND.head(280), *[SOUND.tail(1)] * 120], ignore_index=True))
    assert item.sentence.startswith(
        "one and the same row makes up 30% of the window, and 30% of the rows repeat another"
    )


def test_a_few_repeats_are_ordinary() -> None:
    assert found(pd.concat([SOUND.head(350), SOUND.head(50)], ignore_index=True)) == ()


def test_repeats_that_the_reference_has_too_are_ordinary() -> None:
    """The broken variant knows a reference without them."""
    coarse = {name: 1.0 for name, kind in cases.KINDS_OF_WORLD.items() if kind == "numeric"} | {"product": "p1"}
    rows = SOUND.assign(**coarse)
    assert found(rows, BEFORE.assign(**coarse)) == ()
    unique = BEFORE.assign(**coarse).assign(wide=BEFORE["wide"])
    assert "duplicated_rows" in cases.kinds(found(rows, unique))


def test_rows_too_coarse_to_be_told_apart_may_repeat() -> None:
    """Of a thousand different ones, four hundred repeat one in six by chance, and more where neighbours are alike."""
    coarse = pd.concat([SOUND.head(1)] * 2_000, ignore_index=True)
    before = coarse.assign(count=np.random.default_rng(0).integers(0, 1_000, 2_000))
    assert found(before.head(ROWS).assign(count=before["count"].head(ROWS) // 2 * 2), before) == ()
    alike = before["count"].head(200).repeat(2).to_numpy()
    assert found(coarse.head(ROWS).assign(count=alike), before) == ()


def test_a_long_window_repeats_more_than_a_short_reference_can_show() -> None:
    """A thousand different rows: a hundred of them hardly repeat, and two thousand must."""
    random = np.random.default_rng(0)
    thousand = pd.concat([SOUND] * 3, ignore_index=True).head(1_000).assign(wide=np.arange(1_000.0))
    before, rows = (thousand.iloc[random.integers(0, 1_000, count)] for count in (100, 2_000))
    assert found(rows, before) == ()


def test_equal_rows_have_equal_keys_and_others_do_not() -> None:
    rows = cases.window(pd.concat([SOUND, SOUND], ignore_index=True))
    keys = row_keys(rows, list(cases.KINDS_OF_WORLD))
    assert (keys[:ROWS] == keys[ROWS:]).all()
    assert len(np.unique(keys)) == ROWS


def test_zero_has_one_key_and_so_has_what_is_missing() -> None:
    quiet, other = np.array([0x7FF8000000000001, 0x7FF8000000000000], dtype=np.uint64).view(np.float64)
    keys = row_keys(Rows({"x": Numbers(np.array([0.0, -0.0, quiet, other, 1.0]))}), ["x"])
    assert keys[0] == keys[1]
    assert keys[2] == keys[3]
    assert len(np.unique(keys)) == 3


# columns that stand still


def test_a_sensor_that_froze_within_the_window() -> None:
    (item,) = found(SOUND.assign(wide=SOUND["wide"].where(SOUND.index < 150, 42.0)))
    assert item.kind == "frozen"
    assert item.sentence == (
        "wide: 250 of 400 values, one after the other, are 42, where the reference holds 2000 different ones in 2000 rows"
    )


def test_a_sensor_that_froze_is_told_apart_from_one_that_often_stands_still() -> None:
    stuck = SOUND.assign(wide=42.0)
    assert in_order(stuck, BEFORE) == ["frozen"]
    paused = BEFORE["wide"].where((BEFORE.index < 500) | (BEFORE.index > 800), 7.0)
    assert in_order(stuck, BEFORE.assign(wide=paused)) == []


def test_a_rate_that_changes_by_the_month_may_stand_still_for_minutes() -> None:
    """Its reference has few rows a month, so that only its moments tell how long it stands still."""
    rates = BEFORE.assign(wide=np.repeat(np.random.default_rng(0).normal(size=200), 10))
    assert in_order(SOUND.assign(wide=rates["wide"].iloc[-1]), rates, every=3 * 86_400) == []
    assert in_order(SOUND.assign(wide=rates["wide"].iloc[-1]), rates) == ["frozen"]


def test_rain_may_stay_away() -> None:
    assert found(SOUND.assign(rain=0.0)) == ()
    assert in_order(SOUND.head(40).assign(rain=0.0), BEFORE) == []


# silences and volume


def silences(at: Integers, known: Integers | None = None, *, all_versions: int | None = None) -> list[str]:
    rows = cases.window(cases.world(len(at), np.random.default_rng(2)), at)
    before = cases.reference(BEFORE, at=known)
    facts = cases.facts(len(at) if all_versions is None else all_versions)
    return [item.sentence for item in findings(before, rows, facts, cases.SETTINGS) if item.kind == "time_gap"]


def spread(*quarters: int) -> Integers:
    """Moments that fill these quarters of the window at random."""
    random = np.random.default_rng(3)
    quarter = cases.HOUR // 4
    parts = [cases.START + number * quarter + random.integers(0, quarter, 300) for number in quarters]
    return np.sort(np.concatenate(parts))


def test_a_silence_that_takes_most_of_the_window_is_told() -> None:
    (words,) = silences(spread(0, 3))
    assert words.startswith("no row for 30")
    assert "minutes from 2023-11-14T23:14:" in words
    assert "where 600 moments have rows, and half of them are at most" in words


@pytest.mark.parametrize("quarters", [(1, 2, 3), (0, 1, 2), (0, 2, 3)])
def test_a_shorter_silence_is_told_only_where_the_reference_knows_none(quarters: tuple[int, ...]) -> None:
    at, minutes = spread(*quarters), cases.HOUR // 60 * np.arange(2_000)
    assert silences(at) == []
    assert len(silences(at, minutes)) == 1
    assert silences(at, minutes * 20) == []


def test_even_and_random_traffic_has_no_silence() -> None:
    assert silences(spread(0, 1, 2, 3), cases.HOUR // 3_600 * np.arange(2_000)) == []


def test_a_few_bulk_requests_are_no_silence() -> None:
    assert silences(np.repeat(spread(0)[:10], 30)) == []


def test_another_version_may_have_answered_meanwhile() -> None:
    assert silences(spread(0, 3), all_versions=900) == []


@pytest.mark.parametrize("rows", [0, 40, 3_000])
def test_a_jump_in_volume_is_told(rows: int) -> None:
    items = findings(
        cases.reference(BEFORE), cases.window(SOUND), cases.facts(rows, 400, 380, 420, 410, 390), cases.SETTINGS
    )
    assert [item.sentence for item in items if item.kind == "volume_jump"] == [
        f"the window has {rows} rows, where the 5 windows before had 380 to 420, 400 in the middle"
    ]


@pytest.mark.parametrize(
    ("rows", "earlier"),
    [
        (900, (400, 380, 420, 410)),
        (600, (400, 380, 420, 410, 390)),
        (90, (100, 900, 850, 120, 80, 700)),
        (7, (2, 3, 1, 2, 3)),
        (5, (0, 0, 0, 0, 0)),
    ],
    ids=["too few windows", "within twice", "nights are quiet", "chance among few", "chance after none"],
)
def test_ordinary_volume(rows: int, earlier: tuple[int, ...]) -> None:
    items = findings(cases.reference(BEFORE), cases.window(SOUND), cases.facts(rows, *earlier), cases.SETTINGS)
    assert "volume_jump" not in cases.kinds(items)
