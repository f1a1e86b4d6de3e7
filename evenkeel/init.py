"""`evenkeel init`: from a table to a project whose version 1 is trained, checked and promoted.

The project appears whole or not at all. Input that cannot become one is refused in a sentence that says the way out.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from evenkeel.choices import TaskChoice
from evenkeel.infer import Inference, Wishes, infer
from evenkeel.init_summary import InitSummary, score_sentence
from evenkeel.leakage import leaks
from evenkeel.naming import model_name
from evenkeel.new_folder import new_folder
from evenkeel.read_source import read_source
from evenkeel.split import split
from lifecycle import versions
from lifecycle.clock import to_text
from lifecycle.config import FILE_NAME, load
from lifecycle.contract import Contract
from lifecycle.project import Project
from lifecycle.promotion import promote
from lifecycle.pseudonyms import Pseudonyms
from lifecycle.records import ModelVersion
from lifecycle.versions import load_runtime_facts
from retrain.trainer import FileTrainer
from retrain.training import columns, train

ACTOR = "evenkeel init"
STATE_IGNORED = ".evenkeel/\n"


@dataclass(frozen=True)
class InitOptions:
    """The options of `evenkeel init`, as its command line names them."""

    target: str
    time: str | None = None
    id: str | None = None
    drop: tuple[str, ...] = ()
    segment: tuple[str, ...] = ()
    task: TaskChoice = "auto"
    name: str | None = None
    subject: str | None = None
    pseudonymise: tuple[str, ...] = ()
    unlogged: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()


def _silently(step: str) -> None:
    """Say nothing."""


def init_project(
    directory: Path, source: Path, options: InitOptions, said: Callable[[str], object] = _silently
) -> InitSummary:
    """Make a project in `directory` from the table in `source`, with version 1 promoted.

    `directory` may exist if it is empty. `said` is told each step as it begins. Raises EvenkeelError with one sentence
    when the input cannot become a project; then, as on Ctrl-C, nothing is left of it.
    """
    started = time.monotonic()
    name = model_name(options.name, directory)
    with new_folder(directory, last=FILE_NAME) as folder:
        said(f"Reading {source.name}")
        wishes = _wishes(options)
        _write_settings(folder, name)
        inference = infer(read_source(source), wishes, _pseudonyms(folder) if wishes.need_key else None)
        _write_contract(folder, inference.contract)
        said(f"Training version 1 on {len(inference.rows):,} rows")
        project = Project.open(folder)
        try:
            version, generation = _first_version(project, inference, source)
            runtime = load_runtime_facts(version, project.store)
        finally:
            project.ledger.close()
        said("Looking for features that give the target away")
        warnings = _warnings(inference, version, project.config.model.seed)
    contract = inference.contract
    return InitSummary(
        project=str(directory),
        model=name,
        source=str(source),
        rows=len(inference.rows),
        task=contract.target.task,
        target=contract.target.name,
        classes=contract.target.classes,
        features={column.name: column.kind for column in contract.columns},
        set_aside={item.name: item.reason for item in contract.set_aside if item.name != contract.target.name},
        notes=inference.notes,
        warnings=warnings,
        holdout=_holdout_words(contract),
        version=version.number,
        generation=generation,
        metrics=dict(version.metrics),
        runtime=asdict(runtime),
        score=score_sentence(contract.target.task, version.metrics),
        beats_trivial=version.metrics["loss"] < version.metrics["trivial_loss"],
        segments=contract.segments,
        sensitive=contract.sensitive,
        privacy=dict(contract.privacy),
        key=str(directory / project.config.feature_log.pseudonym_key) if contract.needs_key else None,
        example=example_row(contract, inference.rows) | inference.sent,
        port=project.config.service.port,
        seconds=round(time.monotonic() - started, 2),
    )


def _wishes(options: InitOptions) -> Wishes:
    return Wishes(
        options.target,
        options.time,
        options.id,
        options.drop,
        options.segment,
        options.task,
        options.subject,
        options.pseudonymise,
        options.unlogged,
        options.sensitive,
    )


def _pseudonyms(folder: Path) -> Pseudonyms:
    """Of the key that the environment names, or of one that is made in the project."""
    return Pseudonyms.ensure(folder / load(folder).feature_log.pseudonym_key)


def _write_settings(folder: Path, name: str) -> None:
    templates = files("evenkeel") / "templates"
    settings = (templates / "evenkeel.toml.txt").read_text(encoding="utf-8").replace("{name}", json.dumps(name))
    (folder / FILE_NAME).write_text(settings, encoding="utf-8")
    (folder / "trainer.py").write_text((templates / "trainer.py.txt").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / ".gitignore").write_text(STATE_IGNORED, encoding="utf-8")


def _write_contract(folder: Path, contract: Contract) -> None:
    (folder / "contract.json").write_text(contract.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _first_version(project: Project, inference: Inference, source: Path) -> tuple[ModelVersion, int]:
    section = project.config.model
    rows, holdout = split(inference.contract, inference.rows, section.seed)
    trained = train(
        inference.contract,
        FileTrainer(project.path / section.trainer),
        rows,
        holdout,
        seed=section.seed,
        threads=project.config.retrain.threads,
        snapshot={"kind": "file", "name": source.name, "bytes": source.stat().st_size, "rows": len(inference.rows)},
    )
    version = versions.register(
        trained.candidate, project.store, project.ledger, project.clock, section.artefact, section.runtime
    )
    reason = f"version 1, trained by init on {source.name}"
    promotion = promote(project.ledger, project.store, project.clock, version.number, actor=ACTOR, reason=reason)
    return version, promotion.generation


def _warnings(inference: Inference, version: ModelVersion, seed: int) -> tuple[str, ...]:
    target = inference.contract.target.name
    said = [
        f"{name} alone determines {target} almost exactly ({score:.1%} on unseen rows); if it is known only after the "
        f"outcome, start again with --drop {name}"
        for name, score in leaks(inference.contract, inference.rows, seed).items()
    ]
    if version.metrics["loss"] >= version.metrics["trivial_loss"]:
        said.append(
            "version 1 is not better than the trivial predictor on its hold-out; it is promoted so that the loop can start, "
            "but the features may not say enough about the target"
        )
    return tuple(said)


def _holdout_words(contract: Contract) -> str:
    if contract.time:
        return f"the newest fifth by {contract.time}"
    return "a random fifth" if contract.target.is_regression else "a random fifth of every class"


def example_row(contract: Contract, rows: pd.DataFrame) -> dict[str, Any]:
    """The last row as a caller would send it."""
    values = {name: found[0] for name, found in columns(rows[list(contract.names)].tail(1)).items()}
    for column in contract.columns:
        value = values[column.name]
        if value is not None and column.kind == "datetime":
            values[column.name] = to_text(int(value))
        elif value is not None and column.kind == "integer":
            values[column.name] = int(value)
    return values
