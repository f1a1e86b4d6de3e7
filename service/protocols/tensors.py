"""Tensors of the Open Inference Protocol: as JSON, and as bytes behind the JSON (the binary tensor extension).

Values come out flat and row-major: a list with None for what is missing, or an array where NaN says it. Nothing that is
declared is believed before it is checked against what was sent; whatever does not add up is refused with a sentence.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from struct import unpack_from
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from service.exchange import Refused

Values = list[Any] | npt.NDArray[Any]
LONGEST_QUOTE = 100
FEW = 32
"""Up to so many values, a list is made and checked faster than an array."""
_NULL = type(None)


class Tensor(NamedTuple):
    """One named tensor of rank one or two; `values` are flat and row-major."""

    name: str
    datatype: str
    shape: list[int]
    values: Values


class Datatype(NamedTuple):
    """How values of one datatype look: `dtype` and `code` as bytes (none for texts), `types` in JSON, `limits` of integers."""

    dtype: np.dtype[Any] | None
    types: frozenset[type]
    words: str
    code: str = ""
    limits: tuple[int, int] | None = None
    rounded: bool = False


def _whole(bits: int, *, signed: bool) -> Datatype:
    limits = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    dtype = np.dtype(f"<{'i' if signed else 'u'}{bits // 8}")
    code = {8: "b", 16: "h", 32: "i", 64: "q"}[bits]
    words = f"whole numbers from {limits[0]} to {limits[1]}"
    return Datatype(dtype, frozenset({int, _NULL}), words, code if signed else code.upper(), limits)


def _real(bits: int) -> Datatype:
    dtype = np.dtype(f"<f{bits // 8}")
    return Datatype(dtype, frozenset({float, int, _NULL}), "numbers", dtype.char, rounded=bits < 64)


DATATYPES: Mapping[str, Datatype] = {
    "BOOL": Datatype(np.dtype(bool), frozenset({bool, _NULL}), "true or false", "?"),
    **{f"UINT{bits}": _whole(bits, signed=False) for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": _whole(bits, signed=True) for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": _real(bits) for bits in (16, 32, 64)},
    "BYTES": Datatype(None, frozenset({str, _NULL}), "texts"),
}


def refused(message: str) -> Refused:
    """The refusal of a request whose tensors do not add up."""
    return Refused(400, "malformed_tensor", message)


def quoted(text: str) -> str:
    """A caller's name inside a sentence, cut to a length that keeps the sentence one."""
    return repr(text[:LONGEST_QUOTE])


def header_length(header: bytes | None, body: bytes) -> int | None:
    """How many bytes of `body` are JSON, by the header that says so; None where there is no such header."""
    if header is None:
        return None
    length = int(header) if header.isdigit() and len(header) <= 20 else -1
    if not 0 < length <= len(body):
        raise refused(
            f"Inference-Header-Content-Length must be the number of bytes of the JSON at the start of the body, from 1 to "
            f"{len(body)}"
        )
    return length


def read(inputs: Sequence[object], binary: bytes | None) -> list[Tensor]:
    """The tensors of `inputs`; those with a `binary_data_size` take theirs from `binary` in turn, which they must use up.

    `binary` is None where the request did not say that bytes follow its JSON. Raises Refused.
    """
    at = 0
    tensors: list[Tensor] = []
    for item in inputs:
        if type(item) is not dict:
            raise refused(f"inputs[{len(tensors)}] is not an object with name, shape, datatype and data")
        get: Any = item.get
        name, datatype, shape, data = get("name"), get("datatype"), get("shape"), get("data")
        if type(name) is not str or not name:
            raise refused(f"inputs[{len(tensors)}] has no name")
        known = DATATYPES.get(datatype) if type(datatype) is str else None
        if known is None:
            raise refused(f"input {quoted(name)}: datatype must be one of {', '.join(DATATYPES)}")
        size = _size(name, shape)
        parameters = get("parameters")
        declared = None if parameters is None else _binary_size(name, parameters)
        if declared is None:
            values: Values = _from_json(name, known, shape, size, data)
        else:
            if binary is None or data is not None or declared > len(binary) - at:
                raise _misplaced(name, declared, data, None if binary is None else len(binary) - at)
            values = _from_bytes(name, known, size, binary, at, declared)
            at += declared
        tensors.append(Tensor(name, datatype, shape, values))
    if binary is not None and at != len(binary):
        raise refused(f"{len(binary)} bytes follow the JSON, but the inputs declare {at} by binary_data_size")
    return tensors


def _size(name: str, shape: object) -> int:
    """How many values `shape` holds: of rows, or of rows by columns."""
    if type(shape) is list:
        if len(shape) == 1:
            size = shape[0]
            if type(size) is int and size >= 0:
                return size
        elif len(shape) == 2:
            rows, width = shape
            if type(rows) is int and type(width) is int and rows >= 0 and width >= 0:
                return rows * width
    raise refused(f"input {quoted(name)}: shape must be [rows] or [rows, columns], of whole numbers from 0")


def _binary_size(name: str, parameters: object) -> int | None:
    if type(parameters) is not dict:
        raise refused(f"input {quoted(name)}: parameters must be an object")
    if "shared_memory_region" in parameters:
        raise refused(f"input {quoted(name)}: shared memory is not available; send the values in the request")
    declared = parameters.get("binary_data_size")
    if declared is not None and (type(declared) is not int or declared < 0):
        raise refused(f"input {quoted(name)}: binary_data_size must be a whole number of bytes from 0")
    return declared


def _misplaced(name: str, declared: int, data: object, left: int | None) -> Refused:
    if data is not None:
        return refused(f"input {quoted(name)} has both data and a binary_data_size; send one of them")
    if left is None:
        return refused(
            f"input {quoted(name)} has a binary_data_size, but no header Inference-Header-Content-Length says where the JSON ends"
        )
    return refused(
        f"input {quoted(name)}: binary_data_size is {_long(declared)} where {left} bytes are left of the body"
    )


def _from_json(name: str, known: Datatype, shape: list[int], size: int, data: object) -> Values:
    if type(data) is not list:
        raise refused(f"input {quoted(name)} has neither a list data nor a binary_data_size")
    if data and type(data[0]) is list:
        data = _flat(name, shape, data)
    if len(data) != size:
        raise refused(f"input {quoted(name)}: shape {_text(shape)} holds {size} values, its data {len(data)}")
    if not known.types.issuperset(map(type, data)):
        raise _mistyped(name, known, data)
    if known.limits is not None:
        present = [value for value in data if value is not None]
        if present and (min(present) < known.limits[0] or max(present) > known.limits[1]):
            raise _mistyped(name, known, data)
    return _rounded(name, known, data) if known.rounded else data


def _flat(name: str, shape: list[int], data: list[Any]) -> list[Any]:
    rows, width = shape if len(shape) == 2 else (0, 0)
    if len(data) != rows or not all(type(row) is list and len(row) == width for row in data):
        raise refused(f"input {quoted(name)}: its nested data is not of shape {_text(shape)}")
    return list(chain.from_iterable(data))


def _mistyped(name: str, known: Datatype, data: list[Any]) -> Refused:
    low, high = known.limits or (0, 0)
    index = next(
        index
        for index, value in enumerate(data)
        if type(value) not in known.types
        or (known.limits is not None and value is not None and not low <= value <= high)
    )
    return refused(f"input {quoted(name)}: data[{index}] is not what its datatype holds, {known.words}")


def _rounded(name: str, known: Datatype, data: list[Any]) -> npt.NDArray[Any]:
    """The numbers that the datatype can hold nearest to those sent: the same as when they are sent as bytes."""
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is the contract's to refuse
            return np.array(data, dtype=known.dtype)
    except OverflowError as error:
        raise refused(f"input {quoted(name)}: data holds a number beyond all floating-point numbers") from error


def _from_bytes(name: str, known: Datatype, size: int, binary: bytes, at: int, declared: int) -> Values:
    if known.dtype is None:
        return _texts(name, size, binary[at : at + declared])
    if declared != size * known.dtype.itemsize:
        raise refused(
            f"input {quoted(name)}: its shape takes {_long(size * known.dtype.itemsize)} bytes, its binary_data_size is {_long(declared)}"
        )
    if known.dtype.kind == "b" and binary[at : at + size].translate(None, b"\0\1"):
        raise refused(f"input {quoted(name)}: each byte of a BOOL tensor is 0 or 1")
    if size <= FEW:
        few = list(unpack_from(f"<{size}{known.code}", binary, at))
        return [None if value != value else value for value in few] if known.dtype.kind == "f" else few  # noqa: PLR0124  # only NaN differs from itself
    values: npt.NDArray[Any] = np.frombuffer(binary, known.dtype, size, at)
    return values if values.flags.aligned else values.copy()


def _texts(name: str, count: int, binary: bytes) -> list[str]:
    """Texts, each behind its length in four bytes."""
    at, end = 0, len(binary)
    texts: list[str] = []
    if 4 * count <= end:
        try:
            for _ in range(count):
                start = at + 4
                at = start + int.from_bytes(binary[at:start], "little")
                if at > end:
                    break
                texts.append(binary[start:at].decode())
        except UnicodeDecodeError as error:
            raise refused(f"input {quoted(name)}: its text {len(texts)} is not UTF-8") from error
    if len(texts) != count or at != end:
        raise refused(
            f"input {quoted(name)}: its {end} bytes are not {_long(count)} texts, each behind its length in four bytes"
        )
    return texts


def write(answer: dict[str, Any], outputs: Sequence[Tensor], binary: Sequence[str] = ()) -> tuple[bytes, int | None]:
    """`answer` with `outputs`, those named in `binary` as bytes behind the JSON; the JSON's length where there are any."""
    described: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, datatype, shape, values in outputs:
        tensor: dict[str, Any] = {"name": name, "shape": shape, "datatype": datatype}
        if name in binary:
            parts.append(_as_bytes(datatype, values))
            tensor["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            tensor["data"] = values
        described.append(tensor)
    header = orjson.dumps({**answer, "outputs": described}, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([header, *parts]), len(header)) if binary else (header, None)


def _as_bytes(datatype: str, values: Values) -> bytes:
    dtype = DATATYPES[datatype].dtype
    if dtype is not None:
        return np.asarray(values, dtype).tobytes()
    texts = [text.encode() for text in values]
    return b"".join([part for text in texts for part in (len(text).to_bytes(4, "little"), text)])


def _text(shape: list[int]) -> str:
    return f"[{', '.join(map(_long, shape))}]"


def _long(number: int) -> str:
    """A number inside a sentence; one that nobody can have meant is only called large."""
    return str(number) if number < 10**18 else "more than 10**18"
