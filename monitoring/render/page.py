"""One window's report page: a head of our own, and beneath it what Evidently draws. Half a page is never served.

Texts of rows reach the page as escaped text and as JSON that no parser takes for a script. The only scripts are those
whose digests REPORT_POLICY names; the page carries that policy too, for who opens the file.
"""

import base64
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import jinja2
import structlog

from lifecycle.clock import to_text
from lifecycle.records import Verdict
from monitoring.evidently_adapter import Picture, library
from monitoring.references import Reference
from monitoring.render.drawing import Drawn, NotDrawn, drawable
from monitoring.reports import SCRIPT_DIGESTS, SCRIPTS_POLICY, file_name
from monitoring.rows import Rows

PREPARE = "var global = globalThis"
DRAW = (
    'const {info, graphs} = JSON.parse(document.getElementById("drawn").textContent);'
    'window.drawDashboard(info, new Map(Object.entries(graphs)), "pictures");'
)
log = structlog.get_logger(__name__)


def render(
    verdict: Verdict, reference: Reference, rows: Rows, answered: int, most: int, folder: Path
) -> Picture | None:
    """Write the report of a scored `verdict` into `folder`; returns what it draws, None where nothing can be drawn.

    `rows` are of the window, sampled from `answered`; at most `most` of each side are drawn. A column that cannot be is
    named on the page with the reason. Raises ValueError for a script that the policy does not name.
    """
    drawn, left_out = drawable(verdict, reference, rows, most)
    picture, failed = _picture(drawn, verdict)
    page = _template().render(
        verdict=verdict,
        reference=reference,
        sampled=(min(most, len(rows)), answered),
        sampled_reference=(min(most, len(reference.rows)), len(reference.rows)),
        left_out=[*left_out, *failed],
        policy=SCRIPTS_POLICY,
        **_pictures(picture),
    )
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / file_name(verdict.start)
    working = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        working.write_text(page, encoding="utf-8", errors="replace")
        working.rename(target)
    finally:
        working.unlink(missing_ok=True)
    return picture


def digest(script: str) -> str:
    """A script's source expression in a content security policy."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"


def _picture(drawn: Sequence[Drawn], verdict: Verdict) -> tuple[Picture | None, list[NotDrawn]]:
    """All together; if that fails, without those that cannot be drawn even alone."""
    if not drawn:
        return None, []
    try:
        return Picture(drawn, verdict), []
    except Exception as error:  # noqa: BLE001 - whatever Evidently raises over one column must not cost the report
        log.warning("columns_not_drawn_together", columns=len(drawn), error=type(error).__name__)
        if len(drawn) == 1:
            return None, [NotDrawn(drawn[0].score.column, f"cannot be drawn: {error}")]
    alone = [(item, _picture([item], verdict)) for item in drawn]
    good = [item for item, (picture, _) in alone if picture is not None]
    failed = [reason for _, (_, reasons) in alone for reason in reasons]
    if not failed:
        return None, [NotDrawn(item.score.column, "cannot be drawn together with the others") for item in drawn]
    picture, more = _picture(good, verdict)
    return picture, failed + more


def _pictures(picture: Picture | None) -> dict[str, str]:
    if picture is None:
        return {"content": ""}
    script, font = library()
    scripts = {"prepare": PREPARE, "library": script, "draw": DRAW}
    for name, text in scripts.items():
        if digest(text) not in SCRIPT_DIGESTS:
            raise ValueError(
                f"the script {name!r} is not one that the policy of reports names; the page is not published"
            )
    return {"content": picture.content(), "font": base64.b64encode(font).decode(), **scripts}


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("monitoring.render", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["moment"] = to_text
    environment.filters["number"] = "{:.4g}".format
    return environment.get_template("page.html")
