"""What speaks against training is found and said; ordinary rows pass."""

from typing import Any

import pandas as pd
import pytest

from lifecycle.records import Verdict, VerdictState
from lifecycle.versions import LABEL
from retrain.validation import findings
from tests.builders import numeric_contract
from tests.unit.retrain.making import config, judged, rows


def found(
    new: pd.DataFrame, latest: list[Verdict] | None = None, task: str = "regression", **changes: Any
) -> list[str]:
    settings = config()
    reference = changes.get("reference", rows(200, task=task, seed=9))
    return findings(new, reference, numeric_contract(task), latest or [], settings.retrain, settings.monitoring)


def window(state: VerdictState) -> Verdict:
    return judged(0, 1, state)


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_ordinary_rows_pass(task: str) -> None:
    assert found(rows(300, task=task), task=task) == []


def test_too_few_rows_are_the_only_finding() -> None:
    assert found(rows(99).assign(a=None)) == ["there are 99 new labelled rows; a retrain needs 100"]


@pytest.mark.parametrize(
    ("states", "blocked"),
    [
        (["data_quality"], True),
        (["no_traffic", "insufficient_data", "data_quality"], True),
        (["ok", "data_quality"], False),
        (["drift"], False),
        (["no_traffic"], False),
    ],
)
def test_only_breakage_in_the_newest_judged_window_blocks(states: list[VerdictState], blocked: bool) -> None:
    sentences = found(rows(300), [window(state) for state in states])
    assert sentences == (["the latest window was judged data_quality: half of 'a' is missing"] if blocked else [])


def test_a_surge_of_missing_values_names_the_column() -> None:
    broken = rows(300)
    broken.loc[:89, "b"] = None
    assert found(broken) == ["30% of 'b' is missing, against 0% in the reference"]


def test_a_column_that_is_often_missing_may_stay_so() -> None:
    often = rows(300)
    often.loc[::2, "b"] = None
    assert found(often, reference=often) == []


def test_labels_that_are_all_the_same_are_found() -> None:
    assert found(rows(300, task="binary").assign(**{LABEL: "yes"}), task="binary") == ["all 300 labels are 'yes'"]


def test_labels_outside_the_classes_are_found() -> None:
    strange = rows(300, task="binary")
    strange.loc[:4, LABEL] = "perhaps"
    assert found(strange, task="binary") == ["labels outside the contract's classes: perhaps"]


def test_rows_that_repeat_each_other_are_found() -> None:
    repeated = pd.concat([rows(100)] * 3, ignore_index=True)
    assert found(repeated) == ["67% of the rows repeat another, against 0% in the reference"]


def test_rows_may_repeat_where_the_reference_does() -> None:
    repeated = pd.concat([rows(100)] * 3, ignore_index=True)
    assert found(repeated, reference=repeated) == []


def test_what_the_log_does_not_keep_is_the_reason_why_nothing_is_learnt() -> None:
    contract = numeric_contract("regression").model_copy(update={"privacy": {"b": "drop"}})
    settings = config()
    (reason,) = findings(rows(300), rows(200), contract, [], settings.retrain, settings.monitoring)
    assert "the feature log does not keep 'b', as the contract's privacy says (drop)" in reason
    assert "`evenkeel init`" in reason
    assert "set the column aside (--drop)" in reason
    assert "from a file" not in reason, "no command does that"
