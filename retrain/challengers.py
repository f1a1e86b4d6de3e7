"""Who challenges: the labelled rows of a run split by time, and the training windows that each give a challenger.

After a change of the world neither all rows nor only the newest are always best, so several windows compete on the
hold-out: everything known, the newest half and quarter of it, and what came since the champion was trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import structlog

from lifecycle.contract import Contract
from lifecycle.records import ModelVersion
from lifecycle.versions import AT, LABEL, SUBJECT
from retrain.snapshot import Snapshot
from retrain.trainer import FileTrainer
from retrain.training import Trained, train

SMALLEST_HOLDOUT = 50
SMALLEST_WINDOW = 100
NEWEST = {"newest_half": 2, "newest_quarter": 4}
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Rows:
    """The labelled rows of a run, in order of time.

    `history` was known to the champion, `fresh` and `holdout` were not; `holdout` is the newest part and is trained on
    by nobody.
    """

    snapshot: Snapshot
    history: pd.DataFrame
    fresh: pd.DataFrame
    holdout: pd.DataFrame

    @property
    def unseen(self) -> pd.DataFrame:
        return pd.concat([self.fresh, self.holdout], ignore_index=True)

    @property
    def seen_until(self) -> int:
        """Rows up to this moment are known to a version made here: the hold-out too, since it chose the version."""
        return int(self.holdout[AT].max())


def split(snapshot: Snapshot, rows: pd.DataFrame, champion: ModelVersion, holdout_share: float) -> Rows:
    """Divide a snapshot's rows by what the champion knows and by time."""
    seen_until = champion.lineage.get("snapshot", {}).get("seen_until", 0)
    unseen = rows[rows[AT] > seen_until]
    size = min(max(int(len(unseen) * holdout_share), SMALLEST_HOLDOUT), max(len(unseen) - 1, 0))
    cut = len(unseen) - size
    parts = (rows[rows[AT] <= seen_until], unseen.iloc[:cut], unseen.iloc[cut:])
    return Rows(snapshot, *(part.reset_index(drop=True) for part in parts))


def windows(origin: pd.DataFrame, rows: Rows) -> dict[str, pd.DataFrame]:
    """The training windows by name; `origin` are the rows that the first version with these columns was trained on."""
    everything = pd.concat([origin, rows.history, rows.fresh], ignore_index=True)
    found = {"everything": everything}
    found |= {name: everything.tail(len(everything) // part) for name, part in NEWEST.items()}
    found["since_champion"] = rows.fresh
    return {name: window for name, window in found.items() if name == "everything" or _teaches(window)}


def _teaches(window: pd.DataFrame) -> bool:
    """A short window may well hold labels of one class only: it is left out, and the run goes on without it."""
    return len(window) >= SMALLEST_WINDOW and len(window[LABEL].unique()) > 1


def train_all(
    contract: Contract,
    trainer: FileTrainer,
    training_windows: Mapping[str, pd.DataFrame],
    rows: Rows,
    *,
    champion: int,
    seed: int,
    threads: int,
) -> dict[str, Trained]:
    """One challenger per window, each measured on the hold-out."""
    described = rows.snapshot.describe() | {"seen_until": rows.seen_until}
    trained: dict[str, Trained] = {}
    for name, window in training_windows.items():
        trained[name] = train(
            contract,
            trainer,
            _learnt(contract, window),
            _learnt(contract, rows.holdout),
            seed=seed,
            threads=threads,
            snapshot=described,
            parent=champion,
        )
        log.info("challenger_trained", challenger=name, rows=len(window), seconds=round(trained[name].seconds, 3))
    return trained


def _learnt(contract: Contract, rows: pd.DataFrame) -> pd.DataFrame:
    """What a version keeps of `rows`: its columns, the label, and where known when each was and whom it is about."""
    return rows[[*contract.names, LABEL, *(name for name in (AT, SUBJECT) if name in rows)]]
