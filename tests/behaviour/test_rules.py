"""The files for Prometheus, Alertmanager and Grafana are valid, explained, in step, and every rule is proven to fire."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana import build
from tests.behaviour.prometheus import CONFIGURATION, GRAFANA, RULES, run

OPERATIONS = GRAFANA.parent / "docs" / "operations.md"
RULES_TEST = RULES.with_name("rules_test.yml")
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}


def test_the_configuration_of_prometheus_is_valid() -> None:
    done = run("promtool", "check", "config", CONFIGURATION)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


def test_the_configuration_of_alertmanager_is_valid() -> None:
    done = run("amtool", "check-config", GRAFANA / "alertmanager" / "alertmanager.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("labels", "receiver"), [("severity=page", "page"), ("severity=ticket", "ticket"), ("severity=other", "ticket")]
)
def test_alerts_are_routed_by_severity(labels: str, receiver: str) -> None:
    file = GRAFANA / "alertmanager" / "alertmanager.yml"
    done = run("amtool", "config", "routes", "test", f"--config.file={file}", labels)
    assert done.stdout.strip() == receiver, done.stderr


def test_what_alertmanager_silences_are_rules_there_are() -> None:
    settings = yaml.safe_load((GRAFANA / "alertmanager" / "alertmanager.yml").read_text())
    named = re.findall(r"Evenkeel\w+", str(settings["inhibit_rules"]))
    assert named
    assert set(named) <= set(ALERTS)


def test_every_rule_fires_when_it_should_and_not_before() -> None:
    done = run("promtool", "test", "rules", RULES_TEST)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_test_sees_every_rule_that_never_fires(tmp_path: Path) -> None:
    seen = complaints(tmp_path, lambda expr: f"({expr}) and vector(0) > 1")
    assert {name for name in ALERTS if f"alertname: {name}," in seen} == set(ALERTS)


def test_the_rules_test_sees_every_rule_that_always_fires(tmp_path: Path) -> None:
    seen = complaints(tmp_path, lambda expr: re.sub(r"[=!<>]+[^=!<>]*$", ">= -Inf", expr.strip()))
    well = next(line for line in seen.splitlines() if "ALERTS" in line)
    got = well + seen.partition(well)[2].partition("FAILED")[0]
    assert {name for name in ALERTS if f'alertname="{name}"' in got} == set(ALERTS)


def complaints(folder: Path, change: Callable[[str], str]) -> str:
    """What the rules test says once the expression of every rule is changed."""
    settings: Any = yaml.safe_load(RULES.read_text())
    for group in settings["groups"]:
        for rule in group["rules"]:
            rule["expr"] = change(rule["expr"])
            rule["for"] = "0s"
    (folder / RULES.name).write_text(yaml.safe_dump(settings))
    shutil.copy(RULES_TEST, folder)
    checked = run("promtool", "check", "rules", folder / RULES.name)
    assert checked.returncode == 0, checked.stderr
    done = run("promtool", "test", "rules", folder / RULES_TEST.name)
    assert done.returncode != 0
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_every_rule_tells_a_person_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
    section = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", OPERATIONS.read_text(), re.MULTILINE | re.DOTALL)
    assert section, f"docs/operations.md has no section {name}"
    assert "**Do:**" in section[1]


def test_the_runbook_has_no_section_for_a_rule_that_is_gone() -> None:
    assert re.findall(r"^### (Evenkeel\w+)$", OPERATIONS.read_text(), re.MULTILINE) == list(ALERTS)


def test_the_dashboard_is_what_its_program_writes(tmp_path: Path) -> None:
    assert build.OUTPUT.read_text() == build.text(), "run `python grafana/build.py`"
    shutil.copy(GRAFANA / "build.py", tmp_path)
    (tmp_path / "dashboards").mkdir()
    subprocess.run([sys.executable, str(tmp_path / "build.py")], check=True, timeout=30)
    assert (tmp_path / "dashboards" / build.OUTPUT.name).read_text() == build.text()


def test_no_panel_covers_another_and_each_explains_itself() -> None:
    panels = build.dashboard()["panels"]
    taken = [cell for panel in panels for cell in cells(panel["gridPos"])]
    assert len(taken) == len(set(taken))
    assert all(0 <= x < build.WIDTH for x, _ in taken)
    assert all(before["id"] < after["id"] for before, after in pairwise(panels))
    assert all(panel["description"].endswith(".") for panel in panels if panel["type"] != "row")


def cells(place: dict[str, int]) -> list[tuple[int, int]]:
    columns = range(place["x"], place["x"] + place["w"])
    return [(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])]


def test_grafana_is_given_the_source_that_the_dashboard_asks_for() -> None:
    given = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "evenkeel.yaml").read_text())["datasources"]
    asked = build.dashboard()["templating"]["list"][0]["current"]["value"]
    assert asked in [source["uid"] for source in given]
