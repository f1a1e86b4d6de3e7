"""The contract: accepts or refuses rows on structure, and fixes what the model sees and answers."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lifecycle.checking import LONGEST_TEXT, MOST_PROBLEMS, id_texts
from lifecycle.contract import Columns, Contract, label_text
from lifecycle.errors import InputRejected
from tests import builders

CONTRACT = builders.contract()
TYPES = {"size": float, "rooms": int, "new": bool, "town": str, "sold": int}
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("2024-01-01")
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
json_rows = st.lists(
    st.dictionaries(st.sampled_from([*TYPES, "key", "strange"]), json_values, max_size=7) | json_values, max_size=5
)


def test_good_rows_become_columns_of_the_contract_s_kinds() -> None:
    columns = CONTRACT.check([builders.row(), builders.row(size=1, rooms=4.0, new=0, town=None, sold=None)])
    assert columns == {
        "size": [2.5, 1.0],
        "rooms": [3, 4],
        "new": [True, False],
        "town": ["Ghent", None],
        "sold": [1_714_564_800_000_000, None],
    }


def test_set_aside_columns_and_missing_nullable_ones_are_accepted() -> None:
    row = builders.row(key="anything")
    del row["town"], row["sold"]
    assert CONTRACT.check([row])["town"] == [None]


def test_a_value_that_is_only_new_is_accepted() -> None:
    CONTRACT.check([builders.row(town="Lima", size=1e300)])


@pytest.mark.parametrize(
    ("changes", "field", "problem"),
    [
        ({"size": "2.5"}, "size", "must be a finite number, not a text"),
        ({"size": True}, "size", "must be a finite number, not a boolean"),
        ({"size": math.nan}, "size", "must be a finite number, not a number"),
        ({"size": math.inf}, "size", "must be a finite number, not a number"),
        ({"size": 10**400}, "size", "must be a finite number, not an integer"),
        ({"size": None}, "size", "must not be null"),
        ({"rooms": 2.5}, "rooms", "must be a whole number within 64 bits, not a number"),
        ({"rooms": 2**63}, "rooms", "must be a whole number within 64 bits, not an integer"),
        ({"rooms": True}, "rooms", "must be a whole number within 64 bits, not a boolean"),
        ({"new": "true"}, "new", "must be true or false, not a text"),
        ({"new": 2}, "new", "must be true or false, not an integer"),
        ({"town": 7}, "town", "must be a text of at most 1000 characters, not an integer"),
        (
            {"town": "x" * (LONGEST_TEXT + 1)},
            "town",
            "must be a text of at most 1000 characters, not one of 1001 characters",
        ),
        ({"town": ["Ghent"]}, "town", "must be a text of at most 1000 characters, not a list"),
        ({"sold": "yesterday"}, "sold", "must be a date and time in ISO 8601, not a text"),
        ({"sold": 5}, "sold", "must be a date and time in ISO 8601, not an integer"),
        ({"colour": "red"}, "colour", "is not a field of this model"),
    ],
)
def test_a_broken_promise_names_row_field_and_problem(changes: dict[str, Any], field: str, problem: str) -> None:
    with pytest.raises(InputRejected) as caught:
        CONTRACT.check([builders.row(), builders.row(**changes)])
    (found,) = caught.value.problems
    assert (found.row, found.field, found.problem) == (1, field, problem)
    assert f"row 1, field '{field}' {problem}" in str(caught.value)


def test_a_missing_field_is_told_from_a_null_one() -> None:
    row = builders.row()
    del row["rooms"]
    with pytest.raises(InputRejected, match="field 'rooms' is missing"):
        CONTRACT.check([row])


def test_every_problem_is_reported_up_to_a_hundred() -> None:
    with pytest.raises(InputRejected) as caught:
        CONTRACT.check([{}] * 1000)
    assert len(caught.value.problems) == MOST_PROBLEMS


@given(json_rows)
def test_any_json_is_accepted_or_refused_and_what_is_accepted_has_the_contract_s_types(rows: list[Any]) -> None:
    columns = _checked(rows)
    if columns is None:
        return
    assert list(columns) == list(CONTRACT.names)
    for name, values in columns.items():
        assert len(values) == len(rows)
        assert all(value is None or type(value) is TYPES[name] for value in values)
    frame = CONTRACT.frame(columns)
    assert list(frame.columns) == list(CONTRACT.names)
    assert len(frame) == len(rows)


def test_the_model_s_frame_has_numbers_as_float_and_categories_as_objects() -> None:
    frame = CONTRACT.frame(CONTRACT.check([builders.row(), builders.row(town=None, sold=None)]))
    assert [str(kind) for kind in frame.dtypes] == ["float64", "float64", "float64", "object", "float64"]
    assert frame["town"].tolist() == ["Ghent", None]
    assert frame["sold"][0] == 1_714_564_800.0
    assert math.isnan(frame["sold"][1])


def test_a_frame_does_not_depend_on_the_order_of_columns() -> None:
    columns = CONTRACT.check([builders.row()])
    backwards = dict(reversed(columns.items()))
    assert CONTRACT.frame(columns).equals(CONTRACT.frame(backwards))


@pytest.mark.parametrize(
    ("classes", "told", "stored"),
    [
        (("no", "yes"), "yes", "yes"),
        ((0, 1), 1, "1"),
        ((0, 1), 1.0, "1"),
        ((0, 1), np.float64(1), "1"),
        ((False, True), True, "true"),
    ],
)
def test_labels_have_one_stored_form_and_come_back_as_callers_know_them(
    classes: tuple[Any, ...], told: object, stored: str
) -> None:
    target = CONTRACT.target.model_copy(update={"classes": classes})
    contract = builders.contract(target=target)
    assert contract.label(told) == stored
    assert contract.answer(stored) == told
    assert type(contract.answer(stored)) is type(classes[1])


@pytest.mark.parametrize("label", ["maybe", None, 1, True, [], {"a": 1}])
def test_a_label_that_is_no_class_is_refused(label: object) -> None:
    with pytest.raises(InputRejected, match="not one of the model's 2 classes"):
        CONTRACT.label(label)


@pytest.mark.parametrize("label", ["5", None, True, math.nan, math.inf, []])
def test_a_regression_label_is_a_finite_number(label: object) -> None:
    with pytest.raises(InputRejected, match="not a finite number"):
        builders.contract("regression").label(label)


def test_a_regression_label_is_stored_as_a_float() -> None:
    stored = builders.contract("regression").label(5)
    assert (stored, type(stored)) == (5.0, float)


@given(st.integers(-(2**53), 2**53))
def test_whole_numbers_have_one_text(number: int) -> None:
    assert label_text(number) == label_text(float(number)) == str(number)


def test_a_contract_survives_its_file() -> None:
    assert Contract.model_validate_json(CONTRACT.model_dump_json()) == CONTRACT
    assert json.loads(CONTRACT.model_dump_json())["target"]["classes"] == ["no", "yes"]


@pytest.mark.parametrize(("first", "second"), [("size", "Size"), ("é", "É"), ("size", "size")])
def test_columns_that_a_table_takes_for_one_are_refused(first: str, second: str) -> None:
    columns = [{"name": name, "kind": "numeric"} for name in (first, "other", second)]
    target = CONTRACT.target.model_dump()
    with pytest.raises(ValidationError, match=f"the columns '{first}' and '{second}' differ at most in .* case"):
        Contract.model_validate({"target": target, "columns": columns})


@pytest.mark.parametrize("classes", [("Yes", "yes"), (True, "true"), (1, "1")])
def test_classes_that_a_table_takes_for_one_are_refused(classes: tuple[object, ...]) -> None:
    target = {"name": "sold", "task": "binary", "classes": classes}
    with pytest.raises(ValidationError, match="the classes '.*' and '.*' differ at most in .* case"):
        Contract.model_validate({"target": target, "columns": []})


def marked(**changes: Any) -> Contract:
    """The contract with an id column `key`, and `privacy` and more as given."""
    return Contract.model_validate({**CONTRACT.model_dump(), "id": "key", **changes})


def test_marks_say_what_is_recorded_how() -> None:
    aside = [{"name": name, "reason": "is no feature"} for name in ("key", "who")]
    privacy = {"town": "pseudonymise", "size": "drop", "who": "subject", "key": "pseudonymise"}
    contract = marked(privacy=privacy, set_aside=aside)
    assert (contract.subject, contract.pseudonymised, contract.dropped) == ("who", ("town",), ("size",))
    assert (contract.hides_id, contract.needs_key, contract.is_plain) == (True, True, False)


def test_a_contract_without_marks_and_id_is_plain_and_needs_no_key() -> None:
    assert (CONTRACT.is_plain, CONTRACT.needs_key, CONTRACT.subject) == (True, False, None)
    assert (marked().is_plain, marked().needs_key, marked().hides_id) == (False, False, False)


def test_an_id_that_is_the_subject_is_hidden() -> None:
    contract = marked(privacy={"key": "subject"})
    assert (contract.hides_id, contract.subject) == (True, "key")


def test_a_contract_from_before_there_were_marks_is_read_as_one_without() -> None:
    content = CONTRACT.model_dump(mode="json")
    del content["privacy"]
    assert Contract.model_validate_json(json.dumps(content)) == builders.contract()


@pytest.mark.parametrize(
    ("privacy", "words"),
    [
        ({"twon": "drop"}, "privacy marks 'twon', which is neither a feature nor set aside"),
        ({"target": "drop"}, "privacy marks 'target', which is the target"),
        ({"target": "pseudonymise"}, "privacy marks 'target', which is the target"),
        ({"town": "subject"}, "the subject 'town' is a feature, which nothing could be erased from; set it aside"),
        ({"size": "pseudonymise"}, "pseudonymises the numeric feature 'size', and only categories can be"),
        ({"sold": "pseudonymise"}, "pseudonymises the datetime feature 'sold', and only categories can be"),
        ({"key": "drop"}, "privacy drops 'key', which is the id"),
        ({"key": "subject", "who": "subject"}, "privacy names two subjects, 'key' and 'who'"),
        ({"town": "encrypt"}, "Input should be 'drop', 'pseudonymise' or 'subject'"),
    ],
    ids=range(9),
)
def test_marks_that_cannot_be_kept_are_refused_in_a_sentence(privacy: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        marked(privacy=privacy)


@pytest.mark.parametrize("what", ["segments", "sensitive"])
@pytest.mark.parametrize(
    ("names", "privacy", "words"),
    [
        (("twon",), {}, "names 'twon', which is not a feature"),
        (("town", "key"), {}, "names 'key', which is not a feature"),
        (("target",), {}, "names 'target', which is not a feature"),
        (("size",), {"size": "drop"}, "names 'size', which privacy drops"),
    ],
)
def test_rows_are_grouped_only_by_features_that_the_log_keeps(
    what: str, names: tuple[str, ...], privacy: dict[str, str], words: str
) -> None:
    with pytest.raises(ValidationError, match=f"{what} {words}"):
        marked(privacy=privacy, **{what: names})


def test_rows_can_be_grouped_by_pseudonyms() -> None:
    contract = marked(privacy={"town": "pseudonymise"}, segments=("town",), sensitive=("town", "new"))
    assert (contract.segments, contract.sensitive) == (("town",), ("town", "new"))


def test_a_field_of_pseudonyms_takes_numbers_as_the_texts_they_are() -> None:
    contract = marked(privacy={"town": "pseudonymise"})
    rows = [builders.row(town=town) for town in ("Ghent", 10115, 10115.0, 0.5, None)]
    assert contract.check(rows)["town"] == ["Ghent", "10115", "10115", "0.5", None]
    with pytest.raises(
        InputRejected, match="field 'town' must be a text of at most 1000 characters, or a number that is"
    ):
        contract.check([builders.row(town=True)])


def test_the_id_and_the_subject_may_be_sent_with_a_row() -> None:
    contract = marked(privacy={"key": "subject"}, set_aside=CONTRACT.set_aside)
    assert contract.check([builders.row(key="A-17")]).keys() == set(contract.names)


def _checked(rows: list[Any]) -> Columns | None:
    try:
        return CONTRACT.check(rows)
    except InputRejected as error:
        rejected = error
    assert rejected.problems
    assert all(problem.row is not None and problem.row < len(rows) for problem in rejected.problems)
    return None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\ud800", "one with half of a surrogate pair, which is no character"),
        ("a\x00", "one with control characters"),
        ("x" * 201, "one of 201 characters"),
        (True, "a boolean"),
    ],
    ids=["half", "control", "long", "boolean"],
)
def test_an_id_that_cannot_be_kept_is_told_what_is_wrong_with_it(value: object, words: str) -> None:
    with pytest.raises(InputRejected, match=f"or a number that is exact, not {words}"):
        id_texts("key", [value])
