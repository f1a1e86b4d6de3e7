"""Writes grafana/dashboards/evenkeel.json: every panel, what it asks Prometheus for, and how it is drawn.

The same program writes the same file; a test keeps the two in step. After a change, run `python grafana/build.py`.
"""  # noqa: INP001 - a stand-alone program beside what it writes

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parent / "dashboards" / "evenkeel.json"
SCHEMA_VERSION = 41  # Grafana 12.0
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
P = 'project=~"$project"'
C = f'{P},column=~"$column"'
ANSWERED = f'{P},protocol!="other"'

# Okabe and Ito's palette, told apart with every kind of colour vision.
BLUE, SKY, GREEN, YELLOW = "#0072B2", "#56B4E9", "#009E73", "#F0E442"
ORANGE, VERMILION, PURPLE, GREY = "#E69F00", "#D55E00", "#CC79A7", "#8E8E8E"
STATES = {
    "ok": GREEN,
    "warning": YELLOW,
    "drift": ORANGE,
    "performance": VERMILION,
    "data_quality": PURPLE,
    "insufficient_data": SKY,
    "no_traffic": GREY,
}
Json = dict[str, Any]


def target(expr: str, legend: str = "", **more: Any) -> Json:
    """A range query; `instant=True, range=False` asks for the newest values only."""
    return {"datasource": SOURCE, "expr": expr, "legendFormat": legend or "__auto", "range": True} | more


def latest(expr: str, legend: str = "", **more: Any) -> Json:
    return target(expr, legend, range=False, instant=True, **more)


def per_second(by: str, counter: str) -> str:
    """The rate of a counter, added up but for the label `by`, if one is named."""
    grouping = f" by ({by}) " if by else ""
    return f"sum{grouping}(rate({counter}[$__rate_interval]))"


def color(name: str, fixed: str, **custom: Any) -> Json:
    """How the series of that name is drawn."""
    properties = [{"id": "color", "value": {"mode": "fixed", "fixedColor": fixed}}]
    properties += [{"id": f"custom.{key}", "value": value} for key, value in custom.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def dashed(name: str, fixed: str) -> Json:
    return color(name, fixed, lineStyle={"fill": "dash", "dash": [10, 6]}, fillOpacity=0)


def steps(*pairs: tuple[float | None, str]) -> Json:
    return {"mode": "absolute", "steps": [{"value": value, "color": shade} for value, shade in pairs]}


def panel(
    kind: str,
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    size: tuple[int, int] = (8, 8),
    unit: str = "short",
    options: Mapping[str, Any] | None = None,
    custom: Mapping[str, Any] | None = None,
    overrides: Iterable[Json] = (),
    **defaults: Any,
) -> Json:
    """A panel without a place; `layout` gives it one."""
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"w": size[0], "h": size[1]},
        "targets": [query | {"refId": chr(ord("A") + index)} for index, query in enumerate(targets)],
        "fieldConfig": {
            "defaults": {"unit": unit, "custom": dict(custom or {}), **defaults},
            "overrides": list(overrides),
        },
        "options": dict(options or {}),
    }


def graph(title: str, description: str, *targets: Json, line: Json | None = None, **more: Any) -> Json:
    """Lines over time, with the newest value in the legend; `line` draws thresholds across."""
    custom: Json = {"lineWidth": 2, "fillOpacity": 8, "showPoints": "never", "spanNulls": False}
    custom |= more.pop("custom", {})
    if line:
        more["thresholds"] = line
        custom["thresholdsStyle"] = {"mode": "dashed"}
    options = {
        "legend": {"showLegend": True, "displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    more.setdefault("color", {"mode": "palette-classic-by-name"})
    return panel("timeseries", title, description, targets, custom=custom, options=options, **more)


def number(title: str, description: str, *targets: Json, text: str = "value", **more: Any) -> Json:
    """One big number per series."""
    options = {
        "textMode": text,
        "colorMode": "background_solid" if text == "name" else "value",
        "graphMode": "none",
        "justifyMode": "center",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    more.setdefault("size", (3, 4))
    more.setdefault("thresholds", steps((None, BLUE)))
    more.setdefault("color", {"mode": "thresholds"})
    return panel("stat", title, description, targets, options=options, **more)


def overview() -> list[Json]:
    tolerated = steps((None, GREEN), (1, VERMILION))
    return [
        number(
            "Verdict",
            "The monitor's judgement of the last closed window.",
            latest(f"evenkeel_verdict{{{P}}} == 1", "{{state}}"),
            text="name",
            overrides=[color(name, shade) for name, shade in STATES.items()],
        ),
        number("Champion", "The version the pointer names.", latest(f"evenkeel_champion_version{{{P}}}"), unit="none"),
        number(
            "Alerts open",
            "Conditions that hold now.",
            latest(f"sum(evenkeel_alerts_open{{{P}}})"),
            thresholds=tolerated,
        ),
        number(
            "Columns drifting",
            "Share of columns over their threshold in the last scored window.",
            latest(f"evenkeel_drift_share{{{P}}}"),
            unit="percentunit",
        ),
        number(
            "Requests failed",
            "Share of predictions and feedback answered with a 5xx status over the time shown.",
            latest(
                f'sum(increase(evenkeel_requests_total{{{ANSWERED},status_class="5xx"}}[$__range]))'
                f" / sum(increase(evenkeel_requests_total{{{ANSWERED}}}[$__range]))"
            ),
            unit="percentunit",
            thresholds=steps((None, GREEN), (0.01, VERMILION)),
        ),
        number(
            "Workers",
            "Serving processes that reported themselves lately.",
            latest(f"evenkeel_workers{{{P}}}"),
            thresholds=steps((None, VERMILION), (1, GREEN)),
        ),
        number(
            "Last window ended",
            "Time since the last closed window's end, in the most that a window lasts; above 2 the monitor is late.",
            latest(f"(time() - evenkeel_window_end_timestamp_seconds{{{P}}}) / evenkeel_window_seconds{{{P}}}"),
            decimals=1,
            thresholds=steps((None, GREEN), (2, VERMILION)),
        ),
        number(
            "Processes up",
            "Whether Prometheus could scrape service and monitor.",
            latest(f'up{{job=~"evenkeel-.*",{P}}}', "{{job}}"),
            text="value_and_name",
            mappings=[
                {
                    "type": "value",
                    "options": {
                        "0": {"text": "down", "color": VERMILION, "index": 0},
                        "1": {"text": "up", "color": GREEN, "index": 1},
                    },
                }
            ],
        ),
    ]


def verdicts() -> list[Json]:
    shown = {"0": {"text": " ", "color": "transparent", "index": 0}, "1": {"text": "●", "index": 1}}
    timeline = panel(
        "state-timeline",
        "Verdict of the last window",
        "One row for each verdict there is; the coloured one held. Position tells them apart as well as colour.",
        [target(f"max by (state) (evenkeel_verdict{{{P}}})", "{{state}}")],
        size=(16, 8),
        custom={"fillOpacity": 85, "lineWidth": 0},
        options={
            "showValue": "never",
            "mergeValues": True,
            "rowHeight": 0.85,
            "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
        },
        mappings=[{"type": "value", "options": shown}],
        overrides=[color(name, shade) for name, shade in STATES.items()],
    )
    rows = graph(
        "Rows in the window",
        "Rows the last closed window was judged by; too few give no verdict on drift.",
        target(f"evenkeel_window_rows{{{P}}}", "rows"),
        min=0,
        custom={"lineInterpolation": "stepAfter"},
        overrides=[color("rows", BLUE)],
    )
    return [timeline, rows]


def drift() -> list[Json]:
    share = graph(
        "Columns over their threshold",
        "Share of columns over their threshold. A column that stays over it for `persistence` windows makes a verdict of it.",
        target(f"evenkeel_drift_share{{{P}}}", "share"),
        unit="percentunit",
        min=0,
        max=1,
        custom={"lineInterpolation": "stepAfter"},
        overrides=[color("share", ORANGE)],
    )
    relative = graph(
        "Drift score, in thresholds",
        "Each chosen column's score divided by its own threshold: above the line at 1, the column drifts.",
        target(f"evenkeel_drift_score{{{C}}} / evenkeel_drift_threshold{{{C}}}", "{{column}}"),
        size=(16, 10),
        min=0,
        line=steps((None, "transparent"), (1, VERMILION)),
        custom={"lineInterpolation": "stepAfter", "fillOpacity": 0},
    )
    table = panel(
        "table",
        "Columns now",
        "Score and threshold of each chosen column in the last scored window, the most drifted first.",
        [
            latest(f"evenkeel_drift_score{{{C}}}", format="table"),
            latest(f"evenkeel_drift_threshold{{{C}}}", format="table"),
            latest(f"evenkeel_drift_score{{{C}}} / evenkeel_drift_threshold{{{C}}}", format="table"),
        ],
        size=(8, 10),
        decimals=3,
        options={"showHeader": True, "sortBy": [{"displayName": "in thresholds", "desc": True}]},
        overrides=[
            {
                "matcher": {"id": "byName", "options": "in thresholds"},
                "properties": [
                    {"id": "custom.cellOptions", "value": {"type": "color-text"}},
                    {"id": "thresholds", "value": steps((None, "text"), (1, VERMILION))},
                ],
            }
        ],
    )
    table["transformations"] = [
        {"id": "joinByField", "options": {"byField": "column", "mode": "outer"}},
        {"id": "filterFieldsByName", "options": {"include": {"pattern": "^(column|Value #.)$"}}},
        {
            "id": "organize",
            "options": {"renameByName": {"Value #A": "score", "Value #B": "threshold", "Value #C": "in thresholds"}},
        },
    ]
    raw = graph(
        "Score against threshold",
        "Scores (lines) and thresholds (dashes) of the chosen columns in the score's own unit: choose one or two above.",
        target(f"evenkeel_drift_score{{{C}}}", "{{column}}"),
        target(f"evenkeel_drift_threshold{{{C}}}", "{{column}} threshold"),
        size=(16, 8),
        min=0,
        custom={"lineInterpolation": "stepAfter", "fillOpacity": 0},
        overrides=[
            {
                "matcher": {"id": "byRegexp", "options": "/ threshold$/"},
                "properties": [{"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [10, 6]}}],
            }
        ],
    )
    return [relative, table, raw, share]


def performance() -> list[Json]:
    return [
        graph(
            "Performance loss",
            "Mean loss of the newest labelled window, the largest that is tolerated, and the champion's on its hold-out.",
            target(f"evenkeel_performance_loss{{{P}}}", "loss"),
            target(f"evenkeel_performance_threshold{{{P}}}", "threshold"),
            target(f"evenkeel_performance_reference_loss{{{P}}}", "hold-out"),
            size=(12, 8),
            min=0,
            custom={"lineInterpolation": "stepAfter"},
            overrides=[color("loss", BLUE), dashed("threshold", VERMILION), dashed("hold-out", GREY)],
        ),
        graph(
            "Label coverage",
            "Share of the newest judged window's rows whose label has arrived.",
            target(f"evenkeel_label_coverage_ratio{{{P}}}", "coverage"),
            size=(6, 8),
            unit="percentunit",
            min=0,
            max=1,
            overrides=[color("coverage", GREEN)],
        ),
        graph(
            "Labels",
            "Labels received by feedback, per second.",
            target(per_second("outcome", f"evenkeel_labels_total{{{P}}}"), "{{outcome}}"),
            size=(6, 8),
            min=0,
            overrides=[color("accepted", GREEN), color("rejected", VERMILION)],
        ),
    ]


def traffic() -> list[Json]:
    quantiles = {"p50": ("0.5", SKY), "p95": ("0.95", BLUE), "p99": ("0.99", VERMILION)}
    buckets = per_second("le", f'evenkeel_request_seconds_bucket{{{P},protocol="native"}}')
    requests = f"evenkeel_requests_total{{{ANSWERED}}}"
    unwell = f'evenkeel_requests_total{{{ANSWERED},status_class!="2xx"}}'
    return [
        graph(
            "Requests",
            "Predictions and feedback answered per second, by class of status. Probes and scrapes are left out.",
            target(per_second("status_class", requests), "{{status_class}}"),
            unit="reqps",
            min=0,
            overrides=[color("2xx", GREEN), color("4xx", ORANGE), color("5xx", VERMILION)],
        ),
        graph(
            "Errors",
            "Share of predictions and feedback refused (4xx) or failed (5xx); of failures, 1 % raises an alert.",
            target(
                f"{per_second('status_class', unwell)} / on () group_left () {per_second('', requests)}",
                "{{status_class}}",
            ),
            unit="percentunit",
            min=0,
            line=steps((None, "transparent"), (0.01, VERMILION)),
            overrides=[color("4xx", ORANGE), color("5xx", VERMILION)],
        ),
        graph(
            "Latency of predictions",
            "Time from request to answer within the service: the median, and what 5 % and 1 % of requests exceed.",
            *[target(f"histogram_quantile({rank}, {buckets})", name) for name, (rank, _) in quantiles.items()],
            unit="s",
            min=0,
            overrides=[color(name, shade) for name, (_, shade) in quantiles.items()],
        ),
        graph(
            "Rows answered, by version",
            "Rows per second, by the version that answered them.",
            target(per_second("version", f"evenkeel_predictions_total{{{P}}}"), "version {{version}}"),
            min=0,
            custom={"stacking": {"mode": "normal", "group": "A"}, "fillOpacity": 30},
        ),
        graph(
            "Rows refused",
            "Rows per second that break the contract; their requests were answered with 422.",
            target(per_second("", f"evenkeel_rejected_rows_total{{{P}}}"), "refused"),
            min=0,
            overrides=[color("refused", ORANGE)],
        ),
        graph(
            "Version served",
            "The champion, and the lowest and highest version any worker serves. They part only during a swap.",
            target(f"evenkeel_champion_version{{{P}}}", "champion"),
            target(f"evenkeel_served_version_highest{{{P}}}", "highest served"),
            target(f"evenkeel_served_version_lowest{{{P}}}", "lowest served"),
            unit="none",
            decimals=0,
            custom={"lineInterpolation": "stepAfter", "fillOpacity": 0},
            overrides=[dashed("champion", GREY), color("highest served", BLUE), color("lowest served", ORANGE)],
        ),
    ]


def loop() -> list[Json]:
    return [
        graph(
            "Retrain runs",
            "Runs ended so far, by outcome, and whether one is under way.",
            target(f"evenkeel_retrain_runs_total{{{P}}}", "{{state}}"),
            target(f"evenkeel_retrain_running{{{P}}}", "running"),
            min=0,
            decimals=0,
            custom={"lineInterpolation": "stepAfter"},
            overrides=[
                color("promoted", GREEN),
                color("refused", ORANGE),
                color("failed", VERMILION),
                color("running", SKY),
            ],
        ),
        graph(
            "Alerts open, by kind",
            "Each kind is open at most once.",
            target(f"max by (kind) (evenkeel_alerts_open{{{P}}})", "{{kind}}"),
            min=0,
            decimals=0,
            custom={"lineInterpolation": "stepAfter", "stacking": {"mode": "normal", "group": "A"}, "fillOpacity": 40},
        ),
        graph(
            "Alert deliveries",
            "Deliveries still to be made, and those given up.",
            target(f"evenkeel_outbox_pending{{{P}}}", "pending"),
            target(f"evenkeel_outbox_dead{{{P}}}", "given up"),
            min=0,
            decimals=0,
            overrides=[color("pending", SKY), color("given up", VERMILION)],
        ),
    ]


def feature_log() -> list[Json]:
    return [
        graph(
            "Lag",
            "Age of the newest moment that is wholly in the table; an alert is raised above a minute.",
            target(f"evenkeel_log_lag_seconds{{{P}}}", "lag"),
            size=(6, 8),
            unit="s",
            min=0,
            line=steps((None, "transparent"), (60, VERMILION)),
            overrides=[color("lag", BLUE)],
        ),
        graph(
            "Backlog",
            "Bytes in segments that are not folded yet.",
            target(f"evenkeel_log_pending_bytes{{{P}}}", "bytes"),
            size=(6, 8),
            unit="bytes",
            min=0,
            overrides=[color("bytes", BLUE)],
        ),
        graph(
            "Rows recorded",
            "Rows per second appended to the feature log, and rows that were answered but could not be recorded.",
            target(per_second("outcome", f"evenkeel_log_rows_total{{{P}}}"), "{{outcome}}"),
            size=(6, 8),
            min=0,
            overrides=[color("appended", GREEN), color("dropped", VERMILION)],
        ),
        graph(
            "Segments",
            "Segments waiting to be folded, and segments put aside because records in them are damaged.",
            target(f"evenkeel_log_pending_segments{{{P}}}", "pending"),
            target(f"evenkeel_log_quarantined_segments{{{P}}}", "quarantined"),
            size=(6, 8),
            min=0,
            decimals=0,
            overrides=[color("pending", SKY), color("quarantined", VERMILION)],
        ),
    ]


ROWS = {
    "Now": overview,
    "Verdicts": verdicts,
    "Drift": drift,
    "Performance": performance,
    "Traffic": traffic,
    "The loop": loop,
    "Feature log": feature_log,
}


def layout() -> list[Json]:
    """All panels, row after row, left to right; every one gets an id and a place."""
    placed: list[Json] = []
    y = 0
    for title, make in ROWS.items():
        placed.append(
            {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": grid(0, y, WIDTH, 1)}
        )
        x, y, height = 0, y + 1, 0
        for item in make():
            wide, high = item["gridPos"]["w"], item["gridPos"]["h"]
            if x + wide > WIDTH:
                x, y, height = 0, y + height, 0
            item["gridPos"] = grid(x, y, wide, high)
            x, height = x + wide, max(height, high)
            placed.append(item)
        y += height
    return [item | {"id": index} for index, item in enumerate(placed, 1)]


def grid(x: int, y: int, wide: int, high: int) -> Json:
    return {"x": x, "y": y, "w": wide, "h": high}


def choice(name: str, label: str, query: str) -> Json:
    """A variable with the values of a label."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
    }


def annotation(name: str, expr: str, shade: str, title: str) -> Json:
    query = {"refId": "Anno", "expr": expr, "interval": "30s"}
    return {
        "name": name,
        "datasource": SOURCE,
        "enable": True,
        "iconColor": shade,
        "target": query,
        "titleFormat": title,
    }


def dashboard() -> Json:
    source = {
        "name": "datasource",
        "label": "Source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": "prometheus"},
    }
    several = {"multi": True, "includeAll": True, "allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}}
    return {
        "uid": "evenkeel",
        "title": "Evenkeel",
        "description": "One model in production: its answers, the monitor's verdicts, and what the loop did about them.",
        "tags": ["evenkeel"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                source,
                choice("project", "Project", "label_values(evenkeel_champion_generation, project)"),
                choice("column", "Column", f"label_values(evenkeel_drift_threshold{{{P}}}, column)") | several,
            ]
        },
        "annotations": {
            "list": [
                annotation(
                    "Promotions", f"changes(evenkeel_champion_generation{{{P}}}[1m]) > 0", GREEN, "Champion moved"
                ),
                annotation(
                    "Alerts",
                    f'ALERTS{{alertname=~"Evenkeel.*",alertstate="firing",{P}}}',
                    VERMILION,
                    "{{alertname}}",
                ),
            ]
        },
        "panels": layout(),
    }


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(text(), encoding="utf-8")
