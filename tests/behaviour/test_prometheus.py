"""A real Prometheus scrapes the running product: every panel and every rule finds its numbers, and they are the ledger's."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from grafana import build
from tests.behaviour.project import RunningProject, eventually
from tests.behaviour.prometheus import Prometheus, run
from tests.behaviour.test_rules import ALERTS
from tests.unit.evenkeel.tables import table, write

SETTINGS = {
    "EVENKEEL_MONITORING__WINDOW_MINUTES": "0.1",
    "EVENKEEL_MONITORING__MINIMUM_ROWS": "20",
    "EVENKEEL_MONITORING__MINIMUM_LABELS": "20",
    "EVENKEEL_MONITORING__PERSISTENCE": "1",
    "EVENKEEL_FEATURE_LOG__SEAL_SECONDS": "0.3",
    "EVENKEEL_FEATURE_LOG__FOLD_SECONDS": "0.3",
    "EVENKEEL_RETRAIN__MODE": "off",
}
SEEN = ("evenkeel_drift_score", "evenkeel_performance_threshold", 'evenkeel_requests_total{status_class="4xx"} > 0')
"""What Prometheus must hold before the questions begin, at a whole second as the questions ask: a scored window, a
labelled one, a refused request."""
VARIABLES = {
    "$__rate_interval": "10s",
    "$__range": "1m",
    "$project": "evenkeel",
    "$column": ".*",
}
QUERIES = {
    f"{panel['title']} {query['refId']}": query
    for panel in build.dashboard()["panels"]
    for query in panel.get("targets", ())
}
SELECTOR = re.compile(r"(?:evenkeel_\w+|\bup\b)(?:\{[^}]*\})?")


@dataclass(frozen=True)
class Scraped:
    """The product with a judged and labelled window behind it, and the Prometheus that saw it happen."""

    project: RunningProject
    prometheus: Prometheus
    folder: Path

    def replay(self, rows: pd.DataFrame) -> None:
        """Send rows, and their labels a second later."""
        file = write(self.folder, rows, "rows.csv")
        done = self.project.cli("replay", file, "--rate", "60", "--batch", "4", "--label-delay", "1")
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("scraped")
    with RunningProject(folder, SETTINGS) as project, Prometheus(folder, project) as prometheus:
        world = Scraped(project, prometheus, folder)
        world.replay(table(240, seed=1))
        httpx.post(f"{project.service_url}/predict", json={"rows": [{"size": "large"}]})
        for expr in SEEN:
            eventually(partial(prometheus.history, expr), f"Prometheus answers {expr}")
        yield world


@pytest.mark.parametrize("name", QUERIES)
def test_every_panel_has_something_to_show(scraped: Scraped, name: str) -> None:
    query = QUERIES[name]
    found = scraped.prometheus.history(filled(query["expr"]))
    assert any(series.numbers for series in found), query["expr"]
    for label in re.findall(r"{{(\w+)}}", query["legendFormat"]):
        assert all(label in series.labels for series in found)


def test_a_query_without_series_is_seen(scraped: Scraped) -> None:
    assert scraped.prometheus.history("evenkeel_no_such_metric") == []
    assert not any(series.numbers for series in scraped.prometheus.history("evenkeel_workers * NaN"))


def test_the_choices_and_marks_of_the_dashboard_are_answered(scraped: Scraped) -> None:
    _, *choices = build.dashboard()["templating"]["list"]
    for choice in choices:
        selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", choice["query"]["query"]).groups()  # type: ignore[union-attr]
        assert all(label in series.labels for series in scraped.prometheus.history(filled(selector)))
        assert scraped.prometheus.history(filled(selector))
    for mark in build.dashboard()["annotations"]["list"]:
        scraped.prometheus.history(filled(mark["target"]["expr"]))  # nothing was promoted, nothing fires: it is valid


@pytest.mark.parametrize("name", ALERTS)
def test_every_rule_asks_for_series_that_the_product_has(scraped: Scraped, name: str) -> None:
    selectors = SELECTOR.findall(ALERTS[name]["expr"])
    assert selectors
    for selector in selectors:
        assert scraped.prometheus.history(selector), selector


def test_every_rule_is_evaluated_and_none_about_running_fires(scraped: Scraped) -> None:
    def evaluated() -> dict[str, Any]:
        rules = scraped.prometheus.rules()
        return rules if all(rule["health"] != "unknown" for rule in rules.values()) else {}

    rules = eventually(evaluated, "every rule was evaluated", 20)
    assert set(rules) == set(ALERTS)
    assert {rule["health"] for rule in rules.values()} == {"ok"}
    running = {rule["state"] for rule in rules.values() if rule["group"] != "evenkeel-model"}
    assert running == {"inactive"}


@pytest.mark.parametrize("place", ["service", "monitor"])
def test_the_metrics_are_clean(scraped: Scraped, place: str) -> None:
    url = scraped.project.service_url if place == "service" else scraped.project.monitor_url
    done = run("promtool", "check", "metrics", text=httpx.get(f"{url}/metrics").text)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_numbers_are_those_of_the_verdict(scraped: Scraped) -> None:
    def agree() -> bool:
        verdicts = scraped.project.get("/api/verdicts?limit=100", monitor=True)["verdicts"]
        verdict = next(item for item in verdicts if item["scores"])
        scores = {item["column"]: item["score"] for item in verdict["scores"] if item["score"] is not None}
        thresholds = {item["column"]: item["threshold"] for item in verdict["scores"]}
        judged = [item for item in verdicts if item["state"] not in ("no_traffic", "insufficient_data")]
        coverage = next(item["performance"]["coverage"] for item in judged if item["rows"] and item["performance"])
        labelled = next(item["performance"] for item in verdicts if item["performance"] and item["performance"]["rows"])
        return (
            by_column(scraped.prometheus, "evenkeel_drift_score") == scores
            and by_column(scraped.prometheus, "evenkeel_drift_threshold") == thresholds
            and value(scraped.prometheus, "evenkeel_performance_loss") == labelled["metrics"]["loss"]
            and value(scraped.prometheus, "evenkeel_label_coverage_ratio") == coverage
        )

    eventually(agree, "Prometheus and the ledger agree to the last digit", 20)


def test_drift_fires_in_prometheus_and_names_the_columns(scraped: Scraped) -> None:
    """The last test of this file: it changes the world for good."""
    large = table(1200, seed=2).query("size > 150")

    def fires() -> list[str]:
        alerts = [alert for alert in scraped.prometheus.firing() if alert["labels"]["alertname"] == "EvenkeelDrift"]
        return [alert["annotations"]["description"] for alert in alerts if alert["labels"]["severity"] == "ticket"]

    scraped.replay(large)
    eventually(lambda: any("size (" in told for told in fires()), "EvenkeelDrift fires and names the column", 40)


def filled(expr: str) -> str:
    """The query as Grafana sends it."""
    for name, text in VARIABLES.items():
        expr = expr.replace(name, text)
    return expr


def by_column(prometheus: Prometheus, metric: str) -> dict[str, float]:
    return {series.labels["column"]: series.numbers[0] for series in prometheus.query(metric)}


def value(prometheus: Prometheus, metric: str) -> float:
    return prometheus.query(metric)[0].numbers[0]
