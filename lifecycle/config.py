"""The configuration: one file, `evenkeel.toml`, one frozen typed tree, read once at a composition root.

Every key can be overridden by `EVENKEEL_SECTION__KEY`. An unknown key is an error that names the nearest known one.
"""

import difflib
import json
import math
import os
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from lifecycle.errors import ConfigInvalid

FILE_NAME = "evenkeel.toml"
CATEGORY_METHODS = ("jensenshannon", "psi", "chisquare")
METHODS = ("ks", *CATEGORY_METHODS)
PREFIX = "EVENKEEL_"


class Section(BaseModel):
    """A frozen table of the file; keys it does not know are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class ModelSection(Section):
    name: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$", description="Name of the model, in answers and records."
    )
    trainer: str = Field("trainer.py", description="File whose `make_model(contract)` returns an unfitted estimator.")
    seed: int = Field(0, description="Random seed of every training and split.")
    artefact: Literal["skops", "joblib"] = Field(
        "skops", description="How a fitted model is stored. `joblib` is a pickle: it runs code when opened."
    )
    runtime: Literal["auto", "sklearn"] = Field(
        "auto",
        description="What answers: the compiled model once it is proven to answer as scikit-learn does, or scikit-learn.",
    )


class ContractSection(Section):
    file: str = Field(
        "contract.json", description="The contract: columns, kinds, target; written by `init`, yours to edit."
    )


class ServiceSection(Section):
    host: str = Field("127.0.0.1", description="Address the service listens on.")
    port: int = Field(3000, ge=1, le=65535, description="Port the service listens on.")
    workers: int = Field(2, ge=1, le=64, description="Serving processes.")
    keys: Literal["auto", "required", "off"] = Field(
        "auto",
        description="Whether requests need an API key. `auto`: on any address but a loopback one; made with `evenkeel keys create`.",
    )
    body_limit_bytes: int = Field(8 * 2**20, ge=1024, description="Largest request body; more is answered with 413.")
    rows_limit: int = Field(10_000, ge=1, description="Most rows in one request; more is answered with 413.")
    poll_seconds: float = Field(0.1, gt=0, le=5, description="How often a worker looks at the champion pointer.")
    protocols: tuple[str, ...] = Field(
        ("native", "arrow", "v2", "tensorflow", "mlflow", "sagemaker", "vertex", "torchserve", "azure"),
        description="What the service speaks; another is `package.module:Class`.",
    )
    waiting_limit: int = Field(
        64, ge=1, description="Requests of a worker that may wait for a slow prediction; more are answered with 429."
    )
    deadline_seconds: float = Field(
        20,
        gt=0,
        le=50,
        description="Longest that a prediction may take; later it is answered with 503 and not recorded.",
    )
    header_seconds: float = Field(
        5, gt=0, le=60, description="Within this time of its first byte a request's headers must be complete."
    )
    body_seconds: float = Field(
        8,
        gt=0,
        le=600,
        description="Within this time of its first byte a request must be complete; raise it for large bodies on slow links.",
    )
    shutdown_seconds: int = Field(10, ge=1, description="How long requests in flight may take at shutdown.")


class FeatureLogSection(Section):
    path: str = Field(".evenkeel/feature_log", description="Folder of segments and tables.")
    table: str = Field(
        "",
        description="Where the tables are, such as `s3://bucket/folder`; empty: in `path`. Credentials come from the environment.",
    )
    durability: Literal["process", "disk", "memory"] = Field(
        "process",
        description="What an acknowledged record survives: the end of the process; also power loss; or neither, as it waits in a queue.",
    )
    queue_bytes: int = Field(
        64 * 2**20,
        ge=2**20,
        description='Most bytes of records that wait in a worker\'s queue with durability = "memory".',
    )
    on_error: Literal["serve", "reject"] = Field(
        "serve", description="When a record cannot be written: answer and count the drop, or answer 503."
    )
    sampling_rate: float = Field(
        1.0, gt=0, le=1, description="Share of rows that are recorded; each recorded row says which it was."
    )
    seal_seconds: float = Field(1.0, gt=0, description="Age at which a segment is closed and can be folded.")
    seal_bytes: int = Field(4 * 2**20, ge=4096, description="Size at which a segment is closed and can be folded.")
    fold_seconds: float = Field(1.0, gt=0, description="How often sealed segments are folded into the table.")
    compact_files: int = Field(
        16, ge=2, le=1000, description="Files of about one size and day that are merged into one."
    )
    file_bytes: int = Field(
        128 * 2**20, ge=2**20, description="Size of a table's file from which on it is not merged again."
    )
    vacuum_minutes: float = Field(
        60, ge=0, description="How long files that were merged stay on disk for those who still read them."
    )
    parking_hours: float = Field(
        168, gt=0, description="How long a label waits for its prediction before it counts as orphaned."
    )
    retention_days: int = Field(
        0, ge=0, description="Days that predictions and labels are kept; 0 keeps them for ever."
    )
    pseudonym_key: str = Field(
        ".evenkeel/pseudonym.key",
        description="File with the key of pseudonyms. Keep it apart from the log: who has both can test guesses.",
    )


class LedgerSection(Section):
    url: str = Field(
        "sqlite:///.evenkeel/ledger.db", description="SQLAlchemy URL; a relative SQLite path is the project's."
    )


class ModelStoreSection(Section):
    path: str = Field(".evenkeel/models", description="Folder of immutable version folders.")


class MonitoringSection(Section):
    host: str = Field("127.0.0.1", description="Address of the monitor's console, reports and metrics.")
    port: int = Field(3001, ge=1, le=65535, description="Port of the monitor.")
    window_minutes: float = Field(
        60,
        gt=0,
        description="Length of a window; windows close by the wall clock, with `window_rows` at the latest then.",
    )
    window_rows: int = Field(0, ge=0, description="Rows that close a window; 0: windows are of time alone.")
    window_step: float = Field(
        1.0,
        ge=0.05,
        le=1,
        description="Where the next window begins, as a share of a window: 1 is tumbling, less slides and overlaps.",
    )
    minimum_rows: int = Field(100, ge=10, description="Fewer rows in a window give `insufficient_data`.")
    sample_rows: int = Field(
        1_000_000, ge=100, description="Most rows of a window that are scored; more are sampled evenly."
    )
    reference: str = Field(
        "training",
        pattern=r"^(training|previous|\d{4}-\d{2}-\d{2}/\d{4}-\d{2}-\d{2})$",
        description="What a window is compared with: `training` rows, the `previous` window, or a period such as "
        "`2026-01-01/2026-02-01` of the log.",
    )
    season: Literal["none", "hour", "weekday"] = Field(
        "none", description="Compare only with the reference's rows of the same hours, or of the same weekdays."
    )
    false_alarms_per_month: float = Field(
        1.0, gt=0, le=1000, description="Alarms a month that may be false; every threshold follows from it."
    )
    numeric_method: str = Field(
        "ks",
        description="How numbers are scored: `ks`, `psi`, `jensenshannon`, or `evidently:` and a stat test's name.",
    )
    categorical_method: str = Field(
        "jensenshannon",
        description="How categories are scored: `jensenshannon`, `psi`, `chisquare`, or `evidently:` and a stat test's name.",
    )
    methods: dict[str, str] = Field(
        default_factory=dict, description='Methods of single columns, such as `{ price = "psi" }`.'
    )
    thresholds: dict[str, float] = Field(
        default_factory=dict, description="Thresholds of single columns, fixed by hand instead of derived."
    )
    minimum_effect: float = Field(
        0.02, ge=0, description="No column drifts below this score, however many rows there are."
    )
    persistence: int = Field(
        2, ge=1, le=10, description="Windows in a row that a column must drift before the verdict is `drift`."
    )
    performance_tolerance: float = Field(
        0.25, gt=0, description="Relative loss of quality against the champion's hold-out that gives `performance`."
    )
    minimum_labels: int = Field(50, ge=10, description="Fewer labels in a window give no performance verdict.")
    minimum_coverage: float = Field(
        0.05, ge=0, le=1, description="A smaller share of labelled rows in a window gives no performance verdict."
    )
    null_surge: float = Field(
        0.2, gt=0, le=1, description="Rise of a column's missing share that gives `data_quality`."
    )
    novelty_surge: float = Field(
        0.2, gt=0, le=1, description="Share of never-seen categories or out-of-range numbers that gives `data_quality`."
    )
    label_horizon_minutes: float = Field(
        7 * 24 * 60, gt=0, description="How long a window is scored again as its labels, or late rows, arrive."
    )
    segment_values: int = Field(
        20, ge=1, le=200, description="Most values of a segment or sensitive column that are looked at, the commonest."
    )
    favourable: str = Field(
        "", description="The class that counts as being selected, for fairness; empty: the contract's last class."
    )
    report_seconds: int = Field(180, ge=10, description="Time limit for rendering one report.")
    report_rows: int = Field(
        5_000, ge=100, description="Rows of each side that a report is drawn from, sampled evenly."
    )
    reports_kept: int = Field(200, ge=1, description="Newest reports kept on disk.")
    evidently_workspace: str = Field(
        "", description="Folder of an Evidently workspace that is given each report too; empty: none."
    )

    @field_validator("numeric_method", "categorical_method", "methods")
    @classmethod
    def _known_methods(cls, value: str | dict[str, str], info: ValidationInfo) -> str | dict[str, str]:
        fitting = CATEGORY_METHODS if info.field_name == "categorical_method" else METHODS
        for method in value.values() if isinstance(value, dict) else [value]:
            if method not in fitting and not method.startswith("evidently:"):
                raise ValueError(f"a method is one of {', '.join(fitting)}, or evidently: and the name of a stat test")
        return value

    @field_validator("thresholds")
    @classmethod
    def _usable_thresholds(cls, value: dict[str, float]) -> dict[str, float]:
        if not all(0 < threshold < math.inf for threshold in value.values()):
            raise ValueError("a threshold is a finite number above 0")
        return value

    @field_validator("reference")
    @classmethod
    def _real_days(cls, value: str) -> str:
        if "/" in value:
            first, last = (date.fromisoformat(day) for day in value.split("/"))
            if first >= last:
                raise ValueError("a period ends after it begins")
        return value


class RetrainSection(Section):
    mode: Literal["auto", "off"] = Field("auto", description="`off`: verdicts never start a retrain.")
    minimum_rows: int = Field(
        200, ge=20, description="New labelled rows of the changed world needed before a retrain starts."
    )
    holdout_share: float = Field(
        0.3, gt=0, lt=1, description="Newest share of the new labelled rows, kept for the gate."
    )
    history_rows: int = Field(200_000, ge=100, description="Most labelled rows, the newest, that a snapshot takes.")
    minimum_improvement: float = Field(
        0.02, ge=0, description="Relative gain over the champion that the gate asks for."
    )
    cooldown_minutes: float = Field(60, ge=0, description="Rest between the end of a run and the next start.")
    runs_per_month: int = Field(60, ge=1, description="Most runs started by verdicts in thirty days.")
    timeout_minutes: float = Field(30, gt=0, description="A run that takes longer is ended and counts as failed.")
    threads: int = Field(1, ge=1, description="Threads a training may use; the service needs the other cores.")
    lease_seconds: float = Field(10, ge=2, description="A run whose process is silent this long counts as dead.")


class AlertsSection(Section):
    targets: tuple[str, ...] = Field((), description="Apprise URLs (`mailto://`, `slack://`, `json://host/path`, ...).")
    attempts: int = Field(
        8, ge=1, description="Deliveries tried, with growing pauses, before an alert is a dead letter."
    )
    timeout_seconds: float = Field(10, gt=0, description="Longest a delivery may take.")


class Config(Section):
    """The whole tree. A minimal file has three lines: a `[model]` table, its name, and one `[alerts]` or other key."""

    model: ModelSection
    contract: ContractSection = ContractSection()
    service: ServiceSection = ServiceSection()
    feature_log: FeatureLogSection = FeatureLogSection()
    ledger: LedgerSection = LedgerSection()
    model_store: ModelStoreSection = ModelStoreSection()
    monitoring: MonitoringSection = MonitoringSection()
    retrain: RetrainSection = RetrainSection()
    alerts: AlertsSection = AlertsSection()


def load(project: Path, environment: Mapping[str, str] | None = None) -> Config:
    """Read `project`'s evenkeel.toml and the environment's overrides; raises ConfigInvalid with one sentence."""
    path = project / FILE_NAME
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigInvalid(
            f"there is no {FILE_NAME} in {project}; make a project with `evenkeel init DIR --data FILE --target COLUMN`, "
            "or name one with --project DIR"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"{path} is not valid TOML: {error}; correct that line") from error
    return parse(tree, os.environ if environment is None else environment)


def parse(tree: Mapping[str, Any], environment: Mapping[str, str]) -> Config:
    """The typed tree for a decoded file and an environment; raises ConfigInvalid with one sentence."""
    merged: dict[str, Any] = {
        name: dict(table) if isinstance(table, Mapping) else table for name, table in tree.items()
    }
    for variable, text in environment.items():
        if variable.startswith(PREFIX) and "__" in variable:
            section, _, key = variable.removeprefix(PREFIX).lower().partition("__")
            _refuse_unknown(variable, section, key)
            table = merged.setdefault(section, {})
            if isinstance(table, dict):  # otherwise the model below says what is wrong with it
                table[key] = _typed(section, key, text)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigInvalid(_sentence(error)) from error


def keys() -> list[tuple[str, str, object, str]]:
    """Every key as (section, key, default or None when required, description), in the file's order."""
    rows: list[tuple[str, str, object, str]] = []
    for section, field in Config.model_fields.items():
        table = _section(section)
        assert table is not None, field
        for key, info in table.model_fields.items():
            rows.append(
                (
                    section,
                    key,
                    None if info.is_required() else info.get_default(call_default_factory=True),
                    info.description or "",
                )
            )
    return rows


def _section(name: str) -> type[Section] | None:
    field = Config.model_fields.get(name)
    annotation = field.annotation if field else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def _refuse_unknown(variable: str, section: str, key: str) -> None:
    table = _section(section)
    if table is None:
        raise ConfigInvalid(
            f"the environment sets {variable}, but there is no section [{section}]{_nearest_section(section)}"
        )
    if key not in table.model_fields:
        raise ConfigInvalid(
            f"the environment sets {variable}, but [{section}] has no key {key!r}{_nearest(key, table.model_fields)}"
        )


def _typed(section: str, key: str, text: str) -> Any:
    table = _section(section)
    assert table is not None
    annotation = str(table.model_fields[key].annotation)
    if not annotation.startswith(("tuple", "dict")):
        return text
    what = "list" if annotation.startswith("tuple") else "object"
    try:
        return (
            json.loads(text) if text.startswith("[") or what == "object" else [part for part in text.split(",") if part]
        )
    except json.JSONDecodeError as error:
        raise ConfigInvalid(f"{PREFIX}{section.upper()}__{key.upper()} is not a JSON {what}: {error}") from error


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    section, key = location[0], ".".join(location[1:])
    if first["type"] == "extra_forbidden":
        table = _section(section)
        if not key or table is None:
            return f"{FILE_NAME} has an unknown section [{section}]{_nearest_section(section)}"
        return f"{FILE_NAME} has an unknown key {key!r} in [{section}]{_nearest(key, table.model_fields)}"
    if first["type"] == "missing":
        return f"{FILE_NAME} lacks {key or 'the section'!r} in [{section}]; add it"
    return f"{FILE_NAME}, [{section}] {key}: {first['msg'].lower()}, not {str(first['input'])[:80]!r}"


def _nearest_section(name: str) -> str:
    return _nearest(name, Config.model_fields)


def _nearest(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
