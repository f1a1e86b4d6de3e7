"""500 hostile texts wherever callers can put one: in a real browser, no script runs on any page that the monitor serves."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from lifecycle.records import (
    Alert,
    Estimate,
    FairnessGap,
    Finding,
    Performance,
    RetrainRun,
    SegmentScore,
    Verdict,
)
from monitoring.evidently_adapter import Picture
from monitoring.render.drawing import Drawn
from monitoring.render.page import render
from monitoring.reports import REPORT_POLICY, file_name
from tests import hostile, reported
from tests.behaviour import browser, monitored

pytestmark = pytest.mark.filterwarnings("ignore")
"""Evidently and what it imports warn about themselves."""

TEXTS = hostile.texts()
DRAWN = 100
"""Columns that are drawn, named by the first texts, so by every kind of attack; a quarter hold all 500 as categories."""
ROWS = 500
DATA_TYPES = ("application/json", "text/csv", "text/css", "text/plain")
LINKS = re.compile(r'href="(/[^"]*)"')
TABLE = 'document.querySelector("#pictures tbody tr")'


def columns(seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    values: dict[str, Any] = {}
    for place, name in enumerate(TEXTS[:DRAWN]):
        few = [TEXTS[(20 * place // 4 + step) % len(TEXTS)] for step in range(20)]
        values[name] = (few * (ROWS // 20)) if place % 4 == 0 else random.normal(size=ROWS)
    return values


def hostile_verdict(start: int) -> Verdict:
    """A verdict with a hostile text in every place that holds text."""
    numbers = np.random.default_rng(0).random(len(TEXTS)).tolist()
    scores = [
        reported.score(text, number if place < DRAWN else None, finding=text, method=TEXTS[place - 1])
        for place, (text, number) in enumerate(zip(TEXTS, numbers, strict=True))
    ]
    interval = (0.1, 0.2)
    return reported.verdict(
        tuple(scores),
        start=start,
        end=start + reported.MINUTE,
        reasons=tuple(TEXTS),
        reference=TEXTS[3],
        retrain=TEXTS[4],
        findings=tuple(Finding(text, text, text) for text in TEXTS),
        segments=tuple(
            SegmentScore(text, text, 100, 50, text, 0.3, 0.1, 0.4, interval, 0.2, lost=True) for text in TEXTS
        ),
        fairness=tuple(
            FairnessGap(text, text, 0.3, interval, text, text, {text: 0.1}, {text: 9}) for text in TEXTS[:DRAWN]
        ),
        estimate=Estimate(TEXTS[5], 100, 0.5, interval, {"loss": 0.1}, trusted=True, validity=TEXTS[6]),
        performance=Performance(
            60,
            0.5,
            {"loss": 0.5, "loss_lower": 0.4, "loss_upper": 0.6},
            {"loss": 0.1, "loss_upper": 0.2, "threshold": 0.3},
            {"loss": (0.4, 0.6)},
            dict.fromkeys(TEXTS[:5], 1.0),
        ),
        report=file_name(start),
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[monitored.Monitored]:
    """A running monitor whose ledger and reports hold hostile texts."""
    world = monitored.make(tmp_path_factory.mktemp("hostile") / "project", minutes=60)
    ledger, now = world.project.ledger, world.project.clock.now()
    verdict = hostile_verdict(now - now % 60_000_000 - 2 * reported.MINUTE)
    reference = reported.reference(columns(0), classes=tuple(TEXTS[:5]))
    rows = reported.rows(reference.contract, columns(1))
    answer = next(column for column in reference.columns if column.about == "prediction")
    shown = replace(verdict, scores=(*verdict.scores, reported.score(answer.name, about="prediction")))
    assert render(shown, reference, rows, ROWS, ROWS, world.project.reports) is not None
    ledger.save(verdict)
    for place, text in enumerate(TEXTS[:DRAWN]):
        ledger.save_alert(Alert(str(place), text, "page", text, text, now, now), [])
        decision = {"reasons": [text], text: text}
        ledger.save_run(RetrainRun(str(place), now, text, "refused", decision=decision, snapshot={text: text}))
    with monitored.running(world):
        yield world


def pages(world: monitored.Monitored) -> dict[str, httpx.Response]:
    """Every page that is linked from the console, or from a page that is."""
    found: dict[str, httpx.Response] = {}
    waiting = {"/", "/readyz", "/livez", "/nowhere"}
    with httpx.Client(base_url=world.url, timeout=30) as http:
        while waiting:
            path = waiting.pop()
            found[path] = http.get(path)
            if found[path].headers["content-type"].startswith("text/html") and not path.startswith("/reports/"):
                waiting |= set(LINKS.findall(found[path].text)) - found.keys()
    return found


def test_no_script_runs_on_any_page_that_the_monitor_serves(world: monitored.Monitored) -> None:
    served = pages(world)
    markup = [path for path, page in served.items() if page.headers["content-type"].startswith("text/html")]
    reports = [path for path in markup if path.startswith("/reports/")]
    assert len(reports) == 1
    assert "/" in markup
    for path in served.keys() - set(markup):
        assert served[path].headers["content-type"].split(";")[0] in DATA_TYPES, path
        assert served[path].headers["x-content-type-options"] == "nosniff", path
    with browser.opened() as page:
        for path in markup:
            page.open(world.url + path)
            if path in reports:
                page.until(TABLE)
            touched = page.touch()
            assert (page.ran, page.dialogs, page.refused, touched.live) == ([], [], [], []), path
            if path in reports:
                assert touched.hovered >= DRAWN, "every column's charts were opened and hovered over"


def test_a_report_is_served_under_its_policy(world: monitored.Monitored) -> None:
    path = next(path for path in pages(world) if path.startswith("/reports/"))
    served = httpx.get(world.url + path, timeout=30)
    assert served.headers["content-security-policy"] == REPORT_POLICY
    assert "unsafe-inline" not in REPORT_POLICY.split("script-src")[1].split(";")[0]
    assert "unsafe-eval" not in REPORT_POLICY


def test_the_probe_sees_a_page_that_escapes_nothing(tmp_path: Path) -> None:
    bare = tmp_path / "bare.html"
    bare.write_text("<html><body>" + "\n".join(f'<p>{text}</p><p title="{text}">x</p>' for text in TEXTS[:DRAWN]))
    with browser.opened() as page:
        page.open(bare.as_uri())
        touched = page.touch()
    kinds = {int(number) % len(hostile.KINDS) for number in page.ran}
    assert len(kinds) >= 25
    assert len(touched.live) >= 20


def test_the_probe_sees_what_evidentlys_own_page_runs(tmp_path: Path) -> None:
    attack = pd.Series(["</script><script>pwned(1)</script>", "b"] * 20, dtype=object)
    bare = Drawn(reported.score("x"), "x", attack, attack)
    Picture([bare], reported.verdict(()))._snapshot.save_html(str(tmp_path / "own.html"))
    with browser.opened() as page:
        page.open((tmp_path / "own.html").as_uri())
        page.touch()
    assert set(page.ran) == {"1"}
