"""The records that parts of the product hand each other. Times are microseconds since 1970, UTC."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lifecycle.contract import Columns, Contract

VerdictState = Literal["ok", "warning", "drift", "performance", "data_quality", "insufficient_data", "no_traffic"]
RunState = Literal["requested", "running", "promoted", "refused", "failed"]
VersionStatus = Literal["candidate", "promoted", "rejected"]
Severity = Literal["page", "ticket", "info"]
About = Literal["feature", "prediction", "label", "calibration", "joint"]
"""What a drift score is of: a feature, the answers, the labels, the probabilities against the labels, or features together."""
Scope = Literal["predict", "feedback", "admin"]


@dataclass(frozen=True, slots=True)
class LogSchema:
    """How the columns of a prediction record are typed: enough to read a segment without the model store."""

    version: int
    kinds: dict[str, str]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, version: int, contract: Contract) -> "LogSchema":
        kinds: dict[str, str] = {column.name: column.kind for column in contract.columns}
        return cls(version, kinds, contract.target.class_texts)


@dataclass(slots=True)  # not frozen: setting thirteen fields of a frozen one takes a microsecond of every request
class PredictionBatch:
    """The rows of one answered request: `ids[i]`, `predictions[i]`, and each column's i-th value belong together.

    `predictions` are stored labels (float for regression, class text otherwise); `probabilities` maps each class text
    to one float per row and is empty when the model gives none. `external_ids` are the callers' own ids and `subjects`
    whom the rows are about, each None when the contract names no such column. `sampling_rate` is the share of rows that
    were recorded when these were.
    """

    request_id: str
    at: int
    model: str
    version: int
    generation: int
    protocol: str
    ids: list[str]
    columns: Columns
    predictions: list[Any]
    probabilities: dict[str, list[float]]
    latency_us: int
    key_id: str | None = None
    external_ids: list[str | None] | None = None
    subjects: list[str | None] | None = None
    sampling_rate: float = 1.0

    def only(self, places: Sequence[int]) -> "PredictionBatch":
        """The batch with the rows at `places` alone."""

        def taken(values: Any) -> Any:
            return [values[place] for place in places] if isinstance(values, list) else values[places]

        return replace(
            self,
            ids=taken(self.ids),
            columns={name: taken(values) for name, values in self.columns.items()},
            predictions=taken(self.predictions),
            probabilities={name: taken(values) for name, values in self.probabilities.items()},
            external_ids=self.external_ids and taken(self.external_ids),
            subjects=self.subjects and taken(self.subjects),
        )


@dataclass(frozen=True, slots=True)
class Label:
    """Ground truth, in its stored form; the latest received wins.

    It belongs to the prediction `id`, or, with `id` None, to every prediction of the caller's own `external_id`.
    """

    id: str | None
    label: float | str
    observed_at: int
    received_at: int
    key_id: str | None = None
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One registered version. `lineage` says where it comes from, `metrics` what was measured on its hold-out."""

    number: int
    created_at: int
    status: VersionStatus
    manifest_digest: str
    parent: int | None
    metrics: dict[str, float]
    lineage: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pointer:
    """The champion: its version, the count of moves, and the version staged to follow (if any)."""

    version: int | None
    generation: int
    staged: int | None
    moved_at: int | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """One move of the champion pointer."""

    generation: int
    version: int
    at: int
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Worker:
    """A serving process as it last reported itself."""

    id: str
    pid: int
    heartbeat_at: int
    version: int | None
    generation: int
    swapped_at: int | None


@dataclass(frozen=True, slots=True)
class ColumnScore:
    """One column's drift score against its threshold; `score` is None when it could not be scored, and why.

    `weight` is the share of the model's importance that the feature has, None where it is not known. `streak` counts the
    windows in a row that this column was over its threshold, this one included.
    """

    column: str
    method: str
    score: float | None
    threshold: float
    finding: str | None = None
    about: About = "feature"
    weight: float | None = None
    streak: int = 0

    @property
    def drifted(self) -> bool:
        return self.score is not None and self.score > self.threshold


@dataclass(frozen=True, slots=True)
class Finding:
    """A sign that a window is broken rather than changed. `column` is None for what concerns whole rows."""

    column: str | None
    kind: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Performance:
    """Quality on the labelled rows of a window.

    `metrics` are those of `lifecycle.measures`, `intervals` their 95 % bootstrap intervals, and `reference` the champion's own
    on its hold-out, with the largest tolerated `threshold` of the loss. `trivial` is the loss, on these rows, of predictors
    that look at no feature. `delay_seconds` is the median from an answer to its label.
    """

    rows: int
    coverage: float
    metrics: dict[str, float]
    reference: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    trivial: dict[str, float] = field(default_factory=dict)
    delay_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """The loss of a window as estimated without its labels, with its 95 % interval; `validity` says in words why (not) to trust it."""

    method: str
    rows: int
    loss: float
    interval: tuple[float, float]
    reference: dict[str, float]
    trusted: bool
    validity: str
    lost: bool = False


@dataclass(frozen=True, slots=True)
class SegmentScore:
    """One value of a segment column: its rows, the column that drifts most there, and the quality on its labelled rows."""

    column: str
    value: str
    rows: int
    labelled: int
    drift_column: str | None = None
    drift_score: float | None = None
    drift_threshold: float | None = None
    loss: float | None = None
    interval: tuple[float, float] | None = None
    reference_loss: float | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class FairnessGap:
    """The largest difference of a rate between groups of a sensitive column, with its 95 % interval."""

    column: str
    metric: str
    difference: float
    interval: tuple[float, float]
    lowest: str
    highest: str
    groups: dict[str, float]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement on one window, [`start`, `end`).

    `rows` are all that were answered in it. `reference` says in words what they were compared with.
    """

    start: int
    end: int
    rows: int
    state: VerdictState
    version: int | None
    scores: tuple[ColumnScore, ...] = ()
    reasons: tuple[str, ...] = ()
    drifting: bool = False
    performance: Performance | None = None
    scored_at: int = 0
    report: str | None = None
    retrain: str | None = None
    reference: str | None = None
    findings: tuple[Finding, ...] = ()
    estimate: Estimate | None = None
    segments: tuple[SegmentScore, ...] = ()
    fairness: tuple[FairnessGap, ...] = ()

    @property
    def impact(self) -> float | None:
        """The share of the model's importance that drifting features have; None where that is not known.

        It is not when something drifts that has no share of its own: the answers, the labels, or features together.
        """
        weighed = [score for score in self.scores if score.weight is not None]
        drifted = [score for score in weighed if score.drifted]
        if not weighed or (not drifted and any(score.drifted for score in self.scores)):
            return None
        return sum(score.weight or 0.0 for score in drifted)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What thresholds of a version's reference are derived from. `content` is plain JSON; `key` names it among all."""

    key: str
    version: int
    made_at: int
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition worth telling a person, from its opening to its resolution. At most one per kind is open."""

    id: str
    kind: str
    severity: Severity
    title: str
    body: str
    opened_at: int
    updated_at: int
    resolved_at: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One transition of an alert on its way to one target (a position in `[alerts] targets`)."""

    key: str
    alert: str
    transition: Literal["opened", "resolved"]
    target: int
    title: str
    body: str
    attempts: int = 0
    next_attempt_at: int = 0


@dataclass(frozen=True, slots=True)
class RetrainRun:
    """One retrain, from request to decision."""

    id: str
    requested_at: int
    trigger: str
    state: RunState
    attempt: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    challenger: int | None = None
    snapshot: dict[str, Any] = field(default_factory=dict)
    decision: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lease:
    """A named right held until it expires; `epoch` grows with each change of holder."""

    name: str
    holder: str
    epoch: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class FoldStatus:
    """What the folder last saw: everything recorded before `watermark` is in the table.

    `parked_labels` wait for their prediction; `orphaned_labels` were given up, and `corrupt_frames` could not be read, each
    counted since the project was made. `problem` is what could not be done at the last look.
    """

    watermark: int
    at: int
    pending_segments: int
    pending_bytes: int
    folded_rows: int
    quarantined_segments: int
    truncated_bytes: int
    corrupt_frames: int = 0
    parked_labels: int = 0
    orphaned_labels: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Erasure:
    """The removal of all that is recorded about one subject. `token` is its stored form, blank once it is finished."""

    id: str
    token: str = field(repr=False)
    requested_at: int
    actor: str
    finished_at: int | None = None
    proof: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Key:
    """A right to call the service, without its secret: `secret_digest` is SHA-256 in hexadecimal.

    `admin` opens all that the other scopes open. `rate_per_minute` is in requests; None is no limit.
    """

    id: str
    scope: Scope
    secret_digest: str = field(repr=False)
    created_at: int
    name: str | None = None
    expires_at: int | None = None
    revoked_at: int | None = None
    rate_per_minute: int | None = None
