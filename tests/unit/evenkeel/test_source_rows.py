"""Rows of a file as requests: the contract accepts them, and the labels are its classes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evenkeel.infer import Wishes, infer
from evenkeel.read_source import read_source
from evenkeel.source_rows import request_labels, request_rows
from lifecycle.errors import InputRejected, ProjectInvalid
from lifecycle.privacy import PrivacyRules
from lifecycle.pseudonyms import Pseudonyms
from lifecycle.versions import LABEL, SUBJECT
from tests.unit.evenkeel.tables import table, write


@pytest.mark.parametrize("name", ["houses.csv", "houses.parquet"])
@pytest.mark.parametrize("target", ["sold", "price"])
def test_rows_and_labels_are_those_the_model_was_trained_on(tmp_path: Path, name: str, target: str) -> None:
    source = read_source(write(tmp_path, table(), name))
    inference = infer(source, Wishes(target))
    contract = inference.contract
    checked = contract.check(request_rows(contract, source))
    assert {column: list(checked[column]) for column in contract.names} == inference.rows[list(contract.names)].to_dict(
        "list"
    )
    labels = [contract.label(label) for label in request_labels(contract, source)]
    assert labels == inference.rows[LABEL].tolist()


def test_missing_values_are_null_and_missing_labels_none(tmp_path: Path) -> None:
    frame = table()
    frame.loc[3, ["town", "size", "sold"]] = [None, np.nan, None]
    source = read_source(write(tmp_path, frame))
    contract = infer(source, Wishes("sold")).contract
    row = request_rows(contract, source)[3]
    assert (row["town"], row["size"]) == (None, None)
    assert request_labels(contract, source)[3] is None


def test_values_that_do_not_fit_are_left_for_the_service_to_refuse(tmp_path: Path) -> None:
    contract = infer(read_source(write(tmp_path, table())), Wishes("sold")).contract
    broken = table(5).astype({"size": object})
    broken.loc[2, "size"] = "huge"
    rows = request_rows(contract, read_source(write(tmp_path, broken, "broken.csv")))
    with pytest.raises(InputRejected, match="row 2, field 'size' must be a finite number"):
        contract.check(rows)


def test_numbers_for_a_category_are_sent_as_text(tmp_path: Path) -> None:
    contract = infer(read_source(write(tmp_path, table())), Wishes("sold")).contract
    rows = request_rows(contract, read_source(write(tmp_path, table(3).assign(town=[1, 2, 3]), "numbers.csv")))
    assert [row["town"] for row in rows] == ["1", "2", "3"]


def test_a_file_without_the_target_gives_no_labels(tmp_path: Path) -> None:
    source = read_source(write(tmp_path, table()))
    contract = infer(source, Wishes("sold")).contract
    with pytest.raises(ProjectInvalid, match="no column 'sold'"):
        request_labels(contract, source.drop(columns="sold"))
    assert isinstance(source, pd.DataFrame)


@pytest.mark.parametrize("name", ["houses.csv", "houses.parquet"])
def test_ids_subjects_and_pseudonyms_of_requests_are_those_of_training(tmp_path: Path, name: str) -> None:
    pseudonyms = Pseudonyms(bytes(32))
    frame = table().assign(who=np.arange(200) % 7, postcode=np.arange(200) % 3 + 10_000)
    source = read_source(write(tmp_path, frame, name))
    wishes = Wishes("sold", id="key", subject="who", pseudonymise=("postcode",))
    inference = infer(source, wishes, pseudonyms)
    rows = request_rows(inference.contract, source)
    assert (rows[8]["key"], rows[8]["who"], rows[8]["postcode"]) == ("house 8", "1", "10002")
    checked = inference.contract.check(rows)
    marks = PrivacyRules(inference.contract, pseudonyms).of_rows(rows, checked)
    assert marks.external_ids == frame["key"].tolist()
    assert marks.subjects == inference.rows[SUBJECT].tolist()
    assert checked["postcode"] == inference.rows["postcode"].tolist()
