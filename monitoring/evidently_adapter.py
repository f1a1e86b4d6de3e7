"""The only file that knows Evidently: scores of single columns, and pictures of columns with the verdict's own numbers.

Importing Evidently takes seconds and much memory, so it happens at the first call, and with its telemetry off.
"""

import difflib
import json
import math
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import numpy as np
import pandas as pd

from lifecycle.clock import MICROSECONDS, to_text
from lifecycle.records import ColumnScore, Verdict
from monitoring.drift import methods
from monitoring.drift.series import P_VALUES
from monitoring.render.drawing import Drawn
from monitoring.render.plain import plain
from monitoring.rows import Categories, Numbers, Values

OURS_PREFIX = "evenkeel_"
"""How our methods are called in Evidently's registry, such as `evenkeel_ks`."""
DEFAULT_THRESHOLD = 0.1
Column: TypeAlias = "pd.Series[Any]"
StatTestFunction: TypeAlias = Callable[[Column, Column, Any, float], tuple[float, bool]]


class _Evidently(NamedTuple):
    """The parts of Evidently in use."""

    registry: Any
    stat_tests: Any
    column_type: Any
    report: Any
    dataset: Any
    definition: Any
    drift_preset: Any
    group_widget: Any
    dashboard_info: Any
    dashboard: Any


@cache
def _evidently() -> _Evidently:
    os.environ["DO_NOT_TRACK"] = "1"
    from evidently import DataDefinition, Dataset, Report
    from evidently.legacy.calculations import stattests
    from evidently.legacy.core import ColumnType
    from evidently.legacy.model.dashboard import DashboardInfo
    from evidently.legacy.renderers.html_widgets import group_widget
    from evidently.legacy.utils import dashboard
    from evidently.presets import DataDriftPreset

    found = _Evidently(
        stattests.registry,
        stattests,
        ColumnType,
        Report,
        Dataset,
        DataDefinition,
        DataDriftPreset,
        group_widget,
        DashboardInfo,
        dashboard,
    )
    for method, known in methods.METHODS.items():
        kinds = [ColumnType.Numerical, *([ColumnType.Categorical] if known.categories else [])]
        _register(found, OURS_PREFIX + method, f"{method} (Evenkeel)", kinds, _ours(method, ColumnType.Numerical))
    return found


def register_methods() -> None:
    """Put our methods into Evidently's registry, so that a report of your own can name them: `evenkeel_ks` and the others."""
    _evidently()


class EvidentlyScorer:
    """Drift scores by any stat test of Evidently's registry."""

    def score(self, reference: Column, current: Column, method: str) -> float:
        """The stat test's answer on float64 numbers or on text; where it is a p-value (see P_VALUES), 1 - p: more is further apart.

        Raises ValueError in words for a test that is not known or not for such a column, when a side is empty, and when the
        answer is not a number. (`mannw` is one-sided: it sees numbers grow.)
        """
        if reference.empty or current.empty:
            raise ValueError(f"has no values in the {'reference' if reference.empty else 'current'} window")
        library = _evidently()
        kinds = library.column_type
        kind = kinds.Numerical if pd.api.types.is_numeric_dtype(reference) else kinds.Categorical
        test = _stat_test(library, method, kind)
        answer = float(test(reference, current, kind, None).drift_score)
        if not math.isfinite(answer):
            raise ValueError(f"gives no finite {method} score")
        return 1 - answer if method in P_VALUES else answer


class Picture:
    """Evidently's drift report of drawn columns, in which every score and threshold is the verdict's own."""

    def __init__(self, drawn: Sequence[Drawn], verdict: Verdict) -> None:
        """Draws them. Whatever Evidently raises over one of them is raised."""
        self._library = _evidently()
        names = [item.name for item in drawn]
        numbers = [item.name for item in drawn if item.is_numeric]
        texts = [item.name for item in drawn if not item.is_numeric]
        definition = self._library.definition(numerical_columns=numbers, categorical_columns=texts)
        preset = self._library.drift_preset(
            columns=names,
            drift_share=1 / len(names),  # its headline says whether any column is over its threshold
            per_column_method={item.name: self._told(place, item.score) for place, item in enumerate(drawn)},
            per_column_threshold={item.name: item.score.threshold for item in drawn},
        )
        sides = [{item.name: item.current for item in drawn}, {item.name: item.reference for item in drawn}]
        self._snapshot = self._library.report([preset]).run(
            *(self._library.dataset.from_pandas(pd.DataFrame(side), definition) for side in sides),
            timestamp=datetime.fromtimestamp(verdict.end / MICROSECONDS, UTC).replace(tzinfo=None),
            metadata={"verdict": verdict.state, "version": str(verdict.version), "reference": verdict.reference or ""},
            name=f"window {to_text(verdict.start)}",
        )

    @property
    def numbers(self) -> dict[str, tuple[float, float]]:
        """The score and the threshold that each column is shown with, by the name it is drawn under."""
        shown = [(metric["config"], metric["value"]) for metric in self._snapshot.dict()["metrics"]]
        return {
            config["column"]: (float(value), float(config["threshold"]))
            for config, value in shown
            if "column" in config
        }

    def content(self) -> str:
        """What the page's script draws, as JSON that holds no `<`; numbers that are none are null."""
        group = self._library.group_widget(title="", widgets=self._snapshot.to_snapshot_model().widgets)
        dashboard = self._library.dashboard
        graphs = {
            graph.id: graph.dict() if hasattr(graph, "widgets") else graph.params
            for graph in group.get_additional_graphs()
        }
        info = dashboard.dashboard_info_to_json(self._library.dashboard_info(name="Report", widgets=[group]))
        whole = f'{{"info": {info}, "graphs": {json.dumps(graphs, cls=dashboard.NumpyEncoder)}}}'
        strict = json.dumps(json.loads(whole, parse_constant=lambda _: None), allow_nan=False)
        return strict.replace("<", "\\u003c")

    def keep(self, workspace: Path, project: str, identifier: UUID) -> None:
        """Add it to the `project` of an Evidently workspace, which is made if it is not there; one of the same identifier goes."""
        from evidently.ui.workspace import Workspace

        opened = Workspace.create(str(workspace))
        found = opened.search_project(project) or [opened.create_project(project)]
        opened.state.write_snapshot(found[0].id, identifier, self._snapshot.to_snapshot_model())

    def _told(self, place: int, score: ColumnScore) -> str:
        """Registers a stat test that answers what the verdict says of one column; returns its name."""
        name, kinds = f"{OURS_PREFIX}verdict_{place}", self._library.column_type
        assert score.score is not None, "only what has a score is drawn"
        answer = score.score, score.drifted
        _register(self._library, name, plain(score.method), list(kinds), lambda *_: answer)
        return name


def library() -> tuple[str, bytes]:
    """The script that draws pictures, and the font of its icons (WOFF2)."""
    folder = Path(_evidently().dashboard.STATIC_PATH)
    return (folder / "index.js").read_text(encoding="utf-8"), (folder / "material-ui-icons.woff2").read_bytes()


def _register(library: _Evidently, name: str, displayed: str, kinds: Sequence[Any], answer: StatTestFunction) -> None:
    test = library.registry.StatTest(name, displayed, list(kinds), DEFAULT_THRESHOLD)
    library.registry.register_stattest(test, default_impl=answer)


def _ours(method: str, numerical: Any) -> StatTestFunction:
    def answer(reference: Column, current: Column, kind: Any, threshold: float) -> tuple[float, bool]:
        before, now = (_values(side, is_numeric=kind == numerical) for side in (reference, current))
        found = methods.score(method, before, now)
        return found, found > threshold

    return answer


def _values(column: Column, *, is_numeric: bool) -> Values:
    if is_numeric:
        return Numbers(column.to_numpy(np.float64, na_value=np.nan))
    present = zip(column.notna(), column, strict=True)
    return Categories.of(str(value) if is_there else None for is_there, value in present)


def _stat_test(library: _Evidently, method: str, kind: Any) -> Any:
    """Raises ValueError in words when there is none of this name, or not for such a column."""
    try:
        return library.registry.get_stattest(None, None, kind, method)
    except library.registry.StatTestNotFoundError as error:
        tests = (value for value in vars(library.stat_tests).values() if isinstance(value, library.registry.StatTest))
        known = sorted({test.name for test in tests})
        near = difflib.get_close_matches(method, known)
        raise ValueError(
            f"cannot be scored by {method!r}: Evidently knows no such stat test; did you mean {' or '.join(near or known)}?"
        ) from error
    except library.registry.StatTestInvalidFeatureTypeError as error:
        holds = "numbers" if kind == library.column_type.Numerical else "categories"
        raise ValueError(f"holds {holds}, and Evidently's {method!r} is not for these") from error
