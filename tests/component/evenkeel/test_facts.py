"""What the looking commands print is what ledger and log hold, as tables and as JSON alike."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from evenkeel import facts
from lifecycle.errors import ProjectInvalid
from lifecycle.ids import uuid7
from lifecycle.project import Project
from lifecycle.records import Alert, Calibration, ColumnScore, Estimate, Performance, RetrainRun, Verdict, Worker
from tests.builders import START
from tests.unit.evenkeel.making import answered, project

MINUTE = 60_000_000


@pytest.fixture
def made(tmp_path: Path) -> Project:
    return project(tmp_path)


def eventful(made: Project) -> None:
    """A drifting window with a report, an open and a resolved alert, a refused run, and a worker."""
    scores = (ColumnScore("a", "ks", 0.5, 0.1, weight=0.42), ColumnScore("b", "ks", None, 0.1, "has no values"))
    lost = Performance(80, 0.8, {"loss": 0.25}, {"loss": 0.1})
    estimate = Estimate("error_model", 100, 0.22, (0.2, 0.24), {}, False, "the hold-out has 12 rows")
    drifting = Verdict(START, START + MINUTE, 100, "drift", 1, scores, ("a strays",), True, lost)
    words = "the 40 training rows"
    made.ledger.save(replace(drifting, report="1.html", retrain="r", reference=words, estimate=estimate))
    made.ledger.save(Verdict(START + MINUTE, START + 2 * MINUTE, 0, "no_traffic", None))
    for name, resolved in (("drift", None), ("performance", START + MINUTE)):
        alert = Alert(uuid7(), name, "ticket", f"{name} [bold]title", "a body", START, START, resolved)
        made.ledger.save_alert(alert, [])
    decision = {"reasons": ["no better"]}
    made.ledger.save_run(RetrainRun("r", START, "drift", "refused", challenger=2, decision=decision))
    made.ledger.report(Worker("w", 4711, made.clock.now(), 1, 1, START))


def test_status_holds_what_ledger_and_log_hold(made: Project) -> None:
    eventful(made)
    answered(made, 3)
    told = facts.status(made)
    assert (told["model"], told["champion"]["version"], told["champion"]["generation"]) == ("houses", 1, 1)
    assert told["workers"] == [{"pid": 4711, "version": 1, "generation": 1}]
    assert (told["feature_log"]["rows"], told["feature_log"]["pending_segments"]) == (3, 0)
    newest, drifted = told["verdicts"]
    assert (newest["state"], newest["loss"], newest["coverage"]) == ("no_traffic", None, None)
    assert drifted["start"] == "2023-11-14T22:13:20Z"
    assert (drifted["state"], drifted["drifted_columns"], drifted["loss"]) == ("drift", ["a"], 0.25)
    assert (drifted["coverage"], drifted["reasons"], drifted["retrain"]) == (0.8, ["a strays"], "r")
    assert (drifted["reference"], drifted["impact"], newest["impact"]) == ("the 40 training rows", 0.42, None)
    assert (drifted["estimate"]["loss"], drifted["estimate"]["trusted"], newest["estimate"]) == (0.22, False, None)
    assert [alert["kind"] for alert in told["alerts"]] == ["drift"]
    assert [(run["state"], run["reasons"]) for run in told["runs"]] == [("refused", ["no better"])]


def test_status_is_printed_as_tables_and_as_json(made: Project, capsys: pytest.CaptureFixture[str]) -> None:
    eventful(made)
    facts.show_status(made.path, as_json=False)
    printed = capsys.readouterr().out
    for word in (
        "houses",
        "version 1, generation 1",
        "4711",
        "drift",
        "no better",
        "80%",
        "42%",
        "0.22 (not trusted)",
        "40 training",
    ):
        assert word in " ".join(printed.split())
    assert "thresholds" not in printed, "none were derived yet"
    assert "drift [bold]title" in printed, "text is never read as markup"
    facts.show_status(made.path, as_json=True)
    assert json.loads(capsys.readouterr().out)["champion"]["version"] == 1


def derived(made: Project) -> None:
    """Thresholds of the champion, an older derivation, one that is not summed up yet, and one of another version."""
    columns = [
        {"column": "a", "about": "feature", "method": "ks", "threshold": 0.12, "smallest_shift": 0.214, "unit": "sd"},
        {
            "column": "[b]",
            "about": "feature",
            "method": "psi",
            "threshold": 0.2,
            "smallest_shift": 0.04,
            "unit": "share",
        },
        {"column": "joint", "about": "joint", "method": "x", "threshold": 0.3, "smallest_shift": 0.3, "unit": "score"},
        {"column": "c", "about": "feature", "method": "ks", "threshold": 0.9, "smallest_shift": None, "unit": "sd"},
    ]
    summary = {"window_rows": 512, "reference": "the 40 training rows", "columns": columns}
    for at, (version, expected) in enumerate([(1, 0.5), (1, 0.83), (2, 7.0)]):
        content = {"summary": summary | {"expected_false_alarms_per_month": expected}}
        made.ledger.save_calibration(Calibration(f"{version}/{at}", version, START + at * MINUTE, content))
    made.ledger.save_calibration(Calibration("1/new", 1, START + 9 * MINUTE, {"summary": {}}))


def test_status_tells_what_the_champions_thresholds_promise(made: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert facts.status(made)["thresholds"] is None
    derived(made)
    told = facts.status(made)["thresholds"]
    assert (told["version"], told["made_at"], told["window_rows"]) == (1, "2023-11-14T22:14:20Z", 512)
    assert (told["false_alarms_per_month"], told["expected_false_alarms_per_month"]) == (1.0, 0.83)
    assert [column["column"] for column in told["columns"]] == ["a", "[b]", "joint", "c"]
    facts.show_status(made.path, as_json=False)
    printed = " ".join(capsys.readouterr().out.split())
    for words in (
        "thresholds of version 1: at most 0.83 false alarms a month are expected",
        "in windows of 512 rows against the 40 training rows",
        "a feature ks 0.12 0.214 standard deviations",
        "[b] feature psi 0.2 4.0% of the commonest category",
        "joint joint x 0.3 0.3 (score)",
        "c feature ks 0.9 none",
    ):
        assert words in printed


def test_a_project_where_nothing_happened_yet_can_be_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evenkeel.toml").write_text('[model]\nname = "houses"\n')
    for as_json in (False, True):
        facts.show_status(tmp_path, as_json=as_json)
        facts.show_models(tmp_path, as_json=as_json)
        facts.show_alerts(tmp_path, every=False, as_json=as_json)
        facts.show_reports(tmp_path, as_json=as_json)
    assert "no champion; `evenkeel promote VERSION` makes one" in capsys.readouterr().out


def test_models_tell_role_score_and_origin(made: Project, capsys: pytest.CaptureFixture[str]) -> None:
    facts.show_models(made.path, as_json=True)
    (version,) = json.loads(capsys.readouterr().out)
    assert (version["version"], version["role"], version["metrics"]) == (1, "champion", {"loss": 0.1})
    assert version["lineage"] == {"seed": 0}
    assert len(version["manifest_digest"]) == 64


def test_alerts_are_the_open_ones_unless_all_are_wanted(made: Project, capsys: pytest.CaptureFixture[str]) -> None:
    eventful(made)
    facts.show_alerts(made.path, every=False, as_json=True)
    assert [alert["kind"] for alert in json.loads(capsys.readouterr().out)] == ["drift"]
    facts.show_alerts(made.path, every=True, as_json=False)
    printed = capsys.readouterr().out
    assert "(open)" in printed
    assert "(resolved 2023-11-14T22:14:20Z)" in printed


def test_reports_are_windows_with_a_file(made: Project, capsys: pytest.CaptureFixture[str]) -> None:
    eventful(made)
    facts.show_reports(made.path, as_json=True)
    (report,) = json.loads(capsys.readouterr().out)
    assert report["file"] == str(made.path / ".evenkeel" / "reports" / "1.html")


def test_one_answer_is_explained_to_its_record_label_version_and_promotion(made: Project) -> None:
    _, second = answered(made, 2)
    told = facts.why(made, second)
    record = told["record"]
    assert (record["id"], record["feature_a"], record["prediction"], record["label"]) == (second, 1.0, "yes", "no")
    assert (told["version"]["version"], told["version"]["role"]) == (1, "champion")
    assert (told["promotion"]["actor"], told["promotion"]["reason"]) == ("init", "version 1")


def test_an_explanation_is_printed_as_tables_and_as_json(made: Project, capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = answered(made, 2)
    facts.show_why(made.path, first, as_json=False)
    assert "version 1 (champion)" in capsys.readouterr().out
    facts.show_why(made.path, first, as_json=True)
    assert json.loads(capsys.readouterr().out)["record"]["id"] == first


@pytest.mark.parametrize(
    ("identifier", "words"),
    [("../../x", "not the id of a prediction"), ("01a1f9fd-d888-76d0-a765-2bed0373b2a8", "holds no prediction")],
)
def test_an_unknown_answer_is_refused(made: Project, identifier: str, words: str) -> None:
    with pytest.raises(ProjectInvalid, match=words):
        facts.why(made, identifier)
