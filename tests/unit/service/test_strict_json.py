"""Strict JSON: what every reader reads alike is read; what they do not is refused, and the place is named."""

import gc
import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service import strict_json
from service.strict_json import JsonLimits, JsonRefused, MalformedJson, decode

SMALL = JsonLimits(depth=4, keys=5, number=20)
SIGNED, UNSIGNED = -(2**63), 2**64 - 1
texts = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["a:b", '":', '\\":{[', "[[[{{{", "9" * 40, " :"]
)
scalars = (
    st.none() | st.booleans() | st.integers(SIGNED, UNSIGNED) | st.floats(allow_nan=False, allow_infinity=False) | texts
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
rows = st.fixed_dictionaries({"rows": st.lists(st.dictionaries(texts, scalars, max_size=4) | values, max_size=6)})
layouts = st.sampled_from([{"separators": (",", ":")}, {"separators": (" ,\t", " \n: ")}, {"indent": 1}])
few = settings(max_examples=40)
paddings = st.sampled_from([0, strict_json._SHORT_BYTES])


def written(value: Any, layout: dict[str, Any], padding: int, ascii_only: bool = True) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only, **layout).encode() + b" " * padding


@given(values | rows, layouts, paddings, st.booleans())
@example({"rows": [{"a": 1}, {"b": "at 10:30"}, {}]}, {}, strict_json._SHORT_BYTES, True)
@example({"rows": ["ab", {"a": 1}]}, {}, 0, True)
def test_every_json_value_is_read_as_the_standard_library_reads_it(
    value: Any, layout: dict[str, Any], padding: int, ascii_only: bool
) -> None:
    body = written(value, layout, padding, ascii_only)
    assert decode(body) == json.loads(body)


def with_a_key_twice(value: Any, draw: Callable[[int], int]) -> str | None:
    """`value` as JSON text in which one object, of those that have keys, has a key twice; None when there is none."""
    objects = list(objects_with_keys(value))
    if not objects:
        return None
    chosen = objects[draw(len(objects))]
    key = list(chosen)[draw(len(chosen))]

    def text(item: Any) -> str:
        if isinstance(item, dict):
            members = [f"{json.dumps(name)} :{text(inner)}" for name, inner in item.items()]
            if item is chosen:
                members.insert(draw(len(members) + 1), f"{escaped(key)}: 0")
            return "{" + ", ".join(members) + "}"
        if isinstance(item, list):
            return "[" + ",".join(map(text, item)) + "]"
        return json.dumps(item)

    return text(value)


def objects_with_keys(value: Any) -> Any:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and value:
        yield value
    for child in children:
        yield from objects_with_keys(child)


def escaped(key: str) -> str:
    """The same key, every character of the basic plane written as an escape."""
    return '"' + "".join(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else char for char in key) + '"'


@few
@given(values | rows, paddings, st.data())
def test_a_key_that_stands_twice_is_refused_wherever_it_is_and_however_it_is_written(
    value: Any, padding: int, data: st.DataObject
) -> None:
    text = with_a_key_twice(value, lambda count: data.draw(st.integers(0, count - 1)))
    if text is not None:
        with pytest.raises(JsonRefused, match="stands twice in one object"):
            decode(text.encode() + b" " * padding)


@few
@given(st.lists(st.integers(0, 9), min_size=90, max_size=110), st.integers(0, 40), st.integers(0, 40), paddings)
def test_only_numbers_written_too_long_are_refused_for_their_length(
    digits: list[int], point: int, exponent: int, padding: int
) -> None:
    figures = "".join(map(str, digits))
    number = f"1{figures[:point]}.{figures[point:]}e-{'0' * exponent}1"
    body = b" " * padding + f'{{"rows":[{{"a":{number}}}]}}'.encode()
    if len(number) > strict_json.LIMITS.number:
        with pytest.raises(JsonRefused, match=r"^rows\[0\]\.a: the number is written with more than 100 characters"):
            decode(body)
    else:
        assert decode(body) == json.loads(body)


@given(st.integers(20, 60), st.integers(0, 90), paddings)
def test_the_same_holds_for_another_limit(limit: int, digits: int, padding: int) -> None:
    body = b"[" + b"0." + b"7" * (digits + 1) + b"]" + b" " * padding
    refused = False
    try:
        decode(body, JsonLimits(number=limit))
    except JsonRefused:
        refused = True
    assert refused == (digits + 3 > limit)


@few
@given(values, st.integers(1, 6))
def test_nesting_is_refused_exactly_beyond_the_limit(value: Any, depth: int) -> None:
    body = json.dumps(value).encode()
    if deepest(value) <= depth:
        assert decode(body, JsonLimits(depth=depth)) == value
    else:
        with pytest.raises(JsonRefused, match=f"nest deeper than {depth} levels"):
            decode(body, JsonLimits(depth=depth))


def deepest(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value
    return 1 + max(map(deepest, children), default=0) if isinstance(value, dict | list) else 0


REFUSED = {
    "NaN": (b'{"rows": [{"age": NaN}]}', "rows[0].age", "NaN is not a number"),
    "Infinity": (b'{"rows": [{}, {"age": Infinity}]}', "rows[1].age", "Infinity is not a number"),
    "negative Infinity": (b"[0, [-Infinity]]", "[1][0]", "Infinity is not a number"),
    "alone": (b"NaN", "the body", "NaN is not a number"),
    "after letters of two bytes": ('{"é": NaN}'.encode(), "é", "NaN is not a number"),
    "1e999": (b'{"rows": [{"a": 1, "b": 1e999}]}', "rows[0].b", "out of range"),
    "-1e999": (b'{"rows": [{"a": 1, "b": -1E+999}]}', "rows[0].b", "out of range"),
    "thousands of digits": (b'{"rows": [{"a": ' + b"9" * 5_000 + b"}]}", "rows[0].a", "out of range"),
    "a long fraction": (b"[0." + b"1" * 5_000 + b"]", "[0]", "more than 100 characters"),
    "a long integer that fits": (b"[1" + b"0" * 200 + b"]", "[0]", "more than 100 characters"),
    "duplicate": (b'{"rows": [{"a": 1}, {"a": 1, "b": 2, "a": 3}]}', "rows[1].a", "twice"),
    "duplicate list": (b'{"rows": [], "rows": [{"a": 1}]}', "rows", "twice"),
    "duplicate hidden by a text row": (b'{"rows": [1], "rows": [2], "rows": ["ab"]}', "rows", "twice"),
    "duplicate behind an escape": (b'{"a": 1, "\\u0061": 2}', "a", "twice"),
    "duplicate with spaces": (b'{"a"  : 1, "b" \n: 2, "b":3}', "b", "twice"),
    "duplicate made up for by a colon": (b'{"rows": [{"a": ":", "a": "::"}]}', "rows[0].a", "twice"),
    "duplicate empty key": (b'{"": {"": 1, "": 1}}', ".", "twice"),
    "thirty-three levels": (b"[" * 33 + b"]" * 33, "[0]" * 32, "deeper than 32 levels"),
    "more levels than a reader can follow": (b"[" * 100_000 + b"]" * 100_000, "[0]" * 32, "deeper than 32 levels"),
    "levels of objects": (b'{"a":' * 33 + b"1" + b"}" * 33, ".".join("a" * 32), "deeper than 32 levels"),
    "levels in one row": (
        b'{"rows": [{"a": 1}, {"a": ' + b"[" * 30 + b"]" * 30 + b"}]}",
        "rows[1].a" + "[0]" * 29,
        "deeper than 32 levels",
    ),
    "too many keys": (
        json.dumps({"rows": [{}, {str(key): 1 for key in range(10_001)}]}).encode(),
        "rows[1].10000",
        "more than 10000 keys",
    ),
}


@pytest.mark.parametrize(("body", "place", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_readers_disagree_on_is_refused_by_the_name_of_its_place(body: bytes, place: str, problem: str) -> None:
    with pytest.raises(JsonRefused) as refused:
        decode(body)
    assert refused.value.place == place
    assert str(refused.value).startswith(f"{place}: ")
    assert problem in str(refused.value)
    assert refused.value.problems[0].field == place


MALFORMED = {
    "empty": (b"", 1, 1),
    "cut off": (b'{"rows": [', 1, 11),
    "second line": (b'{"a": 1,\n "b" 2}', 2, 6),
    "trailing comma": (b"[1,]", 1, 3),
    "two values": (b"[1] x", 1, 5),
    "single quotes": (b"{'a': 1}", 1, 2),
    "a comment": (b"/* */1", 1, 1),
    "leading zero": (b"01", 1, 1),
    "nan in lower case": (b"[nan]", 1, 2),
    "NaN as a key": (b"{NaN: 1}", 1, 2),
    "NaN after a value": (b"[1 NaN]", 1, 4),
    "NaN and more": (b"[NaNs]", 1, 2),
    "not UTF-8": (b'{"a":\n "\xff"}', 2, 3),
    "a raw surrogate": (b'["\xed\xa0\x80"]', 1, 3),
    "a lone surrogate": (b'["\\ud800"]', 1, 3),
    "a control character": (b'["\x01"]', 1, 3),
    "a byte order mark": (b"\xef\xbb\xbf{}", 1, 1),
    "a pickle": (b"\x80\x04\x95.", 1, 1),
}


@pytest.mark.parametrize(("body", "line", "column"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_json_is_malformed_at_a_line_and_column(body: bytes, line: int, column: int) -> None:
    with pytest.raises(MalformedJson, match=f"at line {line}, column {column}$") as malformed:
        decode(body)
    assert (malformed.value.line, malformed.value.column) == (line, column)


@given(st.binary(max_size=40) | st.text('{}[]",:0123456789.eE-+ \\untrfalsNI', max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused_and_nothing_else(body: bytes) -> None:
    try:
        said = str(decode(body, SMALL))
    except (MalformedJson, JsonRefused) as error:
        said = str(error)
    assert len(said) < 1_000


def test_an_integer_beyond_64_bits_is_its_nearest_double() -> None:
    assert decode(b"[123456789012345680000, 18446744073709551615]") == [1.2345678901234568e20, UNSIGNED]


def test_a_place_is_never_longer_than_a_sentence_bears() -> None:
    key = "k" * 5_000
    body = f'{{"{key}": {{"{key}": 1, "{key}": 2}}}}'.encode()
    with pytest.raises(JsonRefused) as refused:
        decode(body)
    assert refused.value.place == f"{'k' * 99}….{'k' * 99}…"
    with pytest.raises(JsonRefused) as deep:
        decode(f'{{"{key}":'.encode() * 33 + b"1" + b"}" * 33)
    assert len(deep.value.place) == strict_json.PLACE_CHARACTERS


def test_a_place_is_not_looked_for_in_a_body_where_that_would_take_long() -> None:
    body = b'{"a": [' + b"1," * strict_json.PLACED_BYTES + b'1], "a": 1}'
    with pytest.raises(JsonRefused, match="too long to say where") as refused:
        decode(body)
    assert refused.value.place == "the body"


def test_rows_of_scalars_are_what_the_quick_look_takes_them_for() -> None:
    """Python promises nothing about tracking; were it to change, bodies would only be read more slowly."""
    flat, nested = orjson.loads(b'[{"a": 1, "b": "x", "c": null, "d": 1.5}, {"a": {}}]')
    assert gc.is_tracked(nested)
    assert not gc.is_tracked(flat)


BROKEN: dict[str, Callable[[bytes], Any]] = {
    "orjson alone": orjson.loads,
    "the standard library": json.loads,
    "colons counted in strings too": lambda body: _by_counting(body, body.count(b":")),
    "only colons right after a quote": lambda body: _by_counting(body, body.count(b'":')),
}


def _by_counting(body: bytes, colons: int) -> Any:
    tree = orjson.loads(body)
    if strict_json._members_by_level(tree, body.count(b"[") + body.count(b"{"), colons, strict_json.LIMITS) != colons:
        raise JsonRefused("the key stands twice in one object; send each key once", "")
    return tree


def right(read: Callable[[bytes], Any]) -> bool:
    """Whether `read` passes for strict: it takes what is good and refuses what is in the table."""
    good = [b'{"at": "10:30"}', b'{"rows": [{"at" : 1}]}', b'{"a": "\\"::"}']
    try:
        if any(read(body) != json.loads(body) for body in good):
            return False
    except JsonRefused:
        return False
    return all(_refuses(read, body) for body, _, _ in REFUSED.values())


def _refuses(read: Callable[[bytes], Any], body: bytes) -> bool:
    try:
        read(body)
    except JsonRefused:
        return True
    except (ValueError, RecursionError):
        return False
    return False


def test_strict_reading_passes_the_check() -> None:
    assert right(decode)


@pytest.mark.parametrize("read", BROKEN.values(), ids=BROKEN)
def test_readers_that_are_not_strict_do_not_pass_the_check(read: Callable[[bytes], Any]) -> None:
    assert not right(read)


def test_lists_and_objects_are_counted_before_any_is_made() -> None:
    most = JsonLimits(containers=1_000)
    assert len(decode(b"[" + b"[]," * 998 + b"[]]", most)) == 999
    with pytest.raises(JsonRefused, match="more than 1000 lists and objects"):
        decode(b"[" + b"[]," * 1_000 + b"[]]", most)
    assert len(decode(b"[" + b"1," * 5_000 + b"1]", most)) == 5_001
