from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from lifecycle import snapshots
from lifecycle.records import Verdict
from monitoring.render.drawing import LARGEST, MISSING, MOST_CATEGORIES, OTHERS, Drawn, drawable
from monitoring.render.plain import MOST_CHARACTERS, distinct, plain
from monitoring.reports import DAY, NAME, file_name, wanted
from tests import hostile, reported
from tests.unit.monitoring.making import newest_first, score, verdict

PROJECT = Path("/srv/houses")


def starts(verdicts: list[Verdict]) -> list[str]:
    return [item.state for item in wanted(verdicts)]


def with_a_report(*states: str, **changes: Any) -> list[Verdict]:
    """A history whose oldest window has the day's report."""
    return [*newest_first(*states, **changes), verdict(-1, report="0.html")]


def draw(before: Any, now: Any, **changes: Any) -> Drawn | str:
    """One column "x" as it is drawn, or the sentence why it is not."""
    reference = reported.reference({"x": before, "y": [1.0] * len(before)})
    rows = reported.rows(reference.contract, {"x": now, "y": [1.0] * len(now)})
    scores = (reported.score("x", **changes), reported.score("y"))
    drawn, left_out = drawable(reported.verdict(scores), reference, rows, most=100)
    assert "y" in [item.name for item in drawn], "a column never costs its neighbour the picture"
    return drawn[0] if len(drawn) == 2 else left_out[0].sentence


def test_nothing_judged_nothing_to_show() -> None:
    assert wanted([]) == []
    assert wanted(newest_first("no_traffic")) == []


def test_the_first_window_of_an_alarm_gets_a_report_and_the_next_do_not() -> None:
    assert starts(with_a_report("ok", "drift", "drift", "drift")) == ["drift"]
    assert starts(with_a_report("drift", "performance")) == ["performance", "drift"]


def test_a_quiet_day_gets_one_report() -> None:
    assert starts(newest_first("ok", "ok")) == ["ok"]
    assert starts(with_a_report("ok", "ok")) == []
    late = verdict(5, end=verdict(5).end + DAY)
    assert wanted([late, *with_a_report("ok")]) == [late]


def test_a_window_without_scores_has_nothing_to_show() -> None:
    assert wanted(newest_first("data_quality", scores=(score(value=None),))) == []


def test_a_plain_text_holds_no_markup_and_nothing_unseen() -> None:
    shown = [plain(text) for text in hostile.texts()]
    assert not [text for text in shown if set(text) & set("<>&\0\r\n\t\u2028\u202e\u200b\ufeff")]
    assert max(map(len, shown)) == MOST_CHARACTERS
    assert plain("\ud800").encode()
    assert plain("Zürich (a.b) 'q' \"r\" ✓") == "Zürich (a.b) 'q' \"r\" ✓"


def test_texts_that_look_alike_stay_apart() -> None:
    assert distinct(["<a", "‹a", "<a", "‹a (2)"]) == ["‹a", "‹a (2)", "‹a (3)", "‹a (2) (2)"]
    assert len(set(distinct(hostile.texts()))) == hostile.COUNT


def test_numbers_are_drawn_without_what_is_no_number() -> None:
    drawn = draw([1.0, np.nan, 2.0], [np.inf, 3.0, -np.inf])
    assert isinstance(drawn, Drawn)
    assert (drawn.is_numeric, drawn.reference.tolist(), drawn.current.tolist()) == (True, [1.0, 2.0], [3.0])


def test_of_many_categories_the_commonest_are_drawn_and_what_is_missing_is_seen() -> None:
    drawn = draw(["a"] * 9 + [OTHERS], [*(f"new {place}" for place in range(MOST_CATEGORIES)), "a", None])
    assert isinstance(drawn, Drawn)
    assert not drawn.is_numeric
    assert set(drawn.reference) == {"a", f"{OTHERS} (2)"}
    assert {OTHERS, MISSING} < set(drawn.current)
    assert len(set(drawn.current)) <= MOST_CATEGORIES + 2


def test_a_sample_is_drawn_evenly_spread() -> None:
    drawn = draw(list(np.arange(1_000.0)), list(np.arange(1_000.0)))
    assert isinstance(drawn, Drawn)
    assert (len(drawn.current), drawn.current.iloc[0], drawn.current.iloc[-1]) == (100, 0, 999)


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ([1.0, 2.0], [np.nan, np.nan], "no number in the rows of the window"),
        ([np.inf, np.nan], [1.0, 2.0], "no number in the rows of the reference"),
        ([1.0, 2.0], [1.0, 10 * LARGEST], "1e+101 in the window, too large to draw"),
        ([1.0, 2.0], ["a", "b"], "numbers on one side and categories on the other"),
        ([None, None], [None, None], "no value in the rows"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_words(before: Any, now: Any, words: str) -> None:
    assert words in str(draw(before, now))


def test_what_is_no_column_or_has_no_score_is_not_drawn() -> None:
    assert draw([1.0], [1.0], about="joint") == "is not of one column, so there is no picture of it"
    assert draw([1.0], [1.0], value=None, finding="could not be scored") == "could not be scored"


def test_labels_are_drawn_beside_a_feature_of_the_same_name() -> None:
    reference = reported.reference({"label": [1.0] * 5})
    rows = reported.rows(reference.contract, {"label": [1.0] * 4})
    both = reported.score("label"), reported.score("label", about="label")
    drawn, left_out = drawable(reported.verdict(both), reference, rows, most=100)
    assert left_out == ()
    assert [(item.name, item.current.tolist()) for item in drawn] == [
        ("label", [1.0] * 4),
        ("label (2)", [0.0, 1.0, 2.0, 3.0]),
    ]


def test_a_name_of_a_page_is_digits_and_nothing_else() -> None:
    assert NAME.fullmatch(file_name(reported.START))
    assert not [text for text in hostile.texts() if NAME.fullmatch(text)]


def test_a_snapshot_is_named_by_its_window_and_its_project() -> None:
    names = [snapshots.identifier(PROJECT, start) for start in (0, 999, 1_000, reported.START)]
    assert names == sorted(set(names)), "in order of time"
    assert {name.version for name in names} == {7}
    assert snapshots.identifier(Path("/srv/other"), reported.START) != names[-1]


def test_snapshots_go_with_their_pages_and_those_of_others_stay(tmp_path: Path) -> None:
    folder = tmp_path / "a project" / "snapshots"
    folder.mkdir(parents=True)
    ours = {start: folder / f"{snapshots.identifier(PROJECT, start)}.json" for start in (1, 2_000_003, reported.START)}
    others = [folder / "notes.json", folder / f"{UUID(int=7)}.json"]
    others.append(folder / f"{snapshots.identifier(Path('/srv/other'), 1)}.json")
    for path in (*ours.values(), *others):
        path.touch()
    assert dict(snapshots.snapshots(tmp_path, PROJECT)) == ours
    assert snapshots.keep_only(tmp_path, PROJECT, {reported.START}) == 2
    assert set(folder.iterdir()) == {ours[reported.START], *others}


def test_a_workspace_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert snapshots.keep_only(tmp_path / "none", PROJECT, ()) == 0
