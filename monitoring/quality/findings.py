"""Every finding of a window: column by column, then on whole rows, then on when they came.

Only what ordinary drift does not do counts, and only what chance does not do: a window that is drawn as the reference was
has no finding. A season, growth or a moved sensor stays drift. Nothing that a window holds makes this raise.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import structlog

from lifecycle.config import MonitoringSection
from lifecycle.records import Finding
from monitoring.quality import categories, missing, numbers, repeats, runs, timing, units
from monitoring.quality.pairs import Pair, WindowFacts, finding
from monitoring.references import Reference
from monitoring.rows import Numbers, Rows, Scored

log = structlog.get_logger(__name__)


def findings(reference: Reference, rows: Rows, window: WindowFacts, settings: MonitoringSection) -> tuple[Finding, ...]:
    """What is wrong with `rows`, one version's of `window`; empty when nothing is. The prediction is an answer, not an input."""
    features = [scored for scored in reference.columns if scored.about == "feature"]
    if not len(rows):
        return ()
    found: list[Finding] = []
    with np.errstate(all="ignore"):
        for scored in features:
            found += _guarded(scored.name, partial(_of_column, reference, rows, scored, settings))
        names = [scored.name for scored in features if scored.name in rows.columns]
        found += _guarded(None, partial(repeats.repeated, reference.rows, rows, names))
        found += _guarded(None, partial(timing.gap, reference.rows, rows, window, settings.sample_rows))
        found += _guarded(None, partial(timing.jump, window))
    return tuple(found)


def _guarded(column: str | None, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """What `check` finds, up to where it fails: one column must not hide the others."""
    found: list[Finding] = []
    try:
        found.extend(check())
    except Exception as error:  # noqa: BLE001 - a window can hold anything; what could not be checked is said, and logged
        log.warning("quality_not_checked", column=column, error=type(error).__name__)
        what = "could not be checked" if column else "rows could not be checked as a whole"
        found.append(finding(column, "unchecked", f"{what} ({type(error).__name__})"))
    return found


def _of_column(reference: Reference, rows: Rows, scored: Scored, settings: MonitoringSection) -> Iterator[Finding]:
    if scored.name not in rows.columns:
        yield finding(scored.name, "missing_column", f"no row has this column, and {reference.words} have it")
        return
    pair = Pair(
        next(column for column in reference.contract.columns if column.name == scored.name),
        reference.against(scored),
        rows.columns[scored.name],
        reference.side(scored),
        rows,
        reference.in_time_order,
        scored.name in reference.contract.segments,
    )
    if isinstance(pair.now, Numbers) != isinstance(pair.before, Numbers):
        held, asked = ("numbers", "text") if isinstance(pair.now, Numbers) else ("text", "numbers")
        yield pair.finding("type_change", f"the rows hold {held}, where the reference holds {asked}")
        return
    yield from _checks(pair, settings)


def _checks(pair: Pair, settings: MonitoringSection) -> Iterator[Finding]:
    yield from missing.missing(pair, settings.null_surge)
    yield from missing.infinite(pair, settings.null_surge)
    yield from runs.constant_moved(pair)
    yield from runs.frozen(pair)
    yield from units.unit_change(pair) or numbers.out_of_range(pair, settings.novelty_surge)
    yield from categories.unseen(pair, settings.novelty_surge)
