"""A window that is drawn as the reference was has no finding; a broken one has one that says so, and hides no neighbour."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lifecycle.clock import ManualClock
from lifecycle.feature_log.fold import Folder
from lifecycle.feature_log.table import LogTables
from lifecycle.records import LogSchema
from monitoring.quality import BREAKS, KINDS
from monitoring.references import Reference
from monitoring.rows import Categories, Numbers, Rows, logged_rows
from tests import builders
from tests.unit.monitoring import quality_cases as cases

ROWS = 400
SOUND = cases.world(ROWS, np.random.default_rng(1))
BEFORE = cases.world(2_000, np.random.default_rng(0))


def found(before: Reference | None = None, **columns: Any) -> list[tuple[str | None, str]]:
    """Column and kind of each finding on a sound window in which `columns` were put."""
    items = cases.found(before or cases.reference(BEFORE), cases.window(SOUND.assign(**columns)))
    assert {item.kind for item in items} <= KINDS
    return [(item.column, item.kind) for item in items]


def sentence(before: Reference | None = None, **columns: Any) -> str:
    """The only finding, in words."""
    items = cases.found(before or cases.reference(BEFORE), cases.window(SOUND.assign(**columns)))
    assert len(items) == 1, items
    return items[0].sentence


def alarms(change: Callable[[pd.DataFrame], pd.DataFrame], windows: int = 200) -> int:
    """In how many of `windows` something is found; references short and long, in order of time and not."""
    told = 0
    for number in range(windows // 25):
        random = np.random.default_rng(number)
        count, in_time_order = (100, 2_000)[number % 2], number % 4 >= 2
        past = cases.world(5_000, random)
        kept = past.head(count) if in_time_order else past.sample(count, random_state=number)
        before = cases.reference(kept, in_time_order=in_time_order)
        for _ in range(25):
            rows = cases.window(change(cases.world(100, random)))
            told += bool(cases.found(before, rows, *random.poisson(100, 6).tolist()))
    return told


def test_windows_drawn_as_the_reference_was_have_no_finding() -> None:
    assert alarms(lambda rows: rows) == 0


def test_and_that_check_can_fail() -> None:
    assert alarms(lambda rows: rows.assign(wide=rows["wide"] * 1_000), 50) == 50


def test_what_breaks_a_window_is_among_the_kinds_and_a_note_is_not() -> None:
    assert BREAKS < KINDS
    assert not BREAKS & {"time_gap", "volume_jump", "new_segment", "constant_moved", "unchecked"}


PREFLIGHT: dict[str, tuple[dict[str, Any], list[tuple[str | None, str]]]] = {
    "all NaN": ({"normal": np.nan}, [("normal", "missing_column")]),
    "all None": ({"town": None}, [("town", "missing_column")]),
    "half missing": ({"wide": SOUND["wide"].where(SOUND.index % 2 == 0)}, [("wide", "null_surge")]),
    "constant": ({"normal": 0.25}, [("normal", "frozen")]),
    "constant category": ({"town": "Ghent"}, []),
    "infinities": ({"normal": SOUND["normal"].where(SOUND.index > 5, np.inf)}, [("normal", "infinite")]),
    "all infinite": ({"t2": -np.inf}, [("t2", "infinite")]),
    "huge numbers": ({"normal": SOUND["normal"] * 1e307}, [("normal", "out_of_range")]),
    "int to str": ({"count": [f"about {n}" for n in SOUND["count"]]}, [("count", "missing_column")]),
    "text to numbers": ({"town": SOUND["normal"].astype(str)}, [("town", "type_change")]),
    "never seen": ({"town": "Atlantis"}, [("town", "new_categories")]),
    "another writing": ({"town": [f" {town}" for town in SOUND["town"]]}, [("town", "new_categories"), ("town", "two_spellings")]),
    "500 categories": ({"product": [f"p{n}" for n in np.arange(ROWS) % 500]}, []),
    "nullable": ({name: SOUND.convert_dtypes()[name] for name in cases.KINDS_OF_WORLD}, []),
    "Arrow": ({name: SOUND.convert_dtypes(dtype_backend="pyarrow")[name] for name in cases.KINDS_OF_WORLD}, []),
    "extra column": ({"surplus": 1.0}, []),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "expected"), PREFLIGHT.values(), ids=PREFLIGHT)
def test_preflight(columns: dict[str, Any], expected: list[tuple[str | None, str]]) -> None:
    assert sorted(found(**columns), key=str) == expected
    if "wide" not in columns:
        beside = found(**columns, wide=SOUND["wide"] * 1_000)
        assert sorted(beside, key=str) == sorted([*expected, ("wide", "unit_change")], key=str)


def test_a_column_that_the_rows_lack_is_told_beside_the_others() -> None:
    rows = cases.window(SOUND.assign(town="Atlantis"))
    lacking = Rows({name: values for name, values in rows.columns.items() if name != "normal"}, rows.at)
    items = cases.found(cases.reference(BEFORE), lacking)
    assert cases.kinds(items) == ["missing_column", "new_categories"]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_next_to_no_rows_give_no_finding(count: int) -> None:
    assert cases.found(cases.reference(BEFORE), cases.window(SOUND.head(count))) == ()
    assert cases.found(cases.reference(BEFORE.head(count)), cases.window(SOUND)) == ()


def test_numbers_where_text_was_are_another_type() -> None:
    rows = cases.window(SOUND)
    mixed = Rows({**rows.columns, "town": Numbers(np.zeros(ROWS))}, rows.at)
    assert cases.kinds(cases.found(cases.reference(BEFORE), mixed)) == ["type_change"]


def test_a_feature_that_is_stored_in_another_kind_is_missing_and_said_so(tmp_path: Path) -> None:
    tables, clock = LogTables(tmp_path), ManualClock()
    writer = builders.writer(tables.segments, clock)
    columns = {"normal": ["1", "2", "3"] * 40}
    batch = builders.batch(120, at=clock.now(), columns=columns, predictions=[0.5] * 120, probabilities={})
    writer.append_predictions(batch, LogSchema(1, {"normal": "categorical"}, ()))
    writer.close()
    clock.advance(1)
    Folder(tables, clock).fold()
    rows = logged_rows(tables, cases.contract(), 0, clock.now(), labels=False)
    items = {item.column: item for item in cases.found(cases.reference(BEFORE), rows)}
    assert items["normal"].kind == "missing_column"
    assert "none of 120 rows has a value, against 0.0% in the reference" in items["normal"].sentence
    assert "changed its type, or be no longer sent" in items["normal"].sentence


def test_a_check_that_fails_is_told_and_hides_no_neighbour() -> None:
    rows = cases.window(SOUND.assign(town="Atlantis"))
    hostile = Numbers(np.array(["not a number"] * ROWS, dtype=object))
    items = cases.found(cases.reference(BEFORE), Rows({**rows.columns, "normal": hostile}, rows.at))
    assert cases.about(items, "normal") == ["unchecked"]
    assert cases.about(items, "town") == ["new_categories"]


NUMBERS = [np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, -0.0, 0.0, 1.0]
TEXTS = [
    None,
    "",
    "nan",
    "1_0",
    "1e999",
    "1E+999",
    "\u0663",
    "<script>",
    "a" * 10_000,
    "1",
    "1.0",
    " 1",
    "\n",
    "9" * 60,
]


def hostile(random: np.random.Generator, count: int) -> Rows:
    """A few of the worst values in every column, among sound numbers in some."""
    columns: dict[str, Numbers | Categories] = {"prediction": Numbers(np.zeros(count))}
    for name, kind in cases.KINDS_OF_WORLD.items():
        few = random.integers(0, len(TEXTS if kind in ("boolean", "categorical") else NUMBERS), random.integers(1, 4))
        places = random.choice(few, count).tolist()
        if kind in ("boolean", "categorical"):
            columns[name] = Categories.of(TEXTS[place] for place in places)
        else:
            sound = random.normal(size=count) * 10.0 ** random.integers(-300, 300)
            columns[name] = Numbers(np.where(random.random(count) < 0.5, np.array(NUMBERS)[places], sound))
    weights = (10 ** random.integers(0, 9, count)).astype(np.float64)
    return Rows(columns, np.sort(random.integers(0, 2**50, count)), weights)


def test_nothing_that_rows_hold_goes_unchecked_or_is_told_at_length() -> None:
    seen: set[str] = set()
    known = cases.reference(BEFORE.head(20), segments=("town", "count"))
    for seed in range(50):
        random = np.random.default_rng(seed)
        before, now = (hostile(random, count) for count in random.integers(1, 300, 2))
        items = cases.found(replace(known, rows=before, in_time_order=bool(seed % 2)), now)
        assert all(len(item.sentence) < 600 and item.sentence.isprintable() for item in items)
        seen |= {item.kind for item in items}
    assert "unchecked" not in seen
    assert seen >= {"infinite", "new_categories", "two_spellings", "null_surge", "out_of_range"}


def test_the_answer_is_no_input() -> None:
    rows = cases.window(SOUND)
    silent = Rows({**rows.columns, "prediction": Numbers(np.full(ROWS, np.nan))}, rows.at)
    assert cases.found(cases.reference(BEFORE), silent) == ()


def test_a_log_that_keeps_no_feature_has_no_finding() -> None:
    nothing: dict[str, Any] = {"privacy": dict.fromkeys(cases.KINDS_OF_WORLD, "drop")}
    assert cases.found(cases.reference(BEFORE, **nothing), cases.window(SOUND, **nothing)) == ()


def test_ordinary_drift_is_not_breakage() -> None:
    assert found(normal=SOUND["normal"] * 1.5 + 2.5, count=SOUND["count"] + 3, town="Ghent", flag=True) == []


def test_evidence_is_told_in_numbers() -> None:
    assert sentence(wide=SOUND["wide"].where(SOUND.index % 2 == 0)) == (
        "wide: 50% of the values are missing, against 0.0% in the reference"
    )
    assert sentence(town=["Atlantis", "Ghent"] * 200) == (
        'town: 50% of the values are categories that the reference does not hold (1 of them: "Atlantis"), where 0.0% would be usual'
    )


def test_what_callers_send_is_told_on_one_short_line() -> None:
    words = sentence(town="x\r\nforged: line\u202e" + "y" * 1_000)
    assert len(words) < 300
    assert words.isprintable()


def test_a_category_that_the_contract_declares_is_known() -> None:
    columns = tuple(
        column.model_copy(update={"categories": ("Oslo",)} if column.name == "town" else {})
        for column in cases.contract().columns
    )
    assert found(cases.reference(BEFORE, columns=columns), town="Oslo") == []


def test_rare_categories_are_expected_where_the_reference_has_many() -> None:
    names = cases.reference(BEFORE.assign(town=[f"id-{number}" for number in range(2_000)]))
    assert found(names, town=[f"new-{number}" for number in range(ROWS)]) == []


def test_categories_that_come_and_go_are_expected_to() -> None:
    """The broken variant does not know that its reference is in order of time."""
    campaigns = BEFORE.assign(town=[f"campaign-{place // 500}" for place in BEFORE.index])
    assert found(cases.reference(campaigns, in_time_order=True), town="campaign-4") == []
    assert found(cases.reference(campaigns), town="campaign-4") == [("town", "new_categories")]


def test_outages_that_come_and_go_are_expected_to() -> None:
    gaps = BEFORE.assign(wide=BEFORE["wide"].where(BEFORE.index % 1_000 > 450))
    assert found(cases.reference(gaps, in_time_order=True), wide=np.nan) == []
    assert found(cases.reference(gaps), wide=np.nan) == [("wide", "missing_column")]


def test_numbers_written_in_two_ways() -> None:
    codes = cases.reference(BEFORE.assign(town=BEFORE["grade"].astype(str)))
    mixed = [f"{grade}.0" if place % 10 == 0 else str(grade) for place, grade in enumerate(SOUND["grade"])]
    words = sentence(codes, town=mixed)
    assert "10% of the values are known ones, written in a way that the reference does not hold" in words
    assert '1.0" beside "1"' in words


def test_a_reference_that_holds_both_ways_to_write_a_number_knows_them() -> None:
    both = BEFORE["grade"].astype(str).where(BEFORE.index % 2 == 0, BEFORE["grade"].astype(float).astype(str))
    assert found(cases.reference(BEFORE.assign(town=both)), town=SOUND["grade"].astype(float).astype(str)) == []


@pytest.mark.parametrize("column", ["town", "grade"])
def test_a_new_segment_is_a_note(column: str) -> None:
    new = "Oslo" if column == "town" else 9
    values = SOUND[column].where(SOUND.index % 10 != 0, new)
    items = cases.found(cases.reference(BEFORE, segments=(column,)), cases.window(SOUND.assign(**{column: values})))
    assert cases.kinds(items) == ["new_segment"]
    assert f'{column}: new segment "{new}": 10.0% of the rows, and none in the reference' in items[0].sentence


def test_many_new_segments_are_one_note() -> None:
    """As a caller can send them: thousands of values, of which those that fill a part of the window are named."""
    towns = ["Oslo", "Riga", "Bonn", "Kyiv"] * 50 + [f"unheard of {number}" for number in range(200)]
    items = cases.found(cases.reference(BEFORE, segments=("town",)), cases.window(SOUND.assign(town=towns)))
    assert cases.kinds(items) == ["new_categories", "new_segment"]
    assert items[1].sentence == (
        'town: 4 new segments "Oslo", "Riga", "Bonn" and 1 more: 50.0% of the rows, and none in the reference'
    )


def test_a_constant_that_starts_to_move() -> None:
    still = cases.reference(BEFORE.assign(normal=0.0))
    assert "others, where the reference holds only 0 in 2000 rows" in sentence(still, normal=np.arange(ROWS) % 2)
    assert found(still, normal=0.0) == []


def test_a_column_that_was_empty_and_is_filled() -> None:
    assert "holds no value in 2000 rows" in sentence(cases.reference(BEFORE.assign(normal=np.nan)))


def test_rows_count_for_as_many_as_they_stand_for() -> None:
    rows = cases.window(SOUND.assign(wide=SOUND["wide"].where(SOUND.index % 10 != 0)))
    even = cases.found(cases.reference(BEFORE), rows)
    weights = np.where(np.arange(ROWS) % 10 == 0, 20.0, 1.0)
    items = cases.found(cases.reference(BEFORE), Rows(rows.columns, rows.at, weights))
    assert even == ()
    assert items[0].sentence == "wide: 69% of the values are missing, against 0.0% in the reference"


def test_names_that_no_row_has_are_not_held_against_it() -> None:
    rows = cases.window(SOUND)
    town = rows.columns["town"]
    assert isinstance(town, Categories)
    unused = Categories(town.codes, (*town.names, "Atlantis"))
    assert cases.found(cases.reference(BEFORE), Rows({**rows.columns, "town": unused}, rows.at)) == ()
