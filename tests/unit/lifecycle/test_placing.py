"""Where a column's values are, when names stay and kinds change."""

import pyarrow as pa

from lifecycle.feature_log.placing import ARROW, column_of, columns_of, placed


def schema(**kinds: str) -> pa.Schema:
    return pa.schema([(name, ARROW[kind]) for name, kind in kinds.items()])


def grown(*wanted: pa.Schema) -> pa.Schema:
    """A table's columns after rows of each schema were appended."""
    stored = pa.schema([])
    for part in wanted:
        for name, to in placed(stored, part).items():
            if to not in stored.names:
                stored = stored.append(pa.field(to, part.field(name).type))
    return stored


def test_the_first_kind_has_the_plain_name_and_keeps_it() -> None:
    stored = grown(schema(feature_age="numeric"), schema(feature_age="categorical"), schema(feature_age="numeric"))
    assert stored.names == ["feature_age", "categorical_feature_age"]


def test_each_kind_is_found_where_it_was_placed() -> None:
    stored = grown(schema(feature_age="integer"), schema(feature_age="datetime"))
    found = [column_of(stored, "feature_age", kind) for kind in ("integer", "datetime", "boolean")]
    assert found == ["feature_age", "datetime_feature_age", None]


def test_names_that_differ_in_case_alone_never_share_a_column() -> None:
    names = ("feature_ab", "feature_Ab", "feature_aB")
    stored = grown(*(schema(**{name: "numeric"}) for name in names))
    places = [column_of(stored, name, "numeric") for name in names]
    assert len({place.lower() for place in places if place}) == 3
    assert grown(*(schema(**{name: "numeric"}) for name in [*names, *names])) == stored


def test_twins_of_one_schema_are_placed_apart() -> None:
    assert placed(pa.schema([]), schema(feature_x="numeric", feature_X="numeric")) == {
        "feature_x": "feature_x",
        "feature_X": "numeric_feature_X",
    }


def test_a_name_stands_for_all_of_its_columns_and_for_no_other() -> None:
    names = ["feature_age", "categorical_feature_age", "feature_ages", "my_feature_age", "integer_integer_feature_age"]
    assert columns_of(names, "feature_age") == ["feature_age", "categorical_feature_age", "integer_integer_feature_age"]
    assert columns_of(["feature_a.b", "feature_axb"], "feature_a.b") == ["feature_a.b"]
