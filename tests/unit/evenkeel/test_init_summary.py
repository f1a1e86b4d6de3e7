"""The summary is a page for people and facts for machines, whatever the file's names hold."""

import io
import json
import shlex
from dataclasses import replace

from rich.console import Console

from evenkeel.init_summary import InitSummary, print_summary, score_sentence

SUMMARY = InitSummary(
    project="my bikes",
    model="bikes",
    source="hour.csv",
    rows=1234,
    task="regression",
    target="cnt",
    classes=(),
    features={"hr": "integer", "[red]odd[/red]": "numeric"},
    set_aside={"instant": "numbers the rows"},
    notes=("2 of 1,236 rows have no label (cnt) and were set aside",),
    warnings=("casual alone determines cnt almost exactly \x1b[2J",),
    holdout="the newest fifth by dteday",
    version=1,
    generation=1,
    metrics={"loss": 34.81, "trivial_loss": 121.04, "rows": 988.0, "holdout_rows": 246.0},
    runtime={"name": "onnx", "reason": "it answered alike", "tolerance": 2e-16, "rows": 5_000},
    score=score_sentence("regression", {"loss": 34.81, "trivial_loss": 121.04}),
    beats_trivial=True,
    segments=("hr", "town"),
    sensitive=("[red]odd[/red]",),
    privacy={"customer": "subject"},
    key="my bikes/.evenkeel/pseudonym.key",
    example={"hr": 5, "town": "L'Aquila"},
    port=3000,
    seconds=1.5,
)


def printed(summary: InitSummary) -> str:
    text = io.StringIO()
    print_summary(summary, Console(file=text, width=200, force_terminal=False))
    return text.getvalue()


def test_the_page_says_what_was_made_and_what_comes_next() -> None:
    page = printed(SUMMARY)
    for words in (
        "1,234 of hour.csv",
        "regression: predict cnt",
        "instant numbers the rows",
        "988 rows; measured on 246, the newest fifth by dteday",
        "mean absolute error 34.8 against 121.0 for always answering the median",
        "is better than the trivial predictor",
        "its compiled form, which answered 5,000 rows as scikit-learn does",
        "evenkeel up --project 'my bikes'",
        "2 of 1,236 rows have no label",
        "each value of hr, town is looked at by itself",
        "answers are compared between the values of [red]odd[/red]",
    ):
        assert words in page
    assert "is not better" in printed(replace(SUMMARY, beats_trivial=False))
    assert "Sensitive" not in printed(replace(SUMMARY, sensitive=()))
    assert "Segments" not in printed(replace(SUMMARY, segments=()))
    slow = {"name": "sklearn", "reason": "not compiled: SVC has no compiled form", "tolerance": None, "rows": 0}
    assert "scikit-learn (not compiled: SVC has no compiled form)" in printed(replace(SUMMARY, runtime=slow))


def test_names_from_the_file_are_neither_markup_nor_control_characters() -> None:
    page = printed(SUMMARY)
    assert "[red]odd[/red]" in page
    assert "\x1b" not in page


def test_the_example_request_survives_a_shell() -> None:
    command = SUMMARY.next_commands()[1]
    assert json.loads(shlex.split(command)[-1]) == {"rows": [SUMMARY.example]}


def test_a_classifier_is_compared_with_the_most_frequent_class() -> None:
    metrics = {"accuracy": 0.9, "trivial_loss": 0.4, "balanced_accuracy": 0.88}
    assert score_sentence("binary", metrics).startswith("accuracy 90.0% against 60.0%")


def test_facts_are_json() -> None:
    assert json.loads(json.dumps(SUMMARY.as_json()))["metrics"]["loss"] == 34.81
