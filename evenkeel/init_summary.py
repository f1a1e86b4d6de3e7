"""What `evenkeel init` made, as facts for --json and as a page a person enjoys reading."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lifecycle.runtimes.facts import COMPILED

SHOWN_FEATURES = 12
TREATMENTS = {
    "drop": "is not kept",
    "pseudonymise": "only pseudonyms are kept",
    "subject": "says whom a row is about; only pseudonyms are kept, and `evenkeel erase` goes by them",
}


@dataclass(frozen=True)
class InitSummary:
    """A finished `init`. `metrics` are version 1's on its hold-out; `example` is a real row as a caller would send it.

    `segments` and `sensitive` are the features by whose values quality is looked at. `privacy` says how columns are treated;
    `key` is the file with the key of pseudonyms, where there are any.
    """

    project: str
    model: str
    source: str
    rows: int
    task: str
    target: str
    classes: tuple[bool | int | str, ...]
    features: dict[str, str]
    set_aside: dict[str, str]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    holdout: str
    version: int
    generation: int
    metrics: dict[str, float]
    runtime: dict[str, Any]
    score: str
    beats_trivial: bool
    segments: tuple[str, ...]
    sensitive: tuple[str, ...]
    privacy: dict[str, str]
    key: str | None
    example: dict[str, Any]
    port: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The summary in JSON's own types."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def next_commands(self) -> tuple[str, ...]:
        """What to type next, ready to paste into a shell."""
        where = shlex.quote(self.project)
        body = shlex.quote(json.dumps({"rows": [self.example]}, ensure_ascii=False))
        return (
            f"evenkeel up --project {where}",
            f"curl -s localhost:{self.port}/predict -H 'content-type: application/json' -d {body}",
            f"evenkeel replay MORE_ROWS.csv --project {where}",
        )


def score_sentence(task: str, metrics: dict[str, float]) -> str:
    """Version 1's headline metric beside the trivial predictor's, on the same hold-out rows."""
    if task == "regression":
        return (
            f"mean absolute error {_number(metrics['loss'])} against {_number(metrics['trivial_loss'])} for always "
            "answering the median"
        )
    return (
        f"accuracy {metrics['accuracy']:.1%} against {1 - metrics['trivial_loss']:.1%} for always answering the most "
        f"frequent class (balanced accuracy {metrics['balanced_accuracy']:.1%})"
    )


def served_by(runtime: dict[str, Any]) -> str:
    """Which runtime answers, in a phrase; why not the compiled one, if so."""
    if runtime["name"] == COMPILED:
        return f"its compiled form, which answered {runtime['rows']:,} rows as scikit-learn does"
    return f"scikit-learn ({runtime['reason']})"


def print_summary(summary: InitSummary, console: Console) -> None:
    """Write the summary to `console`; text from the file is never taken for markup."""
    verdict = "[green]better[/]" if summary.beats_trivial else "[yellow]not better[/]"
    console.print(
        f"\n[bold]{_shown(summary.model)}[/] is ready in [bold]{_shown(summary.project)}[/] ({summary.seconds:.1f} s)\n"
    )
    console.print(_facts(summary))
    for line in summary.notes:
        console.print(f"[cyan]Note[/]     {_shown(line)}", soft_wrap=True)
    for line in summary.warnings:
        console.print(f"[yellow]Warning[/]  {_shown(line)}", soft_wrap=True)
    console.print(f"\nVersion {summary.version} is {verdict} than the trivial predictor and answers from now on. Next:")
    for command in summary.next_commands():
        console.print(f"  {_shown(command)}", soft_wrap=True, highlight=False)


def _facts(summary: InitSummary) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _lines(summary):
        table.add_row(name, _shown(text))
    return table


def _lines(summary: InitSummary) -> Iterator[tuple[str, str]]:
    classes = f" ({len(summary.classes)} classes: {_some(map(str, summary.classes))})" if summary.classes else ""
    counts = summary.metrics
    yield "Rows", f"{summary.rows:,} of {summary.source}"
    yield "Task", f"{summary.task}: predict {summary.target}{classes}"
    yield (
        "Features",
        f"{len(summary.features)}: " + _some(f"{name} ({kind})" for name, kind in summary.features.items()),
    )
    for index, (name, reason) in enumerate(summary.set_aside.items()):
        yield "Set aside" if index == 0 else "", f"{name} {reason}"
    if summary.segments:
        yield "Segments", f"each value of {_some(summary.segments)} is looked at by itself"
    if summary.sensitive:
        yield "Sensitive", f"answers are compared between the values of {_some(summary.sensitive)}"
    for index, (name, treatment) in enumerate(summary.privacy.items()):
        yield "Privacy" if index == 0 else "", f"{name}: {TREATMENTS[treatment]}"
    if summary.key:
        yield "", f"the key of pseudonyms is {summary.key}; keep a copy of it, apart from the log"
    yield "Trained on", f"{counts['rows']:,.0f} rows; measured on {counts['holdout_rows']:,.0f}, {summary.holdout}"
    yield "Score", summary.score
    yield "Served by", served_by(summary.runtime)


def _shown(text: str) -> str:
    """`text` as it is: no markup, and no control characters that would move somebody's terminal."""
    return escape("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text))


def _some(items: Any) -> str:
    found = list(items)
    more = f" and {len(found) - SHOWN_FEATURES} more" if len(found) > SHOWN_FEATURES else ""
    return ", ".join(found[:SHOWN_FEATURES]) + more


def _number(value: float) -> str:
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"
