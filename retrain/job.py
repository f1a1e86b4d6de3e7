"""One retrain run: snapshot, validate, train challengers, gate, register, promote. Single flight, by a lease.

The run's row in the ledger is its state: a process that dies leaves it `running` with a lease that expires, and nothing
live. A run that finds its own version already promoted only records so.
"""

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import structlog

from lifecycle import models, promotion, versions
from lifecycle.config import Config
from lifecycle.contract import Contract
from lifecycle.errors import ArtefactRejected, Conflict, EvenkeelError, ProjectInvalid
from lifecycle.feature_log.table import LogTables
from lifecycle.ledger.sql import SqlLedger
from lifecycle.measures import gate_losses, trivial_prediction
from lifecycle.ports import Clock, ModelStore
from lifecycle.records import ModelVersion, RetrainRun
from lifecycle.versions import AT, LABEL, SUBJECT
from retrain import challengers, gate, snapshot, training, validation
from retrain.lease import RetrainLease
from retrain.trainer import FileTrainer

ACTOR = "retrain"
EVERYTHING = 1_000_000
ENDED = ("promoted", "refused", "failed")
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Kin:
    """Of the versions that have answered: the `first` with today's columns, and the `others`, which have other columns."""

    first: ModelVersion
    others: tuple[int, ...]


@dataclass(frozen=True)
class Job:
    """Carries out retrain runs of one project."""

    ledger: SqlLedger
    store: ModelStore
    tables: LogTables
    clock: Clock
    config: Config
    contract: Contract
    trainer: FileTrainer

    def run(self, identifier: str) -> RetrainRun:
        """Carry out the requested run and return it as it ended.

        Raises Conflict while another run holds the lease, ProjectInvalid when there is no such run.
        """
        structlog.contextvars.bind_contextvars(run_id=identifier)
        lease = RetrainLease(self.ledger, self.clock, identifier, self.config.retrain.lease_seconds)
        with lease.held():
            requested = self.ledger.run(identifier)
            if requested is None:
                raise ProjectInvalid(f"there is no retrain run {identifier}; `evenkeel retrain` starts one")
            if requested.state in ENDED:
                return requested
            attempt = requested.attempt + 1
            run = replace(requested, state="running", attempt=attempt, started_at=self.clock.now(), finished_at=None)
            self.ledger.save_run(run)
            log.info("retrain_started", attempt=attempt)
            try:
                run = self._carry_out(run, lease)
            except EvenkeelError as error:
                run = _failed(run, str(error))
            except Exception as error:
                log.exception("retrain_broke_down")
                run = _failed(run, f"the retrain broke down ({type(error).__name__}); look at the log of the retrain")
            self._require_own(run)
            run = replace(run, finished_at=self.clock.now())
            self.ledger.save_run(run)
        log.info("retrain_finished", state=run.state, challenger=run.challenger, reasons=run.decision.get("reasons"))
        return run

    def _carry_out(self, run: RetrainRun, lease: RetrainLease) -> RetrainRun:
        if already := self._promoted_by(run.id):
            return replace(run, state="promoted", challenger=already.number, decision=already.lineage["decision"])
        generation = self.ledger.pointer().generation
        champion = self._champion()
        kin = self._kin(champion)
        rows = self._rows(champion, kin)
        run = replace(run, snapshot=rows.snapshot.describe())
        if found := self._findings(champion, rows):
            return replace(
                run, state="refused", decision={"outcome": "refused", "stage": "validation", "reasons": found}
            )
        trained = challengers.train_all(
            self.contract,
            self.trainer,
            challengers.windows(self._origin(kin), rows),
            rows,
            champion=champion.number,
            seed=self.config.model.seed,
            threads=self.config.retrain.threads,
        )
        decision = self._gate(champion, rows, trained)
        version = self._register(run, trained[decision.challenger], decision)
        run = replace(run, challenger=version.number, decision=decision.describe())
        if not decision.promote:
            self.ledger.set_status(version.number, "rejected")
            return replace(run, state="refused")
        lease.renew()  # a paused process whose lease went to another must not promote,
        self._require_own(run)  # nor one whose run was taken up again and perhaps ended meanwhile
        try:
            moved = promotion.promote(
                self.ledger,
                self.store,
                self.clock,
                version.number,
                actor=ACTOR,
                reason=f"retrain {run.id}: {decision.reasons[0]}",
                expected_generation=generation,
            )
        except Conflict as error:
            self.ledger.set_status(version.number, "rejected")
            refusal = {"outcome": "refused", "stage": "promotion", "reasons": [str(error)]}
            return replace(run, state="refused", decision=run.decision | refusal)
        swap = {"generation": moved.generation, "workers": moved.workers, "swap_seconds": moved.seconds}
        return replace(run, state="promoted", decision=run.decision | swap)

    def _require_own(self, run: RetrainRun) -> None:
        """Raise Conflict when another attempt has taken the run up: its row and its outcome are that one's now."""
        current = self.ledger.run(run.id)
        if current is None or current.attempt != run.attempt or current.state in ENDED:
            raise Conflict(f"retrain {run.id} was taken up by another attempt; this one ends without an outcome")

    def _promoted_by(self, identifier: str) -> ModelVersion | None:
        """The version that an earlier attempt of this run promoted before it died, if it did."""
        promoted = (version for version in self.ledger.versions() if version.status == "promoted")
        return next((version for version in promoted if version.lineage.get("run_id") == identifier), None)

    def _champion(self) -> ModelVersion:
        number = self.ledger.pointer().version
        champion = self.ledger.version(number) if number is not None else None
        if champion is None:
            raise ProjectInvalid("there is no champion to improve on; promote a version first")
        self._refuse_other_columns(champion)
        return champion

    def _refuse_other_columns(self, champion: ModelVersion) -> None:
        """Rows of one contract cannot be compared with, nor judged by a model of, another."""
        changed = _as_learnt(versions.load_contract(champion, self.store)) ^ _as_learnt(self.contract)
        if changed:
            names = ", ".join(sorted({repr(name) for name, *_ in changed}))
            raise ProjectInvalid(
                f"the contract no longer has the columns of version {champion.number} (differing: {names}); restore "
                f"{self.config.contract.file}, or make a new project with `evenkeel init`"
            )

    def _kin(self, champion: ModelVersion) -> Kin:
        """The versions that have answered, told apart by whether today's columns are those they learnt."""
        numbers = {champion.number, *(move.version for move in self.ledger.moves(EVERYTHING))}
        answered = [version for version in self.ledger.versions() if version.number in numbers]
        alike = [version for version in answered if version == champion or self._has_todays_columns(version)]
        others = {version.number for version in answered} - {version.number for version in alike}
        return Kin(min(alike, key=lambda version: version.number), tuple(sorted(others)))

    def _has_todays_columns(self, version: ModelVersion) -> bool:
        try:
            return _as_learnt(versions.load_contract(version, self.store)) == _as_learnt(self.contract)
        except ArtefactRejected as error:
            log.warning("version_left_out", version=version.number, reason=str(error))
            return False  # nobody can tell any more what its rows hold

    def _rows(self, champion: ModelVersion, kin: Kin) -> challengers.Rows:
        section, status = self.config.retrain, self.ledger.fold_status()
        taken, rows = snapshot.take(
            self.tables,
            self.contract,
            start=kin.first.created_at,
            end=self._judged_until(),
            verdicts=self.ledger.windows_in("data_quality"),
            most_rows=section.history_rows,
            others=kin.others,
            watermark=status.watermark if status else None,
        )
        return challengers.split(taken, rows, champion, section.holdout_share)

    def _judged_until(self) -> int:
        """The end of the last window with a verdict: what nobody has looked at may be broken. Now, without a monitor."""
        latest = self.ledger.latest(1)
        return latest[0].end if latest else self.clock.now()

    def _findings(self, champion: ModelVersion, rows: challengers.Rows) -> list[str]:
        return validation.findings(
            rows.unseen,
            versions.load_reference(champion, self.store),
            self.contract,
            self.ledger.judged(1),
            self.config.retrain,
            self.config.monitoring,
        )

    def _origin(self, kin: Kin) -> pd.DataFrame:
        """The rows that the first version with today's columns was trained on."""
        first = versions.load_reference(kin.first, self.store)
        return first[[*self.contract.names, LABEL, *(name for name in (AT, SUBJECT) if name in first)]]

    def _gate(
        self, champion: ModelVersion, rows: challengers.Rows, trained: dict[str, training.Trained]
    ) -> gate.Decision:
        target, truth = self.contract.target, rows.holdout[LABEL].tolist()

        def row_losses(answers: training.Predictions) -> gate.Floats:
            return gate_losses(target, truth, answers.labels, answers.probabilities)

        model = models.load(champion, self.store)
        answers = training.Predictions(
            *model.runtime.predict(training.columns(rows.holdout[list(model.contract.names)]))
        )
        return gate.decide(
            row_losses(answers),
            {name: row_losses(item.holdout) for name, item in trained.items()},
            row_losses(self._trivial(rows, with_probabilities=bool(answers.probabilities))),
            minimum_improvement=self.config.retrain.minimum_improvement,
            seed=self.config.model.seed,
        )

    def _trivial(self, rows: challengers.Rows, *, with_probabilities: bool) -> training.Predictions:
        """What a predictor without features would answer: the fresh labels' centre, and each class's share of them."""
        known, count = rows.fresh[LABEL].tolist(), len(rows.holdout)
        shares: dict[str, Any] = {}
        if with_probabilities:
            texts = [str(label) for label in known]
            classes = self.contract.target.class_texts
            shares = {name: [texts.count(name) / len(texts)] * count for name in classes}
        return training.Predictions([trivial_prediction(self.contract.target, known)] * count, shares)

    def _register(self, run: RetrainRun, chosen: training.Trained, decision: gate.Decision) -> ModelVersion:
        origin = {"run_id": run.id, "trigger": run.trigger, "challenger": decision.challenger}
        lineage = dict(chosen.candidate.lineage) | origin | {"decision": decision.describe()}
        candidate = replace(chosen.candidate, lineage=lineage)
        section = self.config.model
        return versions.register(candidate, self.store, self.ledger, self.clock, section.artefact, section.runtime)


def _failed(run: RetrainRun, reason: str) -> RetrainRun:
    return replace(run, state="failed", decision={"outcome": "failed", "reasons": [reason]})


def _as_learnt(contract: Contract) -> set[tuple[str, str, bool]]:
    """The features as a model knows them: name, kind, and whether their values are pseudonyms."""
    return {(column.name, column.kind, column.name in contract.pseudonymised) for column in contract.columns}
