"""Training: fit a fresh estimator on labelled rows, measure it on rows it has not seen, and describe where it comes from.

The same path makes version 1 and every challenger. It registers nothing and promotes nothing.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from lifecycle.contract import Columns, Contract
from lifecycle.errors import ProjectInvalid
from lifecycle.measures import losses, metrics, trivial_prediction
from lifecycle.ports import Estimator, Trainer
from lifecycle.runtimes.estimator import EstimatorRuntime
from lifecycle.versions import LABEL, Candidate
from retrain.lineage import environment_digest, git_commit
from retrain.trainer import FileTrainer, described


@dataclass(frozen=True)
class Predictions:
    """A model's answers for some rows, in their order: stored labels, and probabilities by class text (may be empty)."""

    labels: list[Any]
    probabilities: dict[str, list[float]]


@dataclass(frozen=True)
class Trained:
    """A candidate, its answers on the hold-out, and how long the fit took."""

    candidate: Candidate
    holdout: Predictions
    seconds: float


def train(
    contract: Contract,
    trainer: FileTrainer,
    rows: pd.DataFrame,
    holdout: pd.DataFrame,
    *,
    seed: int,
    threads: int = 1,
    snapshot: Mapping[str, Any],
    parent: int | None = None,
) -> Trained:
    """Fit on `rows` and measure on `holdout`; both hold the contract's columns and LABEL, in stored form.

    The candidate's metrics are those of `lifecycle.measures.metrics` on the hold-out, `trivial_loss` (the headline loss
    there of always answering the training rows' median or most frequent class), `rows` and `holdout_rows`. Its
    reference is `rows`. `snapshot` describes where the rows come from and goes into the lineage. Raises ProjectInvalid
    when the rows cannot train a model, or the trainer's estimator fails.
    """
    _refuse_untrainable(contract, rows, holdout)
    started = time.monotonic()
    estimator = fit(contract, trainer, rows, seed=seed, threads=threads)
    seconds = time.monotonic() - started
    answers = predict(contract, estimator, holdout)
    _refuse_bad_answers(contract, trainer, answers)
    candidate = Candidate(
        contract=contract,
        estimator=estimator,
        reference=rows.reset_index(drop=True),
        holdout=holdout.reset_index(drop=True),
        trainer_source=trainer.source(),
        metrics=measured(contract, rows, holdout, answers),
        lineage=lineage(trainer, rows, holdout, seed=seed, snapshot=snapshot),
        parent=parent,
    )
    return Trained(candidate, answers, seconds)


def fit(contract: Contract, trainer: Trainer, rows: pd.DataFrame, *, seed: int, threads: int = 1) -> Estimator:
    """A fresh estimator of `trainer`, its open random states set to `seed`, fitted on `rows` by at most `threads` threads."""
    estimator = trainer.make_model(contract)
    _seed(estimator, seed)
    try:
        with threadpool_limits(threads):  # on busy cores, OpenMP threads that wait for each other take minutes
            estimator.fit(frame(contract, rows), targets(contract, rows))
    except Exception as error:  # the estimator is the user's choice: whatever it raises is told in one sentence
        where = trainer.blame(error) if isinstance(trainer, FileTrainer) else "the trainer"
        raise ProjectInvalid(
            f"the estimator of {where} cannot be trained on {len(rows)} rows: {described(error)}; correct the trainer"
        ) from error
    return estimator


def predict(contract: Contract, estimator: Estimator, rows: pd.DataFrame) -> Predictions:
    """What a fitted estimator answers for `rows`, in stored form."""
    return Predictions(*EstimatorRuntime(contract, estimator).predict(columns(rows[list(contract.names)])))


def measured(contract: Contract, rows: pd.DataFrame, holdout: pd.DataFrame, answers: Predictions) -> dict[str, float]:
    """The metrics that go with a version; see `train` for the keys."""
    truth = holdout[LABEL].tolist()
    trivial = trivial_prediction(contract.target, rows[LABEL].tolist())
    trivial_loss = float(losses(contract.target, truth, [trivial] * len(truth)).mean())
    counts = {"rows": float(len(rows)), "holdout_rows": float(len(holdout))}
    return (
        metrics(contract.target, truth, answers.labels, answers.probabilities) | {"trivial_loss": trivial_loss} | counts
    )


def frame(contract: Contract, rows: pd.DataFrame) -> pd.DataFrame:
    """The frame the model sees for rows in the contract's kinds."""
    return contract.frame(columns(rows[list(contract.names)]))


def targets(contract: Contract, rows: pd.DataFrame) -> npt.NDArray[Any]:
    """The labels of `rows` as estimators take them: float64, or an object array of class texts."""
    return np.asarray(rows[LABEL].tolist(), dtype=np.float64 if contract.target.is_regression else object)


def columns(rows: pd.DataFrame) -> Columns:
    """Columns as plain Python values, every kind of missing as None."""
    return {str(name): _plain(rows[name]) for name in rows.columns}


def lineage(
    trainer: FileTrainer, rows: pd.DataFrame, holdout: pd.DataFrame, *, seed: int, snapshot: Mapping[str, Any]
) -> dict[str, Any]:
    """Where a version comes from: code, seed, environment and rows."""
    return {
        "trainer_digest": trainer.source_digest(),
        "seed": seed,
        "environment_digest": environment_digest(),
        "git_commit": git_commit(trainer.path),
        "snapshot": dict(snapshot),
        "row_digest": row_digest(rows),
        "holdout_digest": row_digest(holdout),
    }


def row_digest(rows: pd.DataFrame) -> str:
    """SHA-256 over names, values and order of `rows`, whatever its index."""
    digest = hashlib.sha256("\x1f".join(str(name) for name in rows.columns).encode())
    for name in rows.columns:
        digest.update("\x1e".join(map(repr, _plain(rows[name]))).encode())
    return digest.hexdigest()


def _plain(series: pd.Series) -> list[Any]:
    missing = series.isna()
    values: list[Any] = series.tolist()
    if missing.any():
        values = [None if gone else value for value, gone in zip(values, missing.tolist(), strict=True)]
    return values


def _seed(estimator: Any, seed: int) -> None:
    """Set every `random_state` the trainer left open, so that equal rows, code and seed give an equal model."""
    if not hasattr(estimator, "get_params"):
        return
    parameters = estimator.get_params(deep=True)
    unset = [name for name, value in parameters.items() if name.split("__")[-1] == "random_state" and value is None]
    if unset:
        estimator.set_params(**dict.fromkeys(unset, seed))


def _refuse_untrainable(contract: Contract, rows: pd.DataFrame, holdout: pd.DataFrame) -> None:
    if rows.empty or holdout.empty:
        raise ProjectInvalid(
            f"training needs rows to learn from and rows to be measured on; there are {len(rows)} and {len(holdout)}; "
            "collect more labelled rows"
        )
    if not contract.target.is_regression and rows[LABEL].nunique() < 2:
        raise ProjectInvalid(
            f"all {len(rows)} training rows have the label {str(rows[LABEL].iloc[0])!r}, so there is nothing to tell apart; "
            "use rows that hold at least two classes"
        )


def _refuse_bad_answers(contract: Contract, trainer: FileTrainer, answers: Predictions) -> None:
    if contract.target.is_regression:
        wrong = [value for value in answers.labels if not np.isfinite(value)]
    else:
        wrong = sorted(set(answers.labels) - set(contract.target.class_texts))
    if wrong:
        raise ProjectInvalid(
            f"the estimator of {trainer.path.name} answered {wrong[0]!r} on the hold-out, which is not a label of "
            f"{contract.target.name!r}; correct the trainer"
        )
