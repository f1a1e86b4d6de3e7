"""What must hold of the rows before anything learns from them. A finding is a sentence; any finding refuses the run."""

import pandas as pd

from lifecycle.config import MonitoringSection, RetrainSection
from lifecycle.contract import Contract
from lifecycle.records import Verdict
from lifecycle.versions import LABEL

LARGEST_DUPLICATE_SHARE = 0.5
QUIET = ("no_traffic", "insufficient_data")


def findings(
    rows: pd.DataFrame,
    reference: pd.DataFrame,
    contract: Contract,
    latest: list[Verdict],
    retrain: RetrainSection,
    monitoring: MonitoringSection,
) -> list[str]:
    """Everything that speaks against training on `rows`; empty when nothing does."""
    if contract.dropped:
        return [_not_kept(contract)]
    if len(rows) < retrain.minimum_rows:
        return [f"there are {len(rows)} new labelled rows; a retrain needs {retrain.minimum_rows}"]
    return [
        *_broken_window(latest),
        *_missing(rows, reference, contract, monitoring.null_surge),
        *_labels(rows, contract),
        *_duplicates(rows, reference, contract),
    ]


def _not_kept(contract: Contract) -> str:
    """What a model sees and the log does not keep, no other model can learn from the log."""
    names = ", ".join(map(repr, contract.dropped))
    return (
        f"the feature log does not keep {names}, as the contract's privacy says (drop), so nothing can learn from it; "
        "make the project anew with `evenkeel init`, and there set the column aside (--drop), pseudonymise it if it is a "
        "category, or let the log keep it"
    )


def _broken_window(latest: list[Verdict]) -> list[str]:
    judged = [verdict for verdict in latest if verdict.state not in QUIET]
    if not judged or judged[0].state != "data_quality":
        return []
    return [f"the latest window was judged data_quality: {'; '.join(judged[0].reasons[:3])}"]


def _missing(rows: pd.DataFrame, reference: pd.DataFrame, contract: Contract, surge: float) -> list[str]:
    found: list[str] = []
    for name in contract.names:
        now, before = float(rows[name].isna().mean()), float(reference[name].isna().mean())
        if now - before > surge:
            found.append(f"{now:.0%} of {name!r} is missing, against {before:.0%} in the reference")
    return found


def _labels(rows: pd.DataFrame, contract: Contract) -> list[str]:
    distinct = rows[LABEL].nunique()
    if distinct < 2:
        return [f"all {len(rows)} labels are {rows[LABEL].tolist()[0]!r}"]
    if contract.target.is_regression:
        return []
    strange = sorted(set(rows[LABEL].astype(str)) - set(contract.target.class_texts))
    return [f"labels outside the contract's classes: {', '.join(strange[:5])}"] if strange else []


def _duplicates(rows: pd.DataFrame, reference: pd.DataFrame, contract: Contract) -> list[str]:
    """Repeated rows, features and label alike, beyond what the reference shows to be normal here."""
    columns = [*contract.names, LABEL]
    now, before = float(rows[columns].duplicated().mean()), float(reference[columns].duplicated().mean())
    if now - before <= LARGEST_DUPLICATE_SHARE:
        return []
    return [f"{now:.0%} of the rows repeat another, against {before:.0%} in the reference"]
