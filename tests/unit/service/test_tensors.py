"""Tensors of the Open Inference Protocol: what is sent comes out, and what does not add up is refused."""

import math
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.exchange import Refused
from service.protocols.tensors import DATATYPES, FEW, Tensor, Values, header_length, read, write

WHOLE = sorted(name for name, known in DATATYPES.items() if known.limits)
FLOATS = {
    "FP16": st.floats(width=16, allow_nan=False, allow_infinity=False),
    "FP32": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "FP64": st.floats(allow_nan=False, allow_infinity=False),
}
SIZES = [0, 1, FEW, FEW + 1]


def json_input(datatype: str, shape: Any, data: Any, **more: Any) -> dict[str, Any]:
    return {"name": "a", "shape": shape, "datatype": datatype, "data": data} | more


def bytes_input(datatype: str, shape: Any, size: Any, **more: Any) -> dict[str, Any]:
    return {"name": "a", "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}} | more


def listed(values: Values) -> list[Any]:
    """As a list, with None where an array says that something is missing."""
    found = values if isinstance(values, list) else values.tolist()
    return [None if isinstance(value, float) and math.isnan(value) else value for value in found]


def sent_back(tensor: Tensor, *, binary: bool) -> Tensor:
    """`tensor` as an answer writes it, read as a request."""
    body, length = write({}, [tensor], ["a"] if binary else [])
    assert (length is not None) == binary
    inputs = orjson.loads(body[:length])["outputs"]
    (found,) = read(inputs, body[length:] if binary else None)
    return found


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    datatype = draw(st.sampled_from(sorted(DATATYPES)))
    known = DATATYPES[datatype]
    values: st.SearchStrategy[Any] = st.booleans() if datatype == "BOOL" else st.text(max_size=5)
    if known.limits:
        values = st.integers(*known.limits)
    elif datatype in FLOATS:
        values = FLOATS[datatype]
    shape = draw(st.lists(st.integers(0, 8), min_size=1, max_size=2))
    size = math.prod(shape)
    return Tensor("a", datatype, shape, draw(st.lists(values, min_size=size, max_size=size)))


@given(tensor=tensors(), binary=st.booleans())
def test_what_is_written_is_read_again_bit_for_bit(tensor: Tensor, binary: bool) -> None:
    found = sent_back(tensor, binary=binary)
    assert found[:3] == tensor[:3]
    assert list(map(repr, listed(found.values))) == list(map(repr, tensor.values))


@given(tensor=tensors())
def test_nested_data_is_read_as_flat_data_is(tensor: Tensor) -> None:
    rows, width = tensor.shape if len(tensor.shape) == 2 else (tensor.shape[0], 1)
    nested = [list(tensor.values[row * width : (row + 1) * width]) for row in range(rows)]
    (found,) = read([json_input(tensor.datatype, [rows, width], nested)], None)
    assert listed(found.values) == tensor.values


@given(
    body=st.binary(max_size=60), size=st.integers(-1, 70), rows=st.integers(-1, 9), name=st.sampled_from([*DATATYPES])
)
def test_whatever_bytes_are_sent_they_are_a_tensor_or_refused(body: bytes, size: int, rows: int, name: str) -> None:
    with suppress(Refused):
        (found,) = read([bytes_input(name, [rows], size)], body)
        assert len(found.values) == rows
        assert size == len(body)


@given(
    junk=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.floats(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "shape", "datatype", "data", "parameters", "binary_data_size"]),
                inner,
                max_size=6,
            )
        ),
        max_leaves=8,
    )
)
def test_whatever_json_is_sent_it_is_tensors_or_refused(junk: Any) -> None:
    for binary in (None, b"12345678"):
        with suppress(Refused):
            read([junk, json_input("FP64", [1], [1.0]) | (junk if isinstance(junk, dict) else {})], binary)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("datatype", FLOATS)
def test_nan_in_bytes_and_null_in_json_say_that_a_number_is_missing(datatype: str, size: int) -> None:
    expected = [None if index % 3 == 0 else index / 4 for index in range(size)]
    binary = np.array(expected, DATATYPES[datatype].dtype).tobytes()
    (from_bytes,) = read([bytes_input(datatype, [size], len(binary))], binary)
    (from_json,) = read([json_input(datatype, [size], expected)], None)
    assert listed(from_bytes.values) == listed(from_json.values) == expected


@pytest.mark.parametrize("datatype", ["BOOL", "BYTES", *WHOLE])
def test_null_is_taken_in_json_of_every_datatype(datatype: str) -> None:
    (found,) = read([json_input(datatype, [2], [None, None])], None)
    assert found.values == [None, None]


@pytest.mark.parametrize("size", SIZES)
def test_a_number_of_fewer_bits_is_the_same_in_json_as_in_bytes(size: int) -> None:
    data = [0.1 * index for index in range(size)]
    binary = np.array(data, np.float32).tobytes()
    (from_json,) = read([json_input("FP32", [size], data)], None)
    (from_bytes,) = read([bytes_input("FP32", [size], len(binary))], binary)
    assert listed(from_json.values) == listed(from_bytes.values)


def test_arrays_are_aligned_wherever_their_bytes_lie() -> None:
    """Libraries that read them in place rely on it."""
    numbers = np.arange(100.0)
    inputs = [bytes_input("BYTES", [1], 5), bytes_input("FP64", [100], 800)]
    _, found = read(inputs, b"\1\0\0\0x" + numbers.tobytes())
    assert isinstance(found.values, np.ndarray)
    assert found.values.flags.aligned
    assert found.values.tolist() == numbers.tolist()
    naive = np.frombuffer(b"\1\0\0\0x" + numbers.tobytes(), np.float64, 100, 5)
    assert not naive.flags.aligned, "this is what a check that cannot fail would be satisfied with"


def test_several_tensors_take_their_bytes_in_turn() -> None:
    binary = struct.pack("<d", 2.5) + b"\1" + struct.pack("<q", -7)
    inputs = [
        bytes_input("FP64", [1], 8),
        json_input("BYTES", [1], ["between"]),
        bytes_input("BOOL", [1, 1], 1),
        bytes_input("INT64", [1], 8),
    ]
    assert [listed(tensor.values) for tensor in read(inputs, binary)] == [[2.5], ["between"], [True], [-7]]


@pytest.mark.parametrize(
    "header", [b"", b"-1", b"0", b"+1", b"1_0", b"0x1", b" 1", b"1.0", b"12", b"9" * 20, b"9" * 9_000]
)
def test_a_header_length_that_is_not_inside_the_body_is_refused(header: bytes) -> None:
    assert header_length(None, b"{}") is None
    assert header_length(b"2", b"{}") == 2
    with pytest.raises(Refused, match="number of bytes of the JSON at the start of the body, from 1 to 11"):
        header_length(header, b"{}012345678")


HUGE = 2**63
REFUSED: list[tuple[str, object, bytes | None, str]] = [
    ("not an object", 7, None, "is not an object"),
    ("no name", {"shape": [1], "datatype": "FP64", "data": [1.0]}, None, "has no name"),
    ("an empty name", json_input("FP64", [1], [1.0], name=""), None, "has no name"),
    ("a name of another type", json_input("FP64", [1], [1.0], name=["a"]), None, "has no name"),
    ("an unknown datatype", json_input("BF16", [1], [1.0]), None, "datatype must be one of BOOL, UINT8"),
    ("a datatype that is a list", json_input([], [1], [1.0]), None, "datatype must be one of"),  # type: ignore[arg-type]  # what a caller can send
    ("no shape", json_input("FP64", None, [1.0]), None, "shape must be"),
    ("an empty shape", json_input("FP64", [], [1.0]), None, "shape must be"),
    ("three dimensions", json_input("FP64", [1, 1, 1], [1.0]), None, "shape must be"),
    ("many dimensions", json_input("FP64", [9] * 100_000, [1.0]), None, "shape must be"),
    ("a negative shape", json_input("FP64", [-1], [1.0]), None, "shape must be"),
    ("negatives that multiply to one", json_input("FP64", [-1, -1], [1.0]), None, "shape must be"),
    ("a shape of booleans", json_input("FP64", [True], [1.0]), None, "shape must be"),
    ("a shape of fractions", json_input("FP64", [1.0], [1.0]), None, "shape must be"),
    ("a shape that overflows", json_input("FP64", [HUGE, HUGE], [1.0]), None, "holds .* values, its data 1"),
    ("a shape that overflows to one", json_input("FP64", [HUGE * 2 + 1], [1.0]), None, "its data 1"),
    ("a shape larger than the data", json_input("FP64", [2], [1.0]), None, r"shape \[2\] holds 2 values, its data 1"),
    ("a shape smaller than the data", json_input("FP64", [0], [1.0]), None, "holds 0 values, its data 1"),
    ("no data", {"name": "a", "shape": [1], "datatype": "FP64"}, None, "neither a list data nor a binary_data_size"),
    ("data that is a number", json_input("FP64", [1], 1.0), None, "neither a list data"),
    ("data that is a text", json_input("BYTES", [1], "x"), None, "neither a list data"),
    ("ragged nesting", json_input("FP64", [2, 2], [[1.0, 2.0], [3.0]]), None, r"nested data is not of shape \[2, 2\]"),
    ("nesting transposed", json_input("FP64", [1, 2], [[1.0], [2.0]]), None, "nested data is not of shape"),
    ("nesting where there is one dimension", json_input("FP64", [2], [[1.0], [2.0]]), None, "nested data"),
    ("half nested", json_input("FP64", [2, 1], [[1.0], 2.0]), None, "nested data"),
    ("nested after flat", json_input("FP64", [2, 1], [1.0, [2.0]]), None, r"data\[1\] is not what its datatype holds"),
    ("too deep", json_input("FP64", [1, 1], [[[1.0]]]), None, r"data\[0\] is not what its datatype holds, numbers"),
    ("a text as a number", json_input("FP64", [1], ["1"]), None, r"data\[0\] is not what its datatype holds, numbers"),
    ("true as a number", json_input("INT8", [1], [True]), None, "holds, whole numbers from -128 to 127"),
    ("one as true", json_input("BOOL", [2], [True, 1]), None, r"data\[1\] is not what its datatype holds, true or false"),
    ("a fraction as an integer", json_input("INT64", [1], [1.0]), None, "whole numbers"),
    ("an integer out of range", json_input("UINT8", [3], [None, 255, 256]), None, r"data\[2\] .* from 0 to 255"),
    ("a negative unsigned", json_input("UINT64", [1], [-1]), None, "from 0 to 18446744073709551615"),
    ("a number as a text", json_input("BYTES", [1], [1]), None, "holds, texts"),
    ("a number beyond floats", json_input("FP32", [1], [10**400]), None, "beyond all floating-point numbers"),
    ("parameters that are a list", json_input("FP64", [1], [1.0], parameters=[]), None, "parameters must be an object"),
    ("shared memory", bytes_input("FP64", [1], 8) | {"parameters": {"shared_memory_region": "x"}}, None, "shared memory"),
    ("bytes and no header", bytes_input("FP64", [1], 8), None, "no header Inference-Header-Content-Length says"),
    ("bytes and data", bytes_input("FP64", [1], 8, data=[1.0]), b"12345678", "both data and a binary_data_size"),
    ("a negative size", bytes_input("FP64", [1], -8), b"12345678", "whole number of bytes from 0"),
    ("a size that is a text", bytes_input("FP64", [1], "8"), b"12345678", "whole number of bytes"),
    ("a size that is true", bytes_input("BOOL", [1], True), b"\1", "whole number of bytes"),
    ("a size beyond the body", bytes_input("FP64", [2], 16), b"12345678", "is 16 where 8 bytes are left of the body"),
    ("a huge size", bytes_input("FP64", [HUGE], HUGE * 8), b"", r"more than 10\*\*18 where 0 bytes are left"),
    ("a size that is not the shape's", bytes_input("FP64", [2], 8), b"12345678", "takes 16 bytes, its binary_data_size is 8"),
    ("a shape that overflows its size", bytes_input("FP64", [HUGE // 4, 1], 0), b"", r"takes more than 10\*\*18 bytes"),
    ("bytes left over", bytes_input("FP64", [1], 8), b"12345678X", "9 bytes follow the JSON, but the inputs declare 8"),
    ("bytes nobody declared", json_input("FP64", [1], [1.0]), b"X", "1 bytes follow the JSON, but the inputs declare 0"),
    ("two as true", bytes_input("BOOL", [2], 2), b"\1\2", "each byte of a BOOL tensor is 0 or 1"),
    ("a text cut off", bytes_input("BYTES", [1], 6), b"\3\0\0\0ab", "6 bytes are not 1 texts"),
    ("a length cut off", bytes_input("BYTES", [2], 8), b"\0\0\0\0\0\0\0", "is 8 where 7 bytes are left"),
    ("a last length cut off", bytes_input("BYTES", [2], 9), b"\2\0\0\0ab\0\0\0", "9 bytes are not 2 texts"),
    ("a text too many", bytes_input("BYTES", [1], 8), bytes(8), "8 bytes are not 1 texts"),
    ("a text too few", bytes_input("BYTES", [3], 8), bytes(8), "8 bytes are not 3 texts"),
    ("a text of 4 GiB", bytes_input("BYTES", [1], 4), b"\xff\xff\xff\xff", "4 bytes are not 1 texts"),
    ("no texts but bytes", bytes_input("BYTES", [0], 4), bytes(4), "4 bytes are not 0 texts"),
    ("more texts than there are", bytes_input("BYTES", [HUGE], 4), bytes(4), r"not more than 10\*\*18 texts"),
    ("a text that is not UTF-8", bytes_input("BYTES", [2], 10), b"\1\0\0\0a\1\0\0\0\xff", "its text 1 is not UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("item", "binary", "sentence"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_a_tensor_that_does_not_add_up_is_refused_with_a_sentence(
    item: object, binary: bytes | None, sentence: str
) -> None:
    with pytest.raises(Refused, match=sentence) as refusal:
        read([item], binary)
    assert refusal.value.status == 400
    assert len(str(refusal.value)) < 500


def test_two_tensors_cannot_share_bytes() -> None:
    """Each begins where the one before it ends, so sizes that are right alone are too many together."""
    inputs = [bytes_input("FP64", [1], 8), bytes_input("FP64", [1], 8)]
    with pytest.raises(Refused, match="is 8 where 0 bytes are left of the body"):
        read(inputs, b"12345678")


def test_a_long_name_is_cut_in_the_sentence() -> None:
    with pytest.raises(Refused) as refusal:
        read([json_input("FP64", [1], [], name="x" * 100_000)], None)
    assert len(str(refusal.value)) < 250
