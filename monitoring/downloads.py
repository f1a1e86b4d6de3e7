"""Verdicts and scores as CSV (RFC 4180) for spreadsheets: numbers stay exact numbers, and no text is a live formula."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from lifecycle.clock import to_text
from lifecycle.records import Verdict

Cell: TypeAlias = str | int | float | None
CSV_TYPE = "text/csv; charset=utf-8; header=present"
_LIVE = re.compile(
    r"(^|[;\t\r\n])"  # where a cell begins, also for a program that takes these for the ends of cells
    r"(?=[\t\r\n]|[\s\0-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\u2060-\u2069\ufeff]*[=+\-@＝＋－＠﹢﹣﹦﹫−])"
)


def verdicts_csv(verdicts: Iterable[Verdict]) -> str:
    """One line per window, in the order given, beneath a line of names. What is not known is empty."""
    return _written([_summary(verdict) for verdict in verdicts], tuple(_summary(Verdict(0, 0, 0, "no_traffic", None))))


def scores_csv(verdict: Verdict) -> str:
    """One line per score of one window, in the verdict's order, beneath a line of names."""
    names = ("start", "end", "column", "about", "method", "score", "threshold", "over", "weight", "streak", "note")
    lines = [
        (
            to_text(verdict.start),
            to_text(verdict.end),
            score.column,
            score.about,
            score.method,
            score.score,
            score.threshold,
            _yes(score.drifted),
            score.weight,
            score.streak,
            score.finding,
        )
        for score in verdict.scores
    ]
    return _written([dict(zip(names, line, strict=True)) for line in lines], names)


def neutral(text: str) -> str:
    """`text` with an apostrophe before all that a spreadsheet may take for a formula; an apostrophe makes it text.

    That is a text that starts with = + - @, or their wide forms, after whatever is not seen; with a tab or an end of a line;
    and the same after a semicolon, a tab or an end of a line, where some spreadsheets begin another cell.
    """
    return _LIVE.sub(r"\1'", text).encode(errors="backslashreplace").decode()


def _summary(verdict: Verdict) -> dict[str, Cell]:
    found, estimate = verdict.performance, verdict.estimate
    return {
        "start": to_text(verdict.start),
        "end": to_text(verdict.end),
        "state": verdict.state,
        "version": verdict.version,
        "rows": verdict.rows,
        "over": sum(score.drifted for score in verdict.scores),
        "scored": sum(score.score is not None for score in verdict.scores),
        "impact": verdict.impact,
        "labelled": found.rows if found else None,
        "coverage": found.coverage if found else None,
        "loss": found.metrics.get("loss") if found else None,
        "tolerated_loss": found.reference.get("threshold") if found else None,
        "estimated_loss": estimate.loss if estimate else None,
        "estimate_trusted": _yes(estimate.trusted) if estimate else None,
        "reference": verdict.reference,
        "reasons": "; ".join(verdict.reasons),
        "findings": "; ".join(f"{finding.column or 'rows'}: {finding.sentence}" for finding in verdict.findings),
        "report": verdict.report,
    }


def _yes(answer: object) -> str:
    return "yes" if answer else "no"


def _written(lines: Sequence[Mapping[str, Cell]], names: Sequence[str]) -> str:
    page = io.StringIO()
    writer = csv.writer(page, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(names)
    for line in lines:
        writer.writerow(neutral(cell) if isinstance(cell, str) else cell for cell in line.values())
    return page.getvalue()
