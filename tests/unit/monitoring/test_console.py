"""What the monitor shows over HTTP: pages that hold what the ledger holds, escaped, under strict headers."""

import asyncio
import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp

from lifecycle.clock import ManualClock
from lifecycle.ledger.sql import SqlLedger
from lifecycle.records import Alert, FairnessGap, Finding, Verdict
from monitoring.console import Console
from monitoring.http import PAGE_POLICY, make_app
from monitoring.steps import Steps
from tests.unit.monitoring.judged import drifted, estimated, full, measured, segment
from tests.unit.monitoring.making import START, config, verdict

HOSTILE = "</td><script>alert(1)</script>"


class Browser:
    """Asks the application directly, without a network."""

    def __init__(self, app: ASGIApp) -> None:
        self._transport = httpx.ASGITransport(app)

    def get(self, path: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://monitor") as client:
                return await client.get(path)

        return asyncio.run(ask())


@pytest.fixture
def client(ledger: SqlLedger, clock: ManualClock, tmp_path: Path) -> Browser:
    console = Console(ledger, clock, Steps(ledger, clock, "me"), config().monitoring, "houses", 8)
    return Browser(make_app(console, tmp_path))


def text(client: Browser, path: str) -> str:
    """The words of a page, without its tags."""
    found = client.get(path)
    assert found.status_code == 200, found.text
    return " ".join(re.sub(r"<[^>]*>", " ", found.text).split())


def test_a_window_is_shown_with_all_that_was_found(ledger: SqlLedger, client: Browser) -> None:
    ledger.save(full(report="7.html", retrain="no retrain: it rests"))
    page = text(client, f"/windows/{START}")
    for words in (
        "500 rows, answered by version 1, compared with the 2000 training rows of version 1",
        "Columns with 70% of the model's importance are over their thresholds.",
        "a reason for drift",
        "no retrain: it rests",
        "x null surge 30 % are missing",
        "(whole rows) time gap 9 minutes silent",
        "x feature ks 0.4 0.1 2 10%",
        "loss 2 1.8 to 2.2 1 r2 0.5 - -",
        "80% of the rows have a label, which came 2 hours after the answer (median)",
        "without labels, the loss over 500 rows is estimated at 2",
        "the estimate can be trusted",
        "Turin 90 40 1.1 0.6 to 1.6 1 x 0.4 0.2",
        "sex selection rate 0.3 0.2 to 0.4 f m f: 0.2 of 99 rows m: 0.5 of 101 rows",
    ):
        assert words in page
    raw = client.get(f"/windows/{START}").text
    assert f'href="/windows/{START}.csv"' in raw
    assert 'href="/reports/7.html"' in raw


def test_what_matters_most_to_the_model_comes_first(ledger: SqlLedger, client: Browser) -> None:
    ledger.save(full())
    names = re.findall(r"<tr><td>([^<]*)</td><td>feature</td>", client.get(f"/windows/{START}").text)
    assert names == ["&lt;b&gt;n&lt;/b&gt;", "x", "town", "y"]


def test_a_window_without_anything_to_show_is_shown(ledger: SqlLedger, client: Browser) -> None:
    ledger.save(verdict(0, "no_traffic", rows=0, scores=(), version=None))
    page = text(client, f"/windows/{START}")
    assert "This window was not scored." in page
    assert "No labels yet." in page


@pytest.mark.parametrize("path", [f"/windows/{START}", f"/windows/{START}.csv", "/verdicts.csv", "/", "/api/status"])
def test_every_answer_is_under_strict_headers(ledger: SqlLedger, client: Browser, path: str) -> None:
    ledger.save(full())
    headers = client.get(path).headers
    assert headers["content-security-policy"] == PAGE_POLICY
    assert headers["x-content-type-options"] == "nosniff"


def test_the_console_links_each_window(ledger: SqlLedger, client: Browser) -> None:
    ledger.save(full())
    raw = client.get("/").text
    assert f'<a href="/windows/{START}">' in raw
    assert 'href="/verdicts.csv"' in raw
    assert "70%" in raw


def test_downloads_are_files(ledger: SqlLedger, client: Browser) -> None:
    ledger.save(full())
    for path, name in ((f"/windows/{START}.csv", f"window-{START}.csv"), ("/verdicts.csv", "verdicts.csv")):
        found = client.get(path)
        assert found.headers["content-type"] == "text/csv; charset=utf-8; header=present"
        assert found.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert len(list(csv.reader(io.StringIO(found.text)))) > 1


@pytest.mark.parametrize("start", ["1", "x", "1.5", "1" * 19, "9" * 5_000, "%F0%9D%9F%8F", "-", "a%2fb"])
@pytest.mark.parametrize("ending", ["", ".csv"])
def test_a_window_that_there_is_not_is_not_found(client: Browser, start: str, ending: str) -> None:
    found = client.get(f"/windows/{start}{ending}")
    assert (found.status_code, found.json()["error"]["code"]) == (404, "not_found")


def hostile() -> Verdict:
    """The hostile text wherever a verdict can hold one."""
    return full(
        reference=HOSTILE,
        reasons=(HOSTILE,),
        retrain=HOSTILE,
        scores=(drifted(HOSTILE, 2.0, 0.5, method=HOSTILE, finding=HOSTILE),),
        findings=(Finding(HOSTILE, HOSTILE, HOSTILE),),
        performance=replace(measured(2.0), metrics={"loss": 2.0, HOSTILE: 1.0}, trivial={HOSTILE: 1.0}),
        estimate=replace(estimated(), method=HOSTILE, validity=HOSTILE),
        segments=(segment(HOSTILE, column=HOSTILE, drift_column=HOSTILE),),
        fairness=(FairnessGap(HOSTILE, HOSTILE, 0.3, (0.2, 0.4), HOSTILE, HOSTILE, {HOSTILE: 0.2}, {HOSTILE: 9}),),
    )


def scripts(page: str) -> list[str]:
    """The scripts that a browser would see."""
    return re.findall(r"<\s*script|\bon\w+\s*=|javascript:", page, re.IGNORECASE)


@pytest.mark.parametrize(("path", "places"), [("/", 7), (f"/windows/{START}", 23)])
def test_no_text_becomes_markup(ledger: SqlLedger, client: Browser, path: str, places: int) -> None:
    ledger.save(hostile())
    ledger.save_alert(Alert("a", "drift", "ticket", HOSTILE, HOSTILE, START, START), [])
    raw = client.get(path).text
    assert raw.count("&lt;script&gt;") == places, "every place is shown, as text"
    assert scripts(raw) == []


def test_the_search_for_scripts_finds_one() -> None:
    assert scripts(f"<td>{HOSTILE}") == ["<script"]
    assert scripts("<img src=x onerror=alert(1)>") == ["onerror="]
