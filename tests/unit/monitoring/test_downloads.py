import csv
import io
import math
import re
from collections.abc import Callable

import pytest

from lifecycle.records import Estimate, Finding, Performance
from monitoring.downloads import neutral, scores_csv, verdicts_csv
from tests import hostile, reported

SEPARATORS = ",;\t"
FORMULA = re.compile(r"[\s\0-\x20\u200b-\u200f\ufeff]*[=+\-@＝＋－＠]")


def cells(page: str, separator: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(page, newline=""), delimiter=separator))


def live(texts: list[str], write: Callable[[str], str] = neutral) -> list[str]:
    """The texts that are a formula, in whichever way a spreadsheet divides them into cells, once written as CSV."""
    found = []
    for text in texts:
        page = '1,"' + write(text).replace('"', '""') + '"\r\n'
        parts = [cell for separator in SEPARATORS for row in cells(page, separator) for cell in row]
        parts += [part for part in re.split(r"[\r\n]", write(text)) if part]
        if any(FORMULA.match(part) for part in parts):
            found.append(text)
    return found


def test_no_hostile_text_is_a_live_formula() -> None:
    assert live(hostile.texts()) == []
    assert live(["=1", "+1", "-1", "@x", "\t=1", "\r1", " =1", "\ufeff=1", "＝1", "a;=1", "a\n=1", "a\t@x", "-"]) == []


def test_the_check_sees_what_an_apostrophe_at_the_start_alone_leaves_live() -> None:
    assert len(live(hostile.texts(), write=str)) > 50
    assert live(["a;=1", "a\n=1"], write=lambda text: "'" + text if text[0] in "=+-@" else text) == ["a;=1", "a\n=1"]


@pytest.mark.parametrize("text", ["price", "a=b", "a - b", "x, -0.5", "O'Neill", "", "Zürich"])
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    assert neutral(text) == text


def test_scores_are_read_back_to_the_last_digit() -> None:
    numbers = [0.1 + 0.2, 1e-300, 1e308, 3.0, None]
    names = ["a", "=b", "c,d", 'e"f', "g\nh"]
    scores = tuple(reported.score(name, value) for name, value in zip(names, numbers, strict=True))
    head, *lines = cells(scores_csv(reported.verdict(scores)))
    read = [dict(zip(head, line, strict=True)) for line in lines]
    assert [line["column"] for line in read] == ["a", "'=b", "c,d", 'e"f', "g\nh"]
    assert [float(line["score"]) if line["score"] else None for line in read] == numbers
    assert [line["over"] for line in read] == ["yes", "no", "yes", "yes", "no"]
    assert {line["threshold"] for line in read} == {"0.1"}


def test_hostile_columns_make_one_line_each() -> None:
    scores = tuple(reported.score(text, finding=text) for text in hostile.texts())
    lines = cells(scores_csv(reported.verdict(scores)))
    assert len(lines) == hostile.COUNT + 1
    assert {len(line) for line in lines} == {11}


def test_a_verdict_is_a_line_with_what_is_known_of_it() -> None:
    performance = Performance(50, 0.5, {"loss": 0.25}, {"threshold": 0.2})
    estimate = Estimate("confidence", 100, -0.5, (0.1, 0.2), {}, trusted=False, validity="too few rows")
    full = reported.verdict(
        (reported.score("a", weight=0.4), reported.score("b", 0.01, weight=0.6)),
        performance=performance,
        estimate=estimate,
        reasons=("first", "=second"),
        findings=(Finding(None, "frozen", "stand still"),),
    )
    head, *lines = cells(verdicts_csv([full, reported.verdict((), version=None, reference=None)]))
    known, bare = (dict(zip(head, line, strict=True)) for line in lines)
    assert (known["state"], known["over"], known["scored"], known["impact"]) == ("drift", "1", "2", "0.4")
    assert (known["labelled"], known["loss"], known["tolerated_loss"]) == ("50", "0.25", "0.2")
    assert (known["estimated_loss"], known["estimate_trusted"]) == ("-0.5", "no")
    assert known["reasons"] == "first;' =second"
    assert known["findings"] == "rows: stand still"
    assert (bare["version"], bare["loss"], bare["impact"], bare["reference"]) == ("", "", "", "")


def test_what_is_no_number_and_what_cannot_be_encoded_is_written_all_the_same() -> None:
    page = scores_csv(reported.verdict((reported.score("\ud800", math.inf), reported.score("\0", math.nan))))
    assert page.encode()
    assert len(cells(page)) == 3


def test_no_verdict_gives_the_names_alone() -> None:
    assert len(cells(verdicts_csv([]))) == 1
