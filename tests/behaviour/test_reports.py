"""A report shows the verdict's own numbers whatever its columns hold, and is kept in a workspace that Evidently reads."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from lifecycle.process import child_environment
from lifecycle.records import ColumnScore, Verdict
from lifecycle.snapshots import identifier, keep_only, snapshots
from monitoring.drift import methods
from monitoring.drift.series import P_VALUES
from monitoring.evidently_adapter import OURS_PREFIX, EvidentlyScorer, Picture, register_methods
from monitoring.references import Reference
from monitoring.render.drawing import drawable
from monitoring.render.page import digest, render
from monitoring.reports import SCRIPT_DIGESTS, file_name
from monitoring.rows import Rows
from tests import reported
from tests.behaviour import monitored

pytestmark = pytest.mark.filterwarnings("ignore")
"""Evidently and what it imports warn about themselves."""

SECOND = 1_000_000
EXACT = re.compile(r'<data value="([^"]+)">')


def columns(seed: int, count: int = 500) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "x": random.normal(seed, 1, count),
        "prediction": random.integers(0, 9, count).astype(float),
        "town": random.choice(["Ghent", "Turin", "Bergen"], count).tolist(),
    }


def scored(reference: Reference, rows: Rows) -> tuple[ColumnScore, ...]:
    """Every column by one of ours, over all rows."""
    return tuple(
        reported.score(
            column.name,
            methods.score("jensenshannon", reference.against(column), rows.columns[column.name]),
            1 / (7 + place),
            about=column.about,
            method="jensenshannon",
        )
        for place, column in enumerate(reference.columns)
    )


def page_of(folder: Path) -> str:
    return (folder / file_name(reported.START)).read_text()


def shown(verdict: Verdict, reference: Reference, rows: Rows, most: int) -> dict[str, tuple[float, float]]:
    return Picture(drawable(verdict, reference, rows, most)[0], verdict).numbers


def test_a_page_drawn_from_a_sample_shows_the_verdicts_numbers_to_the_last_digit(tmp_path: Path) -> None:
    reference = reported.reference(columns(0))
    rows = reported.rows(reference.contract, columns(1))
    verdict = reported.verdict(scored(reference, rows))
    expected = {score.column: (score.score, score.threshold) for score in verdict.scores}
    picture = render(verdict, reference, rows, 500, 100, tmp_path)
    assert picture is not None
    assert picture.numbers == expected
    numbers = [float(value) for value in EXACT.findall(page_of(tmp_path))]
    assert numbers == [number for pair in expected.values() for number in pair]
    assert "drawn from 100 of 500 rows of the window and 100 of 500 rows of the reference" in page_of(tmp_path)
    # what the sample itself would say is something else
    sampled = reported.verdict(scored(reference, rows.thinned(100)))
    assert shown(sampled, reference, rows, 100) != expected


def test_our_methods_in_evidentlys_registry_are_our_methods() -> None:
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    register_methods()
    before, now = pd.DataFrame(columns(0)), pd.DataFrame(columns(1))
    now.loc[::7, ["x", "town"]] = None
    checked = 0
    for method, known in methods.METHODS.items():
        for name, kind in (("x", ColumnType.Numerical), ("town", ColumnType.Categorical)):
            if kind == ColumnType.Numerical or known.categories:
                test = get_stattest(before[name], now[name], kind, OURS_PREFIX + method)
                found = test(before[name], now[name], kind, 0.2)
                sides = (
                    reported.values([None if pd.isna(item) else item for item in side[name]]) for side in (before, now)
                )
                ours = methods.score(method, next(sides), next(sides))
                assert (found.drift_score, found.drifted) == (ours, ours > 0.2)
                checked += 1
    assert checked == 7


def told_apart(method: str, p_values: frozenset[str]) -> bool:
    """Whether a shift scores higher than none, where the answers of `p_values` are turned round."""
    random = np.random.default_rng(0)
    numbers = [pd.Series(random.normal(mean, 1, 150)) for mean in (0, 0, 1)]
    texts = [pd.Series(random.choice(["a", "b"], 150, p=[1 - share, share]), dtype=object) for share in (0.3, 0.3, 0.6)]
    for same, alike, other in (numbers, texts):
        try:
            low, high = (EvidentlyScorer().score(same, side, method) for side in (alike, other))
        except ValueError:
            continue
        if method in P_VALUES.symmetric_difference(p_values):
            low, high = 1 - low, 1 - high
        return high > low
    raise AssertionError(f"{method} took neither numbers nor categories")


def known_tests() -> list[str]:
    from evidently.legacy.calculations import stattests

    tests = (value for value in vars(stattests).values() if isinstance(value, stattests.registry.StatTest))
    return sorted({test.name for test in tests if not test.name.endswith("text_content_drift")})


def test_more_is_further_apart_by_every_stat_test_of_evidently() -> None:
    known = known_tests()
    assert set(known) > P_VALUES
    assert [method for method in known if not told_apart(method, P_VALUES)] == []
    assert {method for method in known if not told_apart(method, frozenset())} == P_VALUES


@pytest.mark.parametrize(
    ("method", "reference", "current", "words"),
    [
        ("wasserstien", [1.0, 2.0], [1.0, 2.0], "no such stat test; did you mean wasserstein"),
        ("chisquare", [1.0, 2.0], [1.0, 2.0], "holds numbers, and Evidently's 'chisquare' is not for these"),
        ("ks", ["a", "b"], ["a", "b"], "holds categories"),
        ("wasserstein", [], [1.0], "no values in the reference"),
        ("wasserstein", [1.0], [], "no values in the current"),
        ("wasserstein", [1.0, 2.0], [float("inf"), float("inf")], "no finite wasserstein score"),
    ],
)
def test_what_evidently_cannot_score_is_said_in_words(
    method: str, reference: list[Any], current: list[Any], words: str
) -> None:
    before, now = (
        pd.Series(side, dtype=float if not side or side[0] != "a" else object) for side in (reference, current)
    )
    with pytest.raises(ValueError, match=words):
        EvidentlyScorer().score(before, now, method)


def test_a_bad_column_is_named_and_costs_the_others_nothing(tmp_path: Path) -> None:
    good = columns(0)
    bad_before = {
        "all missing": [None] * 500,
        "constant": [1.0] * 500,
        "infinite": [np.inf] * 500,
        "1e308": [1e308, -1e308] * 250,
        "narrow": [1e16, 1e16 + 2] * 250,
        "many": [f"name {place}" for place in range(500)],
        "<b>markup</b>": ["<i>", "‹i›"] * 250,
        "moves": [1.0] * 500,
        "a.b'c\"d": [0.0, np.nan] * 250,
        "": ["", " "] * 250,
    }
    bad_now = bad_before | {"constant": [1.0] * 500, "moves": np.arange(500.0), "infinite": [1.0] * 500}
    reference = reported.reference(good | bad_before)
    rows = reported.rows(reference.contract, columns(1) | bad_now)
    verdict = reported.verdict(
        (
            *(reported.score(column.name, about=column.about) for column in reference.columns),
            reported.score("(joint)", 0.9, about="joint", method="copula_kernel"),
        )
    )
    picture = render(verdict, reference, rows, 500, 400, tmp_path)
    assert picture is not None
    page = page_of(tmp_path)
    listed = page.split("<h2>Not drawn</h2>")[1].split("</main>")[0]
    assert re.findall("<li><bdi>(.*?)</bdi>", listed) == ["all missing", "infinite", "1e308", "(joint)", "narrow"]
    assert {"x", "prediction", "town", "constant", "moves", "many", "‹b›markup‹/b›"} < set(picture.numbers)
    assert len(picture.numbers) + 5 == len(verdict.scores)


def test_a_window_of_one_row_and_a_window_of_nothing_have_a_page(tmp_path: Path) -> None:
    reference = reported.reference(columns(0))
    scores = tuple(reported.score(name) for name in ("x", "prediction", "town"))
    verdict = reported.verdict(scores, reference="rows that are gone")
    one = reported.rows(reference.contract, {name: column[:1] for name, column in columns(1).items()})
    assert render(verdict, reference, one, 1, 100, tmp_path) is not None
    assert render(verdict, reference, one.taken(slice(0, 0)), 0, 100, tmp_path) is None
    assert page_of(tmp_path).count("in the rows of the window that are drawn") == 2
    assert f"What is drawn beneath is compared with {reported.WORDS}." in page_of(tmp_path)


def test_only_scripts_that_the_policy_names_are_on_a_page(tmp_path: Path) -> None:
    reference = reported.reference(columns(0))
    rows = reported.rows(reference.contract, columns(1))
    render(reported.verdict((reported.score("x"),)), reference, rows, 500, 100, tmp_path)
    scripts = re.findall(r"<script>(.*?)</script>", page_of(tmp_path), re.DOTALL)
    assert tuple(map(digest, scripts)) == SCRIPT_DIGESTS
    assert digest(scripts[2] + " ") not in SCRIPT_DIGESTS


@pytest.fixture
def world(tmp_path: Path) -> monitored.Monitored:
    """A project with traffic, whose evidently workspace is a folder beside its configuration."""
    world = monitored.make(tmp_path / "project", settings='evidently_workspace = "seen"\nreport_rows = 100\n')
    world.traffic(300, shift=1.0)
    world.fold()
    return world


def judged(world: monitored.Monitored) -> Verdict:
    now = world.project.clock.now()
    scores = tuple(
        reported.score(name, about=about) for name, about in (("a", "feature"), ("prediction", "prediction"))
    )
    verdict = reported.verdict(scores, start=now - 60 * SECOND, end=now + SECOND, rows=300)
    world.project.ledger.save(verdict)
    return verdict


def rendered(world: monitored.Monitored, start: int) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-W", "ignore", "-m", "monitoring.render"]
    command += ["--project", str(world.project.path), "--start", str(start)]
    return subprocess.run(command, env=child_environment(), check=False, timeout=120, capture_output=True)


def test_a_rendered_window_is_in_the_workspace_and_goes_with_its_page(world: monitored.Monitored) -> None:
    from evidently.ui.workspace import Workspace

    verdict = judged(world)
    for _ in range(2):  # the second time it takes the place of the first
        ended = rendered(world, verdict.start)
        assert ended.returncode == 0, ended.stderr
    path, seen = world.project.path, world.project.path / "seen"
    page = (world.project.reports / file_name(verdict.start)).read_text()
    assert "drawn from 100 of 300 rows of the window" in page
    workspace = Workspace(str(seen))
    projects = workspace.search_project("houses")
    assert len(workspace.list_projects()) == len(projects) == 1
    assert list(map(str, workspace.list_runs(projects[0].id))) == [str(identifier(path, verdict.start))]
    kept = workspace.get_run(projects[0].id, identifier(path, verdict.start))
    assert kept is not None
    assert kept.metadata["verdict"] == "drift"
    values = {json.dumps(result.dict()["value"]) for result in kept.metric_results.values() if "value" in result.dict()}
    assert json.dumps(verdict.scores[0].score) in values
    assert keep_only(seen, path, {verdict.start}) == 0
    assert keep_only(seen, path, ()) == 1
    assert list(workspace.list_runs(projects[0].id)) == list(snapshots(seen, path)) == []


def test_a_workspace_that_cannot_be_written_costs_no_report(world: monitored.Monitored) -> None:
    (world.project.path / "seen").write_text("a file where a folder should be")
    verdict = judged(world)
    ended = rendered(world, verdict.start)
    assert ended.returncode == 0
    assert b"workspace_not_fed" in ended.stdout + ended.stderr
    assert (world.project.reports / file_name(verdict.start)).is_file()


def test_evidentlys_own_ui_serves_the_workspace(world: monitored.Monitored) -> None:
    verdict = judged(world)
    assert rendered(world, verdict.start).returncode == 0
    port = monitored.free_port()
    command = [str(Path(sys.executable).with_name("evidently")), "ui", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workspace", str(world.project.path / "seen")]
    with subprocess.Popen(command, env=os.environ | {"DO_NOT_TRACK": "1"}, cwd=world.project.path) as process:
        try:
            projects = monitored.eventually(lambda: _asked(f"http://127.0.0.1:{port}/api/projects"), "the UI answers")
            assert [project["name"] for project in projects] == ["houses"]
            runs = _asked(f"http://127.0.0.1:{port}/api/projects/{projects[0]['id']}/reports")
            assert [run["id"] for run in runs] == [str(identifier(world.project.path, verdict.start))]
        finally:
            process.terminate()
            process.wait(30)


def _asked(address: str) -> Any:
    try:
        return httpx.get(address, timeout=10).raise_for_status().json()
    except httpx.HTTPError:
        return None


def test_a_report_without_scores_is_refused(tmp_path: Path) -> None:
    ended = rendered(monitored.make(tmp_path), 60_000_000)
    assert ended.returncode == 2
    assert b"nothing to report" in ended.stderr
