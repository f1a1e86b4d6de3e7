"""The contract that a table gives, and the tables that give none."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from evenkeel.infer import Inference, Wishes, infer
from evenkeel.read_source import read_source
from lifecycle.contract import Column
from lifecycle.errors import ProjectInvalid
from lifecycle.pseudonyms import FORM, Pseudonyms
from lifecycle.versions import LABEL, SUBJECT
from tests.unit.evenkeel.tables import table, write


def inferred(
    tmp_path: Path, frame: pd.DataFrame, target: str = "sold", name: str = "houses.csv", **wishes: Any
) -> Inference:
    return infer(read_source(write(tmp_path, frame, name)), Wishes(target, **wishes))


def columns(inference: Inference) -> dict[str, Column]:
    return {column.name: column for column in inference.contract.columns}


def reasons(inference: Inference) -> dict[str, str]:
    return {item.name: item.reason for item in inference.contract.set_aside}


@pytest.mark.parametrize("name", ["houses.csv", "houses.parquet"])
def test_each_kind_is_recognised_with_what_was_observed(tmp_path: Path, name: str) -> None:
    source = table()
    found = columns(inferred(tmp_path, source, name=name, drop=("price",)))
    assert {key: column.kind for key, column in found.items()} == {
        "size": "numeric",
        "rooms": "integer",
        "garden": "boolean",
        "town": "categorical",
        "built": "datetime",
    }
    assert not any(column.nullable for column in found.values())
    assert (found["size"].minimum, found["size"].maximum) == (source["size"].min(), source["size"].max())
    assert found["town"].categories == ("Ghent", "Turin", "York")


def test_the_rows_pass_the_contract_they_gave(tmp_path: Path) -> None:
    source = table()
    inference = inferred(tmp_path, source, drop=("price",))
    rows = source.astype({"garden": bool}).to_dict("records")
    checked = inference.contract.check(rows)
    expected = inference.contract.frame({name: inference.rows[name].tolist() for name in inference.contract.names})
    pd.testing.assert_frame_equal(inference.contract.frame(checked), expected)


@pytest.mark.parametrize("name", ["houses.csv", "houses.parquet"])
def test_missing_values_make_a_column_nullable_and_keep_its_kind(tmp_path: Path, name: str) -> None:
    source = table()
    names = ["size", "rooms", "garden", "town", "built"]
    for offset, column in enumerate(names):
        source[column] = source[column].astype(object).mask(source.index % 7 == offset)
    source = source.astype({"size": "float64", "rooms": "Int64", "garden": "boolean"})
    inference = inferred(tmp_path, source, name=name)
    found = columns(inference)
    assert [found[column].kind for column in names] == ["numeric", "integer", "boolean", "categorical", "datetime"]
    assert all(found[column].nullable for column in names)
    assert inference.rows[names].isna().sum().between(28, 29).all()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (list(range(200)), "numbers the rows"),
        (list(range(400, 0, -2)), "numbers the rows"),
        ([f"k{index}" for index in range(200)], "is different in nearly every row"),
        ([5] * 200, "is constant .'5' in every row"),
        ([None] * 200, "is empty in every row"),
        ([f"a quiet street near stop {index % 90}" for index in range(200)], "is free text"),
    ],
)
def test_a_column_that_says_nothing_is_set_aside_in_a_sentence(tmp_path: Path, values: list[Any], reason: str) -> None:
    inference = inferred(tmp_path, table().assign(odd=values))
    assert "odd" not in columns(inference)
    assert reasons(inference)["odd"].startswith(reason.replace("constant .", "constant ("))


def test_more_texts_than_a_category_may_have_are_set_aside(tmp_path: Path) -> None:
    source = table(900).assign(street=[f"street {index % 300}" for index in range(900)])
    assert "300 different texts, more than the 200" in reasons(inferred(tmp_path, source))["street"]


def test_a_constant_with_gaps_is_a_feature(tmp_path: Path) -> None:
    source = table().assign(lift=np.where(np.arange(200) % 3, "yes", ""))
    assert columns(inferred(tmp_path, source))["lift"].nullable


def test_columns_named_by_the_caller_are_set_aside_and_said_so(tmp_path: Path) -> None:
    inference = inferred(
        tmp_path, table(), time="built", id="key", drop=("price",), segments=("town",), sensitive=("garden", "rooms")
    )
    said = reasons(inference)
    assert "--id" in said["key"]
    assert "--time" in said["built"]
    assert "--drop" in said["price"]
    assert said["sold"] == "is the target, what is predicted"
    assert (inference.contract.time, inference.contract.id, inference.contract.segments) == ("built", "key", ("town",))
    assert inference.contract.sensitive == ("garden", "rooms")


def test_rows_are_in_time_order_and_ties_keep_the_files_order(tmp_path: Path) -> None:
    source = table()[["size", "sold"]].assign(day=[f"2024-01-0{1 + index % 3}" for index in range(200)])
    inference = inferred(tmp_path, source, time="day")
    assert inference.rows["size"].tolist() == source.sort_values("day", kind="stable")["size"].tolist()


def test_rows_without_a_label_or_a_time_are_set_aside_with_a_note(tmp_path: Path) -> None:
    source = table()
    source.loc[:9, "sold"] = None
    source.loc[10:14, "built"] = None
    inference = inferred(tmp_path, source, time="built")
    assert len(inference.rows) == 185
    assert [note.split(" rows")[0] for note in inference.notes] == ["10 of 200", "5 of 190"]
    assert set(inference.rows[LABEL]) == {"yes", "no"}


def test_a_dropped_column_may_hold_anything(tmp_path: Path) -> None:
    mixed = [index if index % 2 else "many" for index in range(200)]
    assert "odd" in reasons(inferred(tmp_path, table().assign(odd=mixed), drop=("odd",)))


@pytest.mark.parametrize(
    ("changes", "wishes", "said"),
    [
        ({}, {"target": "Sold"}, "--target names 'Sold', but there is no such column; did you mean 'sold'?"),
        ({}, {"drop": ("prise",)}, "--drop names 'prise'.*did you mean 'price'"),
        ({}, {"time": "when"}, "--time names 'when'"),
        ({}, {"id": "identifier"}, "--id names 'identifier'"),
        ({}, {"segments": ("area",)}, "--segment names 'area'"),
        ({}, {"segments": ("key",)}, "--segment names 'key', which is not a feature"),
        ({}, {"sensitive": ("area",)}, "--sensitive names 'area'"),
        ({}, {"sensitive": ("town", "key")}, "--sensitive names 'key', which is not a feature"),
        ({}, {"sensitive": ("sold",)}, "--sensitive names the target 'sold'"),
        ({}, {"sensitive": ("town",), "drop": ("town",)}, "--sensitive names 'town', which is not a feature"),
        ({}, {"sensitive": ("town",), "unlogged": ("town",)}, "--unlogged and --sensitive both name 'town'"),
        ({}, {"segments": ("town",), "unlogged": ("town",)}, "--unlogged and --segment both name 'town'"),
        ({}, {"drop": ("sold",)}, "--drop names the target 'sold'"),
        ({}, {"time": "town"}, "time column 'town' cannot be read as dates"),
        ({"sold": "yes"}, {}, "the target 'sold' is 'yes' in every row"),
        ({"sold": np.nan}, {}, "label column 'sold' is empty in all 200 rows"),
        ({"sold": ["1", "no"] * 100}, {}, "mixes numbers and text.*name another target"),
        ({"rooms": ["1", "few"] * 100}, {}, "'rooms' mixes numbers and text.*--drop rooms"),
        ({"__label__": 1}, {}, "'__label__' is used by Evenkeel itself"),
        ({}, {"drop": ("size", "rooms", "garden", "town", "built", "price")}, "no column is left to predict from"),
    ],
)
def test_what_cannot_be_understood_is_refused(
    tmp_path: Path, changes: dict[str, Any], wishes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ProjectInvalid, match=said) as refusal:
        inferred(tmp_path, table().assign(**changes), **wishes)
    assert "\n" not in str(refusal.value)


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectInvalid, match=r"30 usable rows, too few .* at least 50"):
        inferred(tmp_path, table(30))


def test_numbers_of_1e307_are_a_feature_and_larger_ones_are_set_aside(tmp_path: Path) -> None:
    source = table().assign(large=lambda frame: frame["size"] * 5e304, huge=lambda frame: frame["size"] * 8e305)
    inference = inferred(tmp_path, source)
    assert columns(inference)["large"].kind == "numeric"
    assert "too large to calculate with" in reasons(inference)["huge"]


def test_amounts_as_text_are_noted_whether_set_aside_or_not(tmp_path: Path) -> None:
    source = table().assign(
        asked=lambda frame: frame["price"].map("${:,.2f}".format), share=lambda frame: frame["rooms"].map("{}%".format)
    )
    asked, share = (note for note in inferred(tmp_path, source).notes if "written as text" in note)
    assert asked.startswith("asked holds amounts written as text ('$")
    assert "was set aside" in asked
    assert asked.endswith("--drop asked")
    assert "share" in share
    assert "is taken for categories" in share


def test_a_target_of_amounts_as_text_is_refused(tmp_path: Path) -> None:
    source = table().assign(price=lambda frame: frame["price"].map("{:.2f} EUR".format))
    with pytest.raises(ProjectInvalid, match="the target 'price' holds amounts written as text"):
        inferred(tmp_path, source, target="price")


def test_features_that_differ_only_in_case_are_refused_until_one_is_dropped(tmp_path: Path) -> None:
    source = table().assign(Size=lambda frame: frame["size"] + 1)
    with pytest.raises(ProjectInvalid, match=r"'size' and 'Size' differ only in upper and lower case.*--drop Size"):
        inferred(tmp_path, source)
    assert "size" in columns(inferred(tmp_path, source, drop=("Size",)))


PSEUDONYMS = Pseudonyms(bytes(32))


def private(tmp_path: Path, frame: pd.DataFrame, name: str = "houses.csv", **wishes: Any) -> Inference:
    source = read_source(write(tmp_path, frame, name))
    return infer(source, Wishes("sold", drop=("price",), **wishes), PSEUDONYMS)


@pytest.mark.parametrize("name", ["houses.csv", "houses.parquet"])
def test_a_pseudonymised_column_is_known_by_its_pseudonyms_alone(tmp_path: Path, name: str) -> None:
    inference = private(tmp_path, table(), name, pseudonymise=("town",))
    towns = {PSEUDONYMS.of(town) for town in ("Ghent", "Turin", "York")}
    assert set(columns(inference)["town"].categories) == set(inference.rows["town"]) == towns
    assert inference.contract.privacy == {"town": "pseudonymise"}
    assert inference.sent == {"town": table()["town"].iloc[-1]}
    assert not any(town in inference.contract.model_dump_json() for town in ("Ghent", "Turin", "York"))


@pytest.mark.parametrize("name", ["houses.csv", "houses.parquet"])
def test_a_pseudonymised_column_of_numbers_is_a_category(tmp_path: Path, name: str) -> None:
    frame = table().assign(postcode=np.where(np.arange(200) % 2, 10115.0, 1067.0))
    frame.loc[0, "postcode"] = np.nan
    column = columns(private(tmp_path, frame.astype({"postcode": "Int64"}), name, pseudonymise=("postcode",)))[
        "postcode"
    ]
    assert (column.kind, column.nullable) == ("categorical", True)
    assert set(column.categories) == {PSEUDONYMS.of("10115"), PSEUDONYMS.of("1067")}


def test_a_pseudonymised_column_that_is_no_feature_tells_no_value_in_its_reason(tmp_path: Path) -> None:
    inference = private(tmp_path, table().assign(state="Secretland"), pseudonymise=("state", "key"))
    assert reasons(inference).keys() >= {"state", "key"}
    assert not any("Secretland" in text or "house" in text for text in (*reasons(inference).values(), *inference.notes))


def test_a_subject_is_set_aside_and_beside_the_rows_as_a_pseudonym(tmp_path: Path) -> None:
    frame = table().assign(who=[f"person {index % 9}" for index in range(200)])
    frame.loc[5, "who"] = None
    inference = private(tmp_path, frame, subject="who", id="key")
    assert "only a pseudonym is kept" in reasons(inference)["who"]
    assert (inference.contract.subject, inference.contract.privacy) == ("who", {"who": "subject"})
    assert inference.contract.key_check == PSEUDONYMS.check
    subjects = inference.rows[SUBJECT].tolist()
    assert subjects[:5] == [PSEUDONYMS.subject(f"person {index}") for index in range(5)]
    assert subjects[5] is None
    assert all(FORM.fullmatch(token) for token in subjects if token)
    assert inference.sent == {"key": "house 199", "who": "person 1"}


def test_a_subject_stays_beside_its_row_when_time_orders_them(tmp_path: Path) -> None:
    frame = table().assign(who=[f"person {index}" for index in range(200)])
    inference = private(tmp_path, frame, subject="who", time="built", pseudonymise=("town",))
    order = frame.sort_values("built", kind="stable")
    assert inference.rows[SUBJECT].tolist() == [PSEUDONYMS.subject(who) for who in order["who"]]
    assert inference.rows["town"].tolist() == [PSEUDONYMS.of(town) for town in order["town"]]


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"subject": "customer"}, "--subject names 'customer', but there is no such column"),
        ({"pseudonymise": ("twon",)}, "--pseudonymise names 'twon', but there is no such column; did you mean 'town'?"),
        ({"subject": "sold"}, "--subject names the target 'sold'"),
        ({"pseudonymise": ("sold",)}, "--pseudonymise names the target 'sold'"),
        ({"subject": "key", "pseudonymise": ("key",)}, "leave out --pseudonymise"),
        ({"unlogged": ("twon",)}, "--unlogged names 'twon', but there is no such column"),
        ({"unlogged": ("key",), "id": "key"}, "--unlogged and --id both name 'key'"),
        ({"unlogged": ("town",), "pseudonymise": ("town",)}, "--unlogged and --pseudonymise both name 'town'"),
        ({"subject": "built", "time": "built"}, "--subject and --time both name 'built'"),
    ],
    ids=range(9),
)
def test_marks_that_contradict_are_refused(tmp_path: Path, wishes: dict[str, Any], words: str) -> None:
    with pytest.raises(ProjectInvalid, match=words):
        private(tmp_path, table(), **wishes)


def test_an_unlogged_feature_is_learnt_from_and_marked(tmp_path: Path) -> None:
    inference = infer(read_source(write(tmp_path, table())), Wishes("sold", unlogged=("town", "key")))
    assert set(inference.rows["town"]) == {"Ghent", "Turin", "York"}
    assert (inference.contract.dropped, inference.sent) == (("town",), {})
    assert inference.contract.needs_key is False
